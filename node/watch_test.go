package node

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/events/eventstest"
)

// watch watches the session of tok at a replica.
func (r *rig) watch(at string, tok Tokens) *Watch {
	r.t.Helper()
	id, err := r.nodes[at].Verify(context.Background(), tok.AccessToken)
	if err != nil {
		r.t.Fatalf("%s refuses a good token: %v", at, err)
	}
	return r.nodes[at].Watch(context.Background(), id)
}

// watchAll watches the session of tok at every replica.
func (r *rig) watchAll(tok Tokens) map[string]*Watch {
	r.t.Helper()
	list := map[string]*Watch{}
	for name := range r.nodes {
		list[name] = r.watch(name, tok)
	}
	return list
}

// goesOn fails the test unless the watches go on.
func (r *rig) goesOn(list map[string]*Watch) {
	r.t.Helper()
	for name, w := range list {
		if err := w.Check(); err != nil || w.Context().Err() != nil {
			r.t.Errorf("%s: ended: %v, %v", name, err, context.Cause(w.Context()))
		}
	}
}

// ended fails the test unless the contexts have ended with want, without anybody having asked.
func (r *rig) ended(list map[string]*Watch, want error) {
	r.t.Helper()
	for name, w := range list {
		if cause := context.Cause(w.Context()); !errors.Is(cause, want) {
			r.t.Errorf("%s: ended with %v, want %v", name, cause, want)
		}
		if err := w.Check(); !errors.Is(err, want) {
			r.t.Errorf("%s: check says %v, want %v", name, err, want)
		}
	}
}

// unwatched fails the test if a replica remembers a watch.
func (r *rig) unwatched() {
	r.t.Helper()
	for name, n := range r.nodes {
		ws := &n.hot.watches
		ws.mu.Lock()
		if len(ws.byFlag) != 0 || len(ws.byExpiry) != 0 {
			r.t.Errorf("%s remembers %d flags and %d watches", name, len(ws.byFlag), len(ws.byExpiry))
		}
		ws.mu.Unlock()
	}
}

// What ends a token ends what goes on under it, on every replica, and before the command returns.
func TestWatchEndsBeforeCommandReturns(t *testing.T) {
	ctx := context.Background()
	for name, c := range map[string]struct {
		end  func(r *rig, n *Node, u User, tok Tokens) error
		want error
	}{
		"logout":  {func(_ *rig, n *Node, _ User, tok Tokens) error { return n.Logout(ctx, tok.AccessToken, Origin{}) }, ErrRevoked},
		"user":    {func(_ *rig, n *Node, u User, _ Tokens) error { return n.RevokeUser(ctx, u.ID, Origin{}) }, ErrRevoked},
		"disable": {func(_ *rig, n *Node, u User, _ Tokens) error { return n.DisableUser(ctx, u.ID, Origin{}) }, ErrRevoked},
		"password": {func(_ *rig, n *Node, u User, _ Tokens) error {
			return n.SetPassword(ctx, u.ID, "looking-glass", Origin{})
		}, ErrRevoked},
		"roles": {func(_ *rig, n *Node, u User, _ Tokens) error { return n.SetRoles(ctx, u.ID, nil, u.Scope, Origin{}) }, ErrStale},
		"key": {func(r *rig, n *Node, _ User, tok Tokens) error {
			return n.RevokeKey(ctx, r.watch("a", tok).claims.KeyID, Origin{})
		}, ErrInvalidToken},
		"all": {func(_ *rig, n *Node, _ User, _ Tokens) error {
			return n.change(ctx, &events.AllRevoked{}, "all", Origin{})
		}, ErrRevoked},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				u, _ := r.nodes["a"].UserByName("alice")
				// One replica applies late, within its lease: its report is what is waited for.
				r.links["c"].SetDelays(eventstest.Delays{Deliver: 500 * time.Millisecond})
				tok := r.login("a")
				watched := r.watchAll(tok)
				r.goesOn(watched)
				if err := c.end(r, r.nodes["b"], u, tok); err != nil {
					t.Fatal(err)
				}
				r.ended(watched, c.want)
				r.unwatched()
				for name, n := range r.nodes { // one that comes too late
					w := n.Watch(ctx, Identity{watched[name].claims})
					r.ended(map[string]*Watch{name: w}, c.want)
				}
				r.unwatched()
			})
		})
	}
}

// probe is a context that is asked for its end whenever one of its children ends, by whoever ends that.
type probe struct {
	context.Context
	asked func()
}

func (p probe) Done() <-chan struct{} {
	p.asked()
	return nil
}

// The contexts of a session end while nobody can read the state: neither a report nor a beat, which may be sent at any time, can
// say before that the revocation was applied.
func TestWatchEndsBeforeReport(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		n, tok := r.nodes["c"], r.login("a")
		id, err := n.Verify(context.Background(), tok.AccessToken)
		if err != nil {
			t.Fatal(err)
		}
		var armed, asked atomic.Bool
		w := n.Watch(probe{context.Background(), func() {
			if !armed.Load() {
				return
			}
			asked.Store(true)
			if n.mu.TryRLock() {
				n.mu.RUnlock()
				t.Error("it ends after the state can be read")
			}
		}}, id)
		armed.Store(true)
		if err := r.nodes["a"].Logout(context.Background(), tok.AccessToken, Origin{}); err != nil {
			t.Fatal(err)
		}
		if !asked.Load() {
			t.Error("nobody asked")
		}
		armed.Store(false)
		r.ended(map[string]*Watch{"c": w}, ErrRevoked)
	})
}

// A watch ends with its own token: not with that of another session, and not later because the session was refreshed.
func TestWatchEndsWithItsToken(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		first, other := r.login("a"), r.login("b")
		watched, others := r.watchAll(first), r.watchAll(other)
		if err := r.nodes["b"].Logout(ctx, other.AccessToken, Origin{}); err != nil {
			t.Fatal(err)
		}
		r.ended(others, ErrRevoked)
		r.goesOn(watched)
		time.Sleep(first.ExpiresIn / 2)
		second, err := r.nodes["c"].Refresh(ctx, RefreshRequest{Token: first.RefreshToken})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		r.goesOn(watched)
		refreshed := r.watchAll(second)
		time.Sleep(first.ExpiresIn/2 + r.nodes["a"].cfg.Lease/ticksPerLease + time.Second) // expiry is in whole seconds
		synctest.Wait()
		r.ended(watched, ErrExpired)
		r.goesOn(refreshed)
		// The key of replica a is no good any more: of these sessions only b's token goes on, under a new flag.
		third := r.login("b")
		goOn := r.watchAll(third)
		if err := r.nodes["b"].RevokeKey(ctx, watched["a"].claims.KeyID, Origin{}); err != nil {
			t.Fatal(err)
		}
		r.goesOn(goOn)
		if err := r.nodes["a"].Logout(ctx, third.AccessToken, Origin{}); err != nil {
			t.Fatal(err)
		}
		r.ended(goOn, ErrRevoked)
	})
}

// Without a lease nothing goes on: at its end the contexts end, whatever the state says.
func TestWatchEndsWithLease(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		tok := r.login("a")
		watched := r.watchAll(tok)
		cut := map[string]*Watch{"c": watched["c"]}
		delete(watched, "c")
		r.links["c"].Cut()
		n := r.nodes["c"]
		began := time.Now()
		lease := n.hot.lease.Load().Remaining(n.clock.read())
		<-cut["c"].Context().Done()
		// Beats that were under way may still have come.
		if took := time.Since(began); took < lease || took > n.cfg.Lease {
			t.Errorf("ended after %v, the lease had %v left", took, lease)
		}
		r.ended(cut, ErrNotCurrent)
		r.goesOn(watched)
		late := n.Watch(context.Background(), Identity{cut["c"].claims})
		r.ended(map[string]*Watch{"c": late}, ErrNotCurrent)
		r.links["c"].Heal()
		time.Sleep(2 * n.cfg.Lease)
		synctest.Wait()
		r.goesOn(map[string]*Watch{"c": r.watch("c", tok)})
		r.ended(cut, ErrNotCurrent)
	})
}

// A replica that stops ends what goes on before it says that nobody has to wait for it.
func TestWatchEndsBeforeLeft(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		tok := r.login("a")
		w := r.watch("c", tok)
		r.links["c"].OnAppend(func(e *events.Event) eventstest.Fault {
			if _, ok := e.Data.(*events.NodeLeft); ok && w.Context().Err() == nil {
				t.Error("it goes on while the replica leaves")
			}
			return eventstest.Fault{}
		})
		n := r.nodes["c"]
		if err := n.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		r.ended(map[string]*Watch{"c": w}, ErrClosed)
		if late := n.Watch(context.Background(), Identity{w.claims}); !errors.Is(late.Check(), ErrNotCurrent) && !errors.Is(late.Check(), ErrClosed) {
			t.Errorf("begins on a stopped replica: %v", late.Check())
		}
		delete(r.nodes, "c")
		r.goesOn(map[string]*Watch{"a": r.watch("a", tok)})
	})
}

// A request that ends takes its watch along; the token's end is another thing.
func TestWatchStops(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		a, tok := r.nodes["a"], r.login("a")
		id, err := a.Verify(context.Background(), tok.AccessToken)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		list := []*Watch{a.Watch(ctx, id), a.Watch(context.Background(), id), a.Watch(context.Background(), id)}
		cancel()
		if err := list[0].Check(); err != nil || list[0].Context().Err() == nil {
			t.Errorf("the request has ended, the token has not: %v, %v", err, list[0].Context().Err())
		}
		for _, w := range []*Watch{list[1], list[0], list[1], list[2]} { // from the middle, the end, again, the last
			w.Stop()
			if cause := context.Cause(w.Context()); !errors.Is(cause, context.Canceled) {
				t.Errorf("stopped with %v", cause)
			}
		}
		r.unwatched()
		if nobody := a.Watch(context.Background(), Identity{}); !errors.Is(nobody.Check(), ErrInvalidToken) {
			t.Errorf("nobody is watched: %v", nobody.Check())
		}
	})
}
