package node

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knell-auth/knell/internal/fence"
)

func TestLogoutIsCompleteWhenItReturns(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		for _, at := range []string{"a", "b", "c"} {
			tok := r.login("b")
			r.accepted(tok)
			if err := r.nodes[at].Logout(context.Background(), tok.AccessToken, Origin{}); err != nil {
				t.Fatalf("log out at %s: %v", at, err)
			}
			r.refused(tok, ErrRevoked)
		}
		r.same()
	})
}

// A logout that is repeated anywhere must not say "done" before the first one is.
func TestRepeatedLogoutWaitsForTheFirst(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		tok := r.login("a")
		r.accepted(tok)
		r.links["c"].Cut()
		first := make(chan time.Duration)
		began := time.Now()
		go func() {
			if err := r.nodes["a"].Logout(context.Background(), tok.AccessToken, Origin{}); err != nil {
				t.Errorf("first: %v", err)
			}
			first <- time.Since(began)
		}()
		synctest.Wait()
		if err := r.nodes["b"].Logout(context.Background(), tok.AccessToken, Origin{}); err != nil {
			t.Errorf("second: %v", err)
		}
		second := time.Since(began)
		<-first
		if second < 2*time.Second {
			t.Errorf("the second logout returned after %v: c still held a lease", second)
		}
		r.refusedOrSilent(tok)
	})
}

// refusedOrSilent fails the test if any replica accepts the token.
func (r *rig) refusedOrSilent(tok Tokens) {
	r.t.Helper()
	for name, n := range r.nodes {
		if _, err := n.Verify(context.Background(), tok.AccessToken); err == nil {
			r.t.Errorf("%s accepts a token that was logged out", name)
		}
	}
}

// A replica that is cut off serves until its lease ends. A logout elsewhere waits for that end and no longer.
func TestLogoutWaitsForASilentReplica(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		tok := r.login("a")
		r.accepted(tok)
		r.links["c"].Cut()
		began := time.Now()
		ctx, timing := WithTiming(context.Background())
		if err := r.nodes["a"].Logout(ctx, tok.AccessToken, Origin{}); err != nil {
			t.Fatal(err)
		}
		took := time.Since(began)
		if took < time.Second || took > 4*time.Second {
			t.Errorf("took %v, want about the rest of c's lease", took)
		}
		if !timing.Complete || timing.Last != "c" || timing.Commit+timing.Barrier != took || timing.Barrier < time.Second {
			t.Errorf("%+v of %v", *timing, took)
		}
		if _, err := r.nodes["c"].Verify(context.Background(), tok.AccessToken); !errors.Is(err, ErrNotCurrent) {
			t.Errorf("c: %v, want ErrNotCurrent", err)
		}
		// The next one does not wait: c's horizon has passed.
		tok = r.login("b")
		began = time.Now()
		if err := r.nodes["b"].Logout(context.Background(), tok.AccessToken, Origin{}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("the second logout took %v", took)
		}
		r.links["c"].Heal()
		time.Sleep(5 * time.Second)
		r.refused(tok, ErrRevoked)
		r.same()
	})
}

// The same story without the barrier, and without the lease: the checks above must be able to fail.
func TestMechanismsAreNeeded(t *testing.T) {
	for _, m := range []fence.Mutation{fence.NoBarrier, fence.NoLeaseCheck} {
		t.Run(m.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.edit = func(c *Config) { c.Break = m }
				for _, name := range []string{"a", "b", "c"} {
					r.start(name)
				}
				r.user("alice", alicePassword)
				tok := r.login("a")
				r.accepted(tok)
				r.links["c"].Cut()
				if err := r.nodes["a"].Logout(context.Background(), tok.AccessToken, Origin{}); err != nil {
					t.Fatal(err)
				}
				if _, err := r.nodes["c"].Verify(context.Background(), tok.AccessToken); err != nil {
					t.Errorf("c refuses (%v): this test cannot see that the mechanism is gone", err)
				}
			})
		})
	}
}

// A cut-off replica refuses with 503's error, also what it knows nothing of, and recovers.
func TestCutOffReplicaRefuses(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		tok := r.login("a")
		c := r.nodes["c"]
		r.accepted(tok)
		r.links["c"].Cut()
		time.Sleep(4 * time.Second)
		ctx := context.Background()
		_, verify := c.Verify(ctx, tok.AccessToken)
		_, garbage := c.Verify(ctx, "garbage")
		_, login := c.Login(ctx, LoginRequest{Name: "nobody", Password: "x"})
		_, refresh := c.Refresh(ctx, RefreshRequest{Token: tok.RefreshToken})
		for what, err := range map[string]error{
			"verify": verify, "garbage": garbage, "login": login, "refresh": refresh,
			"logout": c.Logout(ctx, tok.AccessToken, Origin{}), "client": authenticate(ctx, c, "svc", "x", Origin{}),
		} {
			if !errors.Is(err, ErrNotCurrent) {
				t.Errorf("%s: %v, want ErrNotCurrent", what, err)
			}
		}
		if c.Ready() {
			t.Error("c says that it is ready")
		}
		r.links["c"].Heal()
		time.Sleep(5 * time.Second)
		r.accepted(tok)
	})
}

// A caller that stops waiting hears who is pending, and never "done".
func TestPendingLogoutNamesTheReplica(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		tok := r.login("a")
		r.links["b"].Cut()
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		err := r.nodes["a"].Logout(ctx, tok.AccessToken, Origin{})
		var pending *PendingError
		if !errors.As(err, &pending) {
			t.Fatalf("got %v, want a PendingError", err)
		}
		if !slices.Equal(pending.Pending, []string{"b"}) || time.Until(pending.Certain) > 4*time.Second {
			t.Errorf("got %+v", pending)
		}
		time.Sleep(time.Until(pending.Certain))
		r.refusedOrSilent(tok)
	})
}

// When the log cannot be reached a logout says that its outcome is unknown.
func TestLogoutUnknown(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		tok := r.login("a")
		r.links["a"].Cut()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := r.nodes["a"].Logout(ctx, tok.AccessToken, Origin{}); !errors.Is(err, ErrUnknownOutcome) {
			t.Errorf("got %v, want ErrUnknownOutcome", err)
		}
		// It was asked for, so it is tried on: when the replica is back the session ends.
		time.Sleep(5 * time.Second)
		r.links["a"].Heal()
		time.Sleep(10 * time.Second)
		r.refused(tok, ErrRevoked)
	})
}

// A replica that died holds a logout up once. One that said goodbye, or whose successor is here, holds up nobody.
func TestDeadReplicaIsWaitedForOnce(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		logout := func() time.Duration {
			tok := r.login("a")
			began := time.Now()
			if err := r.nodes["a"].Logout(context.Background(), tok.AccessToken, Origin{}); err != nil {
				t.Fatal(err)
			}
			return time.Since(began)
		}
		r.kill("c")
		if took := logout(); took < time.Second {
			t.Errorf("after the kill: %v", took)
		}
		r.start("c")
		r.kill("c")
		r.start("c")
		if took := logout(); took > 100*time.Millisecond {
			t.Errorf("after the restart: %v", took)
		}
		if err := r.nodes["b"].Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		delete(r.nodes, "b")
		if took := logout(); took > 100*time.Millisecond {
			t.Errorf("after the goodbye: %v", took)
		}
	})
}

func TestRevokeUserEndsAllSessions(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		u, _ := r.nodes["a"].UserByName("alice")
		steps := map[string]func(n *Node) error{
			"revoke": func(n *Node) error { return n.RevokeUser(context.Background(), u.ID, Origin{Actor: "root"}) },
			"password": func(n *Node) error {
				return n.SetPassword(context.Background(), u.ID, alicePassword, Origin{Actor: "root"})
			},
			"disable": func(n *Node) error { return n.DisableUser(context.Background(), u.ID, Origin{Actor: "root"}) },
		}
		for what, step := range steps {
			one, two := r.login("a"), r.login("b")
			r.accepted(one)
			if err := step(r.nodes["c"]); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			r.refused(one, ErrRevoked)
			r.refused(two, ErrRevoked)
			if err := step(r.nodes["b"]); err != nil {
				t.Errorf("%s again: %v", what, err)
			}
			if err := r.nodes["a"].EnableUser(context.Background(), u.ID, Origin{Actor: "root"}); err != nil {
				t.Fatal(err)
			}
		}
		r.same()
	})
}

func TestRolesMakeTokensStale(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		u, _ := r.nodes["a"].UserByName("alice")
		tok := r.login("b")
		r.accepted(tok)
		if err := r.nodes["a"].SetRoles(context.Background(), u.ID, []string{"writer"}, []string{"notes"}, Origin{}); err != nil {
			t.Fatal(err)
		}
		r.refused(tok, ErrStale)
		fresh, err := r.nodes["c"].Refresh(context.Background(), RefreshRequest{Token: tok.RefreshToken})
		if err != nil {
			t.Fatal(err)
		}
		r.accepted(fresh)
		id, _ := r.nodes["a"].Verify(context.Background(), fresh.AccessToken)
		if !slices.Equal(id.Roles(), []string{"writer"}) || id.Scope() != "notes" {
			t.Errorf("roles %v, scope %q", id.Roles(), id.Scope())
		}
	})
}

// Many logouts on all replicas at once, and verifications around each.
func TestConcurrentLogouts(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var work sync.WaitGroup
		for _, at := range []string{"a", "b", "c"} {
			for range 5 {
				tok := r.login(at)
				work.Go(func() {
					r.accepted(tok)
					if err := r.nodes[at].Logout(context.Background(), tok.AccessToken, Origin{}); err != nil {
						t.Error(err)
					}
					r.refused(tok, ErrRevoked)
				})
			}
		}
		work.Wait()
		r.same()
		if n := r.nodes["b"].Status(); n.Sessions != 0 || n.Revoked != 15 {
			t.Errorf("%d sessions, %d revoked", n.Sessions, n.Revoked)
		}
	})
}
