package node

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/knell-auth/knell/events"
)

// Ways of recording an address or a user agent.
const (
	RecordPlain     = "plain"     // as it is
	RecordTruncated = "truncated" // the network of an address: the /24 of IPv4, the /48 of IPv6
	RecordHashed    = "hashed"    // a hash under the log's key: equal ones can be told to be equal, at all replicas
	RecordNone      = "none"
)

// AddressForms and AgentForms are the ways that there are for each, the default first.
var (
	AddressForms = []string{RecordPlain, RecordTruncated, RecordHashed, RecordNone}
	AgentForms   = []string{RecordPlain, RecordHashed, RecordNone}
)

// Recording says what events tell of where a request came from. Each replica writes by its own; the limits on guesses are the
// same whatever is recorded.
type Recording struct {
	Address string `json:"address"` // of the client, one of AddressForms; "": plain
	Agent   string `json:"agent"`   // its User-Agent, one of AgentForms; "": plain
}

// check returns an error that names the member that is no way of recording.
func (r Recording) check() error {
	switch {
	case !slices.Contains(AddressForms, r.Address):
		return fmt.Errorf("node: addresses cannot be recorded as %q: want one of %v", r.Address, AddressForms)
	case !slices.Contains(AgentForms, r.Agent):
		return fmt.Errorf("node: user agents cannot be recorded as %q: want one of %v", r.Agent, AgentForms)
	}
	return nil
}

// origin writes into an event what it tells of where its request came from. key is that of hashed names.
func (r Recording) origin(e *events.Event, o Origin, key []byte) {
	e.Address, e.UserAgent = r.address(o.Address, key), r.agent(o.UserAgent, key)
	if !countsNetwork(e.Data) {
		return
	}
	if network := r.network(o.Address, key); network != networkOf(e.Address) {
		e.Network = sealNetwork(key, e.ID, network)
	}
}

func (r Recording) address(address string, key []byte) string {
	addr, err := netip.ParseAddr(address)
	addr = addr.Unmap().WithZone("")
	switch {
	case address == "" || r.Address == RecordPlain:
		return address
	case r.Address == RecordHashed && err == nil:
		return hashText(key, "address", addr.String())
	case r.Address == RecordHashed:
		return hashText(key, "address", address)
	case r.Address == RecordTruncated && err == nil:
		return truncated(addr).String()
	}
	return ""
}

// truncated returns the network of an address.
func truncated(addr netip.Addr) netip.Prefix {
	bits := networkBits6
	if addr.Is4() {
		bits = networkBits4
	}
	return netip.PrefixFrom(addr, bits).Masked()
}

// Lengths of truncated addresses.
const (
	networkBits4 = 24
	networkBits6 = 48
)

func (r Recording) agent(agent string, key []byte) string {
	switch {
	case agent == "" || r.Agent == RecordPlain:
		return agent
	case r.Agent == RecordHashed:
		return hashText(key, "agent", agent)
	}
	return ""
}

// network returns the number of the network that guesses from an address count for. Where addresses are not recorded as they
// are, it is a keyed hash, so that neither the log nor the state has the address.
func (r Recording) network(address string, key []byte) uint64 {
	network := networkOf(address)
	if r.Address == RecordPlain || network == noNetwork {
		return network
	}
	sum := keyedHash(key, "network", binary.BigEndian.AppendUint64(nil, network))
	return max(binary.BigEndian.Uint64(sum[:]), noNetwork+1)
}

// countsNetwork reports whether the fold counts an event for the network that it came from.
func countsNetwork(p events.Payload) bool {
	switch d := p.(type) {
	case *events.SessionStarted:
		return d.Code.IsZero() // else it came from the client, not from the user
	case *events.AttemptsForgiven:
		return !d.Everywhere
	case *events.AttemptStarted, *events.CodeIssued, *events.SecretPassword:
		return true
	}
	return false
}

// sealNetwork returns what an event tells replicas of the network that it counts for. Only who has the key reads it, and of two
// events nobody else can tell whether it is the same.
func sealNetwork(key []byte, event events.ID, network uint64) (sealed events.ID) {
	sum := keyedHash(key, "seal", event[:sealRandom])
	var plain [8]byte
	binary.BigEndian.PutUint64(plain[:], network)
	copy(sealed[:], sum[:])
	subtle.XORBytes(sealed[:8], sealed[:8], plain[:])
	return sealed
}

// networkOf returns the number of the network that an event counts for.
func (s *state) networkOf(e *events.Event) uint64 {
	if e.Network.IsZero() {
		return networkOf(e.Address)
	}
	sum := keyedHash(s.hashKey, "seal", e.ID[:sealRandom])
	return binary.BigEndian.Uint64(e.Network[:8]) ^ binary.BigEndian.Uint64(sum[:8])
}

// hashMark says of a text in an event that it is a hash.
const hashMark = "hash:"

// hashBytes is the length of such a hash: that two of a billion addresses have the same one is less likely than one in a million.
const hashBytes = 10

// base32Text is the alphabet of ids (RFC 4648 section 6, in lower case).
var base32Text = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// hashText returns what an event tells of a text that is recorded as a hash.
func hashText(key []byte, domain, text string) string {
	sum := keyedHash(key, domain, []byte(text))
	return hashMark + base32Text.EncodeToString(sum[:hashBytes])
}

// keyedHash returns HMAC-SHA-256 of a text, apart from what other domains have. Names of users are hashed under the same key:
// hashName sees to it that no name is taken for a domain and its text.
func keyedHash(key []byte, domain string, text []byte) [sha256.Size]byte {
	m := hmac.New(sha256.New, key)
	m.Write(append([]byte(domain), 0))
	m.Write(text)
	return [sha256.Size]byte(m.Sum(nil))
}
