package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knell-auth/knell/internal/token"
)

// basicBubble is bubble with replicas that take user names and passwords.
func basicBubble(t *testing.T, f func(t *testing.T, r *rig)) {
	t.Helper()
	bubbleWith(t, func(c *Config) { c.Basic = true }, f)
}

// bubbleWith is bubble with replicas that are configured otherwise.
func bubbleWith(t *testing.T, edit func(*Config), f func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.edit = edit
		for _, name := range []string{"a", "b", "c"} {
			r.start(name)
		}
		r.user("alice", alicePassword)
		f(t, r)
	})
}

// seldom makes beats rare, for bubbles in which hours go by: each is decoded by each replica.
func seldom(c *Config) { c.Lease = 100 * time.Second }

func TestBasic(t *testing.T) {
	basicBubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		u, _ := r.nodes["a"].UserByName("alice")
		basic := func(pw string) map[string]error {
			errs := map[string]error{}
			for name, n := range r.nodes {
				_, errs[name] = n.VerifyBasic(ctx, " Alice ", pw, Origin{})
			}
			return errs
		}
		all := func(what, pw string, want error) {
			t.Helper()
			for name, err := range basic(pw) {
				if !errors.Is(err, want) {
					t.Errorf("%s: %s: %v, want %v", what, name, err, want)
				}
			}
		}
		done := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		all("at first", alicePassword, nil)
		all("wrong", alicePassword+"x", ErrInvalidBasic)
		all("right after wrong", alicePassword, nil)
		id := must(r.nodes["b"].VerifyBasic(ctx, "alice", alicePassword, Origin{}))(t)
		if id.Kind() != KindBasic || id.Subject() != u.ID.String() || id.Scope() != "profile notes" || !slices.Equal(id.Roles(), []string{"reader"}) ||
			!id.Session().IsZero() || id.TokenID() != "" || id.Client() != "" || !id.Expires().IsZero() || !id.IssuedAt().IsZero() {
			t.Errorf("speaks for %+v of kind %v", id.c, id.Kind())
		}
		all("empty", "", ErrInvalidBasic)
		done(r.nodes["c"].SetPassword(ctx, u.ID, "another-password-1", Origin{})) // which takes all back
		all("the old password", alicePassword, ErrInvalidBasic)
		all("the new password", "another-password-1", nil)
		done(r.nodes["a"].SetRoles(ctx, u.ID, []string{"writer"}, []string{"notes"}, Origin{}))
		done(r.nodes["a"].SetRoleScopes(ctx, "writer", []string{"drafts"}, Origin{}))
		for name, n := range r.nodes {
			if id := must(n.VerifyBasic(ctx, "alice", "another-password-1", Origin{}))(t); id.Scope() != "notes drafts" || !id.HasRole("writer") {
				t.Errorf("%s: scope %q, roles %v", name, id.Scope(), id.Roles())
			}
		}
		done(r.nodes["b"].DisableUser(ctx, u.ID, Origin{}))
		all("disabled", "another-password-1", ErrInvalidBasic)
		done(r.nodes["b"].EnableUser(ctx, u.ID, Origin{}))
		all("enabled", "another-password-1", nil)
		r.same()
	})
}

// What was verified before costs no hash.
func TestBasicHashesOnce(t *testing.T) {
	basicBubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		n := r.nodes["b"]
		must(n.VerifyBasic(ctx, "alice", alicePassword, Origin{}))(t)
		synctest.Wait()
		hasher := n.hasher
		n.hasher = nil // a hash would panic
		for range 10 {
			must(n.VerifyBasic(ctx, "ALICE", alicePassword, Origin{}))(t)
		}
		n.hasher = hasher
		// An entry holds for its name, its password and the account as it was.
		for _, c := range []struct{ name, pw string }{{"alice", alicePassword + "x"}, {"alic", "e" + alicePassword}, {"bob", alicePassword}} {
			if _, err := n.VerifyBasic(ctx, c.name, c.pw, Origin{}); !errors.Is(err, ErrInvalidBasic) {
				t.Errorf("%s: %v", c.name, err)
			}
		}
	})
}

// Those who make one guess at the same time share its hash and its record, and a name that nobody has is treated alike.
func TestBasicGuessesAreShared(t *testing.T) {
	basicBubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		n := r.nodes["a"]
		for _, c := range []struct {
			name, pw string
			want     error
		}{{"alice", "wrong-password-1", ErrInvalidBasic}, {"nobody", "wrong-password-1", ErrInvalidBasic}, {"alice", alicePassword, nil}} {
			acc := n.account(c.name)
			// The first one is held where it has begun, and is given up by who began it.
			begin := make(chan struct{})
			g := basicGuess{c.name, c.pw, n.hot.basic.macOf(c.name, c.pw), Origin{}}
			held, _ := n.hot.basic.begin(g.key(acc))
			go func() {
				<-begin
				n.carryOut(ctx, &n.hot.basic, g.key(acc), held, func(ctx context.Context) (bool, error) { return n.guessBasic(ctx, acc, g) })
			}()
			var all sync.WaitGroup
			for range 20 {
				all.Go(func() {
					if _, err := n.VerifyBasic(ctx, c.name, c.pw, Origin{}); !errors.Is(err, c.want) {
						t.Errorf("%s: %v, want %v", c.name, err, c.want)
					}
				})
			}
			impatient, cancel := context.WithTimeout(ctx, time.Second)
			if _, err := n.VerifyBasic(impatient, c.name, c.pw, Origin{}); !errors.As(err, new(*BusyError)) {
				t.Errorf("%s, impatient: %v", c.name, err)
			}
			cancel()
			close(begin)
			all.Wait()
			synctest.Wait()
			if len(n.hot.basic.trials) != 0 {
				t.Errorf("%d trials left", len(n.hot.basic.trials))
			}
		}
		log, _ := r.readLog("b", 0, 0)
		failed := 0
		for _, e := range log {
			if e.Type == "knell.attempt.login_failed" {
				failed++
			}
		}
		if failed != 2 {
			t.Errorf("%d failures recorded, want one for each wrong guess", failed)
		}
	})
}

// Whoever holds what was verified can ask whether it still holds.
func TestLookAgain(t *testing.T) {
	basicBubble(t, func(t *testing.T, r *rig) {
		ctx, o := context.Background(), Origin{Actor: "test"}
		a, b := r.nodes["a"], r.nodes["b"]
		u, _ := a.UserByName("alice")
		k, text := r.key(nil)
		pw := alicePassword
		for _, c := range []struct {
			what       string
			change     func() error
			key, basic error
		}{
			{"nothing", func() error { return nil }, nil, nil},
			{"sessions", func() error { return b.RevokeUser(ctx, u.ID, o) }, nil, ErrInvalidBasic},
			{"password", func() error { pw = "another-password-1"; return b.SetPassword(ctx, u.ID, pw, o) }, nil, ErrInvalidBasic},
			{"roles", func() error { return b.SetRoles(ctx, u.ID, nil, []string{"notes"}, o) }, ErrInvalidKey, ErrInvalidBasic},
			{"rotation", func() (err error) { _, text, err = b.RotateAPIKey(ctx, u.ID, k.ID, time.Hour, o); return err }, ErrInvalidKey, nil},
			{"disabled", func() error { return b.DisableUser(ctx, u.ID, o) }, ErrInvalidKey, ErrInvalidBasic},
			{"enabled", func() error { return b.EnableUser(ctx, u.ID, o) }, nil, nil},
			{"revoked", func() error { return b.RevokeAPIKey(ctx, u.ID, k.ID, o) }, ErrInvalidKey, nil},
		} {
			key, err1 := a.Verify(ctx, text)
			basic, err2 := a.VerifyBasic(ctx, "alice", pw, o)
			if err := c.change(); err != nil {
				t.Fatalf("%s: %v", c.what, err)
			}
			if c.what == "enabled" { // there was nothing to be verified before
				key, err1 = a.Verify(ctx, text)
				basic, err2 = a.VerifyBasic(ctx, "alice", pw, o)
			}
			if err1 != nil || err2 != nil {
				t.Fatalf("%s: %v, %v", c.what, err1, err2)
			}
			if _, err := a.look(key.c); !errors.Is(err, c.key) {
				t.Errorf("%s: the key: %v, want %v", c.what, err, c.key)
			}
			if _, err := a.look(basic.c); !errors.Is(err, c.basic) {
				t.Errorf("%s: Basic: %v, want %v", c.what, err, c.basic)
			}
		}
	})
}

func TestBasicWithoutLease(t *testing.T) {
	basicBubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		c := r.nodes["c"]
		must(c.VerifyBasic(ctx, "alice", alicePassword, Origin{}))(t)
		r.links["c"].Cut()
		time.Sleep(4 * time.Second)
		for _, pw := range []string{alicePassword, "wrong-password-1"} {
			if _, err := c.VerifyBasic(ctx, "alice", pw, Origin{}); !errors.Is(err, ErrNotCurrent) {
				t.Errorf("got %v, want ErrNotCurrent", err)
			}
		}
	})
}

func TestBasicIsOffByDefault(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		n := r.nodes["a"]
		if _, err := n.VerifyBasic(context.Background(), "alice", alicePassword, Origin{}); n.AcceptsBasic() || !errors.Is(err, ErrInvalidBasic) {
			t.Errorf("got %v", err)
		}
	})
}

func TestRememberedAreBounded(t *testing.T) {
	c := remembered{key: newKey()}
	var last secretOwner
	for i := range maxRemembered + 100 {
		last = secretOwner{id: testID(fmt.Sprint(i))}
		c.add(last, rememberedSecret{seq: 1})
	}
	if _, known := c.entries[last]; len(c.entries) != maxRemembered || !known {
		t.Errorf("%d entries", len(c.entries))
	}
}

// While somebody guesses, what is remembered is not looked at: many guesses at once would find it out.
func TestRememberedAreClosedToGuesses(t *testing.T) {
	owner := secretOwner{testID("alice"), networkOf("192.0.2.1")}
	c := remembered{key: newKey()}
	mac := c.macOf("alice", alicePassword)
	c.add(owner, rememberedSecret{seq: 1, mac: mac, claims: &token.Claims{}})
	elsewhere := secretOwner{owner.id, networkOf("192.0.2.2")}
	found := func(o secretOwner, seq uint64) bool { _, ok := c.find(o, seq, mac); return ok }
	if !found(owner, 1) || found(elsewhere, 1) || found(owner, 2) {
		t.Error("an entry is for its account as it was, and its network")
	}
	c.busy = map[secretOwner]int{owner: 1}
	if found(owner, 1) {
		t.Error("found beside a guess")
	}
}
