package node

import (
	"net/netip"
	"strings"
)

// place is where a session is used, as far as its events tell: an address, IPv4 mapped to IPv6; or a network or the hash of an
// address, in a range in which no client has one (RFC 4291 section 2.7: ff00::/16). The zero place is not known.
type place [16]byte

// The third byte says what is in the range, and the others have it.
const (
	placeRange    = 0xff
	placeNetwork4 = 1
	placeNetwork6 = 2
	placeHash     = 3
)

// placeOf returns the place of an address as events record it.
func placeOf(text string) (p place) {
	if hash, ok := strings.CutPrefix(text, hashMark); ok {
		sum, err := base32Text.DecodeString(hash)
		if err == nil && len(sum) == hashBytes {
			p[0], p[2] = placeRange, placeHash
			copy(p[3:], sum)
		}
		return p
	}
	if network, err := netip.ParsePrefix(text); err == nil {
		switch {
		case network != truncated(network.Addr()):
		case network.Addr().Is4():
			b := network.Addr().As4()
			p[0], p[2] = placeRange, placeNetwork4
			copy(p[3:], b[:networkBits4/8])
		default:
			b := network.Addr().As16()
			p[0], p[2] = placeRange, placeNetwork6
			copy(p[3:], b[:networkBits6/8])
		}
		return p
	}
	if a, err := netip.ParseAddr(text); err == nil && !a.IsMulticast() {
		p = a.As16()
	}
	return p
}

// String returns the text of p, "" for a place that is not known.
func (p place) String() string {
	switch {
	case p == place{}:
		return ""
	case p[0] != placeRange || p[1] != 0:
		return netip.AddrFrom16(p).Unmap().String()
	case p[2] == placeHash:
		return hashMark + base32Text.EncodeToString(p[3:3+hashBytes])
	case p[2] == placeNetwork4:
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{p[3], p[4], p[5]}), networkBits4).String()
	}
	var b [16]byte
	copy(b[:], p[3:3+networkBits6/8])
	return netip.PrefixFrom(netip.AddrFrom16(b), networkBits6).String()
}
