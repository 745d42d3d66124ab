package node

import (
	"bytes"
	"testing"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/token"
)

// newNodeKey returns the event of new keys.
func newNodeKey(t *testing.T, alg string) *events.NodeKey {
	t.Helper()
	var id identity
	if err := id.newKeys(alg); err != nil {
		t.Fatal(err)
	}
	s := must(id.signer())(t)
	return &events.NodeKey{Key: s.access.KeyID(), Alg: alg, Public: s.access.Key().Public(), RefreshPublic: s.refresh.Public()}
}

// TestFoldKeys: which keys the fold takes, and from when on they are known.
func TestFoldKeys(t *testing.T) {
	sc := &scenario{s: newState(), epoch: testID("epoch"), now: 1_800_000_000}
	apply := func(node string, d events.Payload) voidReason {
		sc.seq++
		e := &events.Event{ID: events.NewID(), Epoch: sc.epoch, Time: time.Unix(sc.now, 0), Node: node, Data: d}
		return sc.s.apply(sc.seq, e).void
	}
	apply("a", &events.LogStarted{HashKey: make([]byte, 32)})
	apply("a", &events.NodeBeat{})
	newKey := func(alg string) *events.NodeKey { return newNodeKey(t, alg) }
	with := func(d *events.NodeKey, f func(*events.NodeKey)) *events.NodeKey {
		c := *d
		f(&c)
		return &c
	}
	ed, ec, rs := newKey(token.EdDSA), newKey(token.ES256), newKey(token.RS256)
	for _, c := range []struct {
		name string
		node string
		data events.Payload
		void voidReason
	}{
		{"EdDSA", "a", ed, ""},
		{"again", "a", ed, voidExists},
		{"by another replica", "b", ed, voidExists},
		{"ES256", "a", ec, ""},
		{"the older one again", "a", ed, ""},
		{"RS256", "b", rs, ""},
		{"another algorithm", "c", with(newKey(token.ES256), func(d *events.NodeKey) { d.Alg = token.EdDSA }), voidChanged},
		{"no algorithm", "c", with(newKey(token.ES256), func(d *events.NodeKey) { d.Alg = "none" }), voidChanged},
		{"another kid", "c", with(newKey(token.ES256), func(d *events.NodeKey) { d.Key = newKey(token.EdDSA).Key }), voidChanged},
		{"no key", "c", with(newKey(token.RS256), func(d *events.NodeKey) { d.Public = nil }), voidChanged},
		{"no refresh key", "c", with(newKey(token.EdDSA), func(d *events.NodeKey) { d.RefreshPublic = nil }), voidChanged},
		{"the refresh key of another", "c", with(newKey(token.EdDSA), func(d *events.NodeKey) { d.RefreshPublic = rs.RefreshPublic }), voidChanged},
		{"a revocation", "c", &events.SigningKeyRevoked{Key: ed.Key}, ""},
		{"again", "c", &events.SigningKeyRevoked{Key: ed.Key}, voidNoop},
		{"of nothing", "c", &events.SigningKeyRevoked{Key: "x"}, voidGone},
		{"a revoked key", "a", ed, voidExists},
	} {
		if void := apply(c.node, c.data); void != c.void {
			t.Errorf("%s: void %q, want %q", c.name, void, c.void)
		}
	}
	if len(sc.s.keys) != 3 || len(sc.s.refresh) != 3 {
		t.Errorf("%d keys, %d of refresh tokens", len(sc.s.keys), len(sc.s.refresh))
	}
	for _, d := range []*events.NodeKey{ed, ec, rs} {
		k := sc.s.keys[d.Key]
		if !bytes.Equal(k.verify.Public(), d.Public) || k.revoked != (d == ed) || sc.s.verifies(k) != (d != ed) {
			t.Errorf("%+v", k)
		}
		if r := sc.s.refresh[token.NewRefreshKeyID(d.RefreshPublic)]; r != k {
			t.Errorf("the refresh key of %s belongs to %v", d.Alg, r)
		}
	}
	// A replica that beats may still sign with its newest key.
	for range 3 {
		sc.now += int64(maxAccessTTL/time.Second) / 2
		apply("b", &events.NodeBeat{Pings: []events.Ping{{Node: "b"}}})
	}
	if sc.s.verifies(sc.s.keys[ec.Key]) || !sc.s.verifies(sc.s.keys[rs.Key]) {
		t.Error("a key of a replica that is silent for more than a day counts, or one of a replica that beats does not")
	}
}
