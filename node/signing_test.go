package node

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/events/eventstest"
	"github.com/knell-auth/knell/internal/token"
)

// kids returns what a replica's JWKS lists, in its order.
func kids(t *testing.T, n *Node) (list []string) {
	t.Helper()
	var set struct {
		Keys []struct{ Kid string }
	}
	if err := json.Unmarshal(must(n.JWKS())(t), &set); err != nil {
		t.Fatal(err)
	}
	for _, k := range set.Keys {
		list = append(list, k.Kid)
	}
	return list
}

// kid returns the key that a replica signs with, "" if it may not sign.
func kid(n *Node) string {
	if s := n.signing.with.Load(); s != nil {
		return s.access.KeyID()
	}
	return ""
}

// jump sets log time forward, as a replica does whose wall clock was, and lets everybody beat.
func (r *rig) jump(at string, d time.Duration) {
	r.t.Helper()
	n := r.nodes[at]
	e := n.newEvent(&events.NodeBeat{}, at, Origin{Actor: "system"})
	e.Time = e.Time.Add(d)
	if _, err := n.commit(context.Background(), e, plain); err != nil {
		r.t.Fatal(err)
	}
	time.Sleep(n.cfg.Lease)
}

// TestReplicasSignDifferently: replicas of one cluster sign with different algorithms, and each takes the tokens of all.
func TestReplicasSignDifferently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		algs := map[string]string{"a": "", "b": token.ES256, "c": token.RS256}
		r.edit = func(c *Config) { c.Alg = algs[c.Name] }
		for _, name := range []string{"a", "b", "c"} {
			r.start(name)
		}
		r.user("alice", alicePassword)
		for _, at := range []string{"a", "b", "c"} {
			tok := r.login(at)
			r.accepted(tok)
			for _, next := range []string{"b", "c", "a"} {
				var err error
				if tok, err = r.nodes[next].Refresh(context.Background(), RefreshRequest{Token: tok.RefreshToken}); err != nil {
					t.Fatalf("refresh at %s: %v", next, err)
				}
				r.accepted(tok)
			}
		}
		want := []string{kid(r.nodes["a"]), kid(r.nodes["b"]), kid(r.nodes["c"])}
		for name, n := range r.nodes {
			if got := kids(t, n); !slices.Equal(got, want) {
				t.Errorf("%s has %v, want %v", name, got, want)
			}
		}
		for i, k := range r.nodes["b"].Keys() {
			alg := []string{"EdDSA", "ES256", "RS256"}[i]
			if k.ID != want[i] || k.Alg != alg || k.Node != string("abc"[i]) || !k.Live || k.Revoked || k.Seq == 0 {
				t.Errorf("%+v", k)
			}
		}
		r.same()
	})
}

func TestUnknownAlgorithm(t *testing.T) {
	for _, alg := range []string{"none", "HS256", "eddsa", "RS512"} {
		cfg := Config{Name: "a", Dir: t.TempDir(), Log: noLog{}, Issuer: "i", Audience: "a", Alg: alg}
		if _, err := Start(context.Background(), cfg); err == nil || !strings.Contains(err.Error(), alg) {
			t.Errorf("%s: %v", alg, err)
		}
	}
}

// noLog is the log of a node that does not get as far as to use it.
type noLog struct{ Log }

// TestAlgorithmChanges: a replica that is started with another algorithm has new keys, tokens of the old ones stay good, and the
// old key is in the JWKS for as long as one of its tokens may live. With the same algorithm it keeps its keys.
func TestAlgorithmChanges(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		old, first := r.login("c"), kid(r.nodes["c"])
		alg := ""
		r.edit = func(c *Config) { c.Alg = alg }
		restart := func() {
			t.Helper()
			r.kill("c")
			r.start("c")
		}
		restart()
		if kid(r.nodes["c"]) != first {
			t.Error("new keys for the same algorithm")
		}
		alg = token.ES256
		restart()
		second := kid(r.nodes["c"])
		restart()
		if kid(r.nodes["c"]) != second || second == first {
			t.Errorf("kids %s, %s, %s", first, second, kid(r.nodes["c"]))
		}
		r.accepted(old)
		r.accepted(r.login("c"))
		next, err := r.nodes["c"].Refresh(context.Background(), RefreshRequest{Token: old.RefreshToken})
		if err != nil {
			t.Fatal(err)
		}
		r.accepted(next)
		if list := kids(t, r.nodes["a"]); !slices.Contains(list, first) || !slices.Contains(list, second) {
			t.Errorf("%v lacks %s or %s", list, first, second)
		}
		r.jump("a", maxAccessTTL+2*time.Minute)
		if list := kids(t, r.nodes["a"]); slices.Contains(list, first) || !slices.Contains(list, second) || len(list) != 3 {
			t.Errorf("%v has %s, or lacks another", list, first)
		}
		r.same()
	})
}

// TestOldDirectoryComesBack: a replica that signs with an older key of its own again has it in the JWKS again.
func TestOldDirectoryComesBack(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		first, dir := kid(r.nodes["c"]), r.dirs["c"]
		r.kill("c")
		r.dirs["c"] = ""
		r.start("c")
		r.jump("a", maxAccessTTL+2*time.Minute)
		if list := kids(t, r.nodes["a"]); slices.Contains(list, first) {
			t.Errorf("%v has %s", list, first)
		}
		r.kill("c")
		r.dirs["c"] = dir
		r.start("c")
		time.Sleep(r.nodes["c"].cfg.Lease)
		if list := kids(t, r.nodes["a"]); !slices.Contains(list, first) {
			t.Errorf("%v lacks %s", list, first)
		}
		r.accepted(r.login("c"))
		r.same()
	})
}

// TestKeyRevoked: when the revocation of a key returns, no replica accepts a token of it, sessions of other replicas go on, and the
// replica whose key it was signs with a new one, without a restart and after it.
func TestKeyRevoked(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		lost, kept, old := r.login("a"), r.login("b"), kid(r.nodes["a"])
		r.accepted(lost)
		if err := r.nodes["b"].RevokeKey(ctx, old, Origin{Actor: "root", Reason: "disk was sold"}); err != nil {
			t.Fatal(err)
		}
		r.refused(lost, ErrInvalidToken)
		r.accepted(kept)
		synctest.Wait()
		for name, n := range r.nodes {
			if _, err := n.Refresh(ctx, RefreshRequest{Token: lost.RefreshToken}); !errors.Is(err, ErrInvalidGrant) {
				t.Errorf("%s takes a refresh token of the revoked key: %v", name, err)
			}
		}
		if fresh := kid(r.nodes["a"]); fresh == "" || fresh == old || !r.nodes["a"].Ready() {
			t.Fatalf("a signs with %q", fresh)
		}
		r.accepted(r.login("a"))
		next, err := r.nodes["a"].Refresh(ctx, RefreshRequest{Token: kept.RefreshToken})
		if err != nil {
			t.Fatal(err)
		}
		r.accepted(next)
		for name, n := range r.nodes {
			if list := kids(t, n); slices.Contains(list, old) || !slices.Contains(list, kid(r.nodes["a"])) || len(list) != 3 {
				t.Errorf("%s has %v", name, list)
			}
		}
		// Once more is no error, and waits for the first.
		if err := r.nodes["c"].RevokeKey(ctx, old, Origin{}); err != nil {
			t.Error(err)
		}
		fresh := kid(r.nodes["a"])
		r.kill("a")
		r.start("a")
		if kid(r.nodes["a"]) != fresh {
			t.Error("the new key was not kept")
		}
		r.same()
	})
}

// TestUnreadyWithoutKey: while the new key cannot be published the replica is not ready and issues nothing, but verifies.
func TestUnreadyWithoutKey(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx, a := context.Background(), r.nodes["a"]
		other, own := r.login("b"), r.login("a")
		var broken atomic.Bool
		broken.Store(true)
		r.links["a"].OnAppend(func(e *events.Event) (f eventstest.Fault) {
			if _, key := e.Data.(*events.NodeKey); key && broken.Load() {
				f.Before = events.ErrFull
			}
			return f
		})
		if err := a.RevokeKey(ctx, kid(a), Origin{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if a.Ready() {
			t.Error("ready without a key")
		}
		_, err := a.Login(ctx, LoginRequest{Name: "alice", Password: alicePassword})
		if !errors.Is(err, ErrNotCurrent) {
			t.Errorf("login: %v", err)
		}
		if _, err := a.Refresh(ctx, RefreshRequest{Token: other.RefreshToken}); !errors.Is(err, ErrNotCurrent) {
			t.Errorf("refresh: %v", err)
		}
		r.accepted(other)
		r.refused(own, ErrInvalidToken)
		broken.Store(false)
		time.Sleep(2 * renewRetry)
		if !a.Ready() {
			t.Error("still not ready")
		}
		r.accepted(r.login("a"))
		r.same()
	})
}

// TestKeyRevokedWhileDown: a replica that finds its key revoked makes a new one before it serves.
func TestKeyRevokedWhileDown(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		lost, old := r.login("c"), kid(r.nodes["c"])
		r.kill("c")
		if err := r.nodes["a"].RevokeKey(context.Background(), old, Origin{}); err != nil {
			t.Fatal(err)
		}
		r.start("c")
		if fresh := kid(r.nodes["c"]); fresh == old {
			t.Error("it signs with the revoked key")
		}
		r.refused(lost, ErrInvalidToken)
		r.accepted(r.login("c"))
		r.same()
	})
}

func TestRevokeKeyNotFound(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		for _, kid := range []string{"", "x", strings.Repeat("A", 43), strings.Repeat("\n", 43), strings.Repeat("A", 9000)} {
			if err := r.nodes["a"].RevokeKey(context.Background(), kid, Origin{}); !errors.Is(err, ErrNotFound) {
				t.Errorf("%.50q: %v", kid, err)
			}
		}
		r.same()
	})
}

// A set of keys is an answer from the state: none without a lease.
func TestJWKSNeedsLease(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.links["c"].Cut()
		time.Sleep(4 * time.Second)
		if set, err := r.nodes["c"].JWKS(); !errors.Is(err, ErrNotCurrent) {
			t.Errorf("%s, %v", set, err)
		}
		r.links["c"].Heal()
	})
}

// TestIdentityOfAlgorithm: what the file of a directory has is kept, or replaced where the algorithm differs.
func TestIdentityOfAlgorithm(t *testing.T) {
	for _, alg := range token.Algorithms() {
		dir := t.TempDir()
		id := must(loadIdentity(dir, alg))(t)
		if err := id.save(dir); err != nil {
			t.Fatal(err)
		}
		s, again := must(id.signer())(t), must(loadIdentity(dir, alg))(t)
		if t2 := must(again.signer())(t); t2.access.KeyID() != s.access.KeyID() || t2.refresh.KeyID() != s.refresh.KeyID() {
			t.Errorf("%s: other keys after a restart", alg)
		}
		kept := must(loadIdentity(dir, ""))(t)
		if k := must(kept.signer())(t); k.access.KeyID() != s.access.KeyID() {
			t.Errorf("%s: other keys though none were asked for", alg)
		}
		if s.access.Key().Algorithm() != alg {
			t.Errorf("%s: a key of %s", alg, s.access.Key().Algorithm())
		}
		for _, other := range token.Algorithms() {
			changed := must(loadIdentity(dir, other))(t)
			if o := must(changed.signer())(t); (o.refresh.KeyID() == s.refresh.KeyID()) != (other == alg) || o.access.Key().Algorithm() != other {
				t.Errorf("%s after %s: %s", other, alg, o.access.Key().Algorithm())
			}
		}
	}
	// As it was written before there were other algorithms.
	dir := t.TempDir()
	id := must(loadIdentity(dir, token.EdDSA))(t)
	id.Alg = ""
	if err := id.save(dir); err != nil {
		t.Fatal(err)
	}
	if b := must(os.ReadFile(filepath.Join(dir, identityFile)))(t); strings.Contains(string(b), "signing_alg") {
		t.Errorf("%s", b)
	}
	if old := must(loadIdentity(dir, token.EdDSA))(t); !slices.Equal(old.Signing, id.Signing) {
		t.Error("keys of an older file were not kept")
	}
}
