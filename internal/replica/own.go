package replica

import (
	"net"
	"net/netip"
)

// listens reports whether this process listens at an address: no webhook may reach a replica by way of itself, whatever is allowed.
func (r *Replica) listens(at netip.AddrPort) bool {
	own := r.server.Listens()
	for _, l := range []net.Listener{r.cfg.Listener, r.cfg.ExtAuthz, r.cfg.Readers, r.cfg.Private} {
		if l != nil {
			own = append(own, l.Addr().String())
		}
	}
	if j := r.cfg.NATS.Cluster; j != nil {
		own = append(own, j.Listen, j.JoinListen)
	}
	for _, address := range own {
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			continue
		}
		if p, err := net.LookupPort("tcp", port); err == nil && p == int(at.Port()) {
			return local(at.Addr())
		}
	}
	return false
}

// local reports whether an address is one of this machine. One that cannot be told counts.
func local(a netip.Addr) bool {
	if a.IsLoopback() || a.IsUnspecified() {
		return true
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return true
	}
	for _, other := range addresses {
		if p, err := netip.ParsePrefix(other.String()); err == nil && p.Addr().Unmap().WithZone("") == a {
			return true
		}
	}
	return false
}
