package webhook

import (
	"fmt"
	"net/netip"
)

// Policy says which addresses may be reached. The zero value: public ones.
type Policy struct {
	// Private are addresses that are not public and may be reached nevertheless, by a target that says so.
	Private []netip.Prefix
	// Own reports whether an address is one at which this process listens. Nobody is sent there. Nil: none is.
	Own func(netip.AddrPort) bool
}

// A RefusedError says that an address must not be reached.
type RefusedError struct {
	Address netip.Addr
	Why     string
}

// Error implements error.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("address %s is refused: %s", e.Address, e.Why)
}

// never are the addresses that no setting allows: where a cloud gives each machine its credentials, and where no server can be.
var never = prefixes(
	"0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4", // this network, link-local with metadata services, multicast, reserved and broadcast
	"100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32", // metadata of Alibaba, Azure, Oracle
	"::/128", "fe80::/10", "fec0::/10", "ff00::/8", // unspecified, link-local, site-local, multicast
	"fd00:ec2::/32", "fd20:ce::254/128", // metadata of AWS, Google
)

// special are the IPv4 addresses, beside those of never, that are not public (IANA's registry of special purposes).
var special = prefixes(
	"10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16",
	"198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
)

// Of IPv6 all that is not global unicast is special, and of that what stands for something else: IETF protocols with Teredo, 6to4, and
// what is for documentation.
var (
	global      = netip.MustParsePrefix("2000::/3")
	specialIPv6 = prefixes("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
	nat64       = netip.MustParsePrefix("64:ff9b::/96") // an IPv4 address behind a translator
)

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func within(list []netip.Prefix, a netip.Addr) bool {
	for _, p := range list {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// canonical returns the address that a packet to a ends up at, as far as its text says: IPv4 written as IPv6 is IPv4.
func canonical(a netip.Addr) netip.Addr {
	a = a.WithZone("").Unmap()
	if nat64.Contains(a) {
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	return a
}

// public reports whether anybody can reach the address.
func public(a netip.Addr) bool {
	if a.Is4() {
		return !within(never, a) && !within(special, a)
	}
	return global.Contains(a) && !within(never, a) && !within(specialIPv6, a)
}

// Check returns a *RefusedError unless target may be sent to at. It is asked when the name has been resolved and the connection is about
// to be made, so that no second answer of a name server can differ from the one that was looked at.
func (p *Policy) Check(t *Target, at netip.AddrPort) error {
	a := canonical(at.Addr())
	refuse := func(why string) error { return &RefusedError{a, why} }
	switch {
	case !a.IsValid() || within(never, a):
		return refuse("no webhook may go there")
	case p.Own != nil && p.Own(netip.AddrPortFrom(a, at.Port())):
		return refuse("it is this replica itself")
	case public(a) && !t.secure():
		return refuse("it is public, and the target has no https")
	case public(a):
		return nil
	case !t.private:
		return refuse("it is not public, and the webhook does not say that it may be private")
	case !within(p.Private, a):
		return refuse("it is not public, and not among the private addresses that this replica allows")
	}
	return nil
}
