package replica

import (
	"net"
	"net/netip"
	"testing"
)

// A replica knows the addresses at which it listens, by whatever address of the machine, and takes no other one for its own.
func TestOwnPorts(t *testing.T) {
	cfg := withReaders(t, standalone(t, t.TempDir()))
	cfg.NATS.ClientListen = "127.0.0.1:0"
	r := start(t, cfg)
	port := func(address string) uint16 { return netip.MustParseAddrPort(address).Port() }
	http, readers, nats := port(cfg.Listener.Addr().String()), port(cfg.Readers.Addr().String()), port(r.server.ClientURL()[len("nats://"):])
	machine := []string{"127.0.0.1", "127.0.0.2", "::1", "0.0.0.0"}
	if addresses, err := net.InterfaceAddrs(); err == nil {
		for _, a := range addresses {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				machine = append(machine, p.Addr().String())
			}
		}
	}
	for _, a := range machine {
		for _, p := range []uint16{http, readers, nats} {
			if !r.listens(netip.AddrPortFrom(netip.MustParseAddr(a), p)) {
				t.Errorf("%s port %d is not its own", a, p)
			}
		}
	}
	for _, other := range []netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), http), netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), 1)} {
		if r.listens(other) {
			t.Errorf("%s is its own", other)
		}
	}
}
