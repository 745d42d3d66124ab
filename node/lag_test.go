package node

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/knell-auth/knell/events/eventstest"
)

// lag lets a replica apply everything late, but within its lease: it answers, and does not know the newest events.
func (r *rig) lag(name string) { r.links[name].SetDelays(eventstest.Delays{Deliver: time.Second}) }

// A replica that lags must not take its own state for the truth when it is told to end something.
func TestLaggingReplicaRevokes(t *testing.T) {
	ctx := context.Background()
	for name, end := range map[string]func(n *Node, u User) error{
		"revoke":  func(n *Node, u User) error { return n.RevokeUser(ctx, u.ID, Origin{}) },
		"disable": func(n *Node, u User) error { return n.DisableUser(ctx, u.ID, Origin{}) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				u, _ := r.nodes["a"].UserByName("alice")
				r.lag("b")
				tok := r.login("a")
				if err := end(r.nodes["b"], u); err != nil {
					t.Fatal(err)
				}
				r.refused(tok, ErrRevoked)
			})
		})
	}
}

// enabling returns in a replica's own state at once, and with it what was disabled before can be used again; a replica that
// still sees the account disabled must not answer "it is so already".
func TestLaggingReplicaDisables(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		u, _ := r.nodes["a"].UserByName("alice")
		if err := r.nodes["a"].DisableUser(ctx, u.ID, Origin{}); err != nil {
			t.Fatal(err)
		}
		r.lag("b")
		soon, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
		defer cancel()
		var pending *PendingError
		if err := r.nodes["a"].EnableUser(soon, u.ID, Origin{}); !errors.As(err, &pending) {
			t.Fatalf("enable: %v, want pending", err)
		}
		tok := r.login("a")
		if err := r.nodes["b"].DisableUser(ctx, u.ID, Origin{}); err != nil {
			t.Fatal(err)
		}
		r.refused(tok, ErrRevoked)
		if u, _ := r.nodes["a"].UserByID(u.ID); !u.Disabled {
			t.Error("the account is not disabled")
		}
	})
}

func TestLaggingReplicaDemotes(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		u, _ := r.nodes["a"].UserByName("alice")
		r.lag("b")
		soon, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
		defer cancel()
		var pending *PendingError
		if err := r.nodes["a"].SetRoles(soon, u.ID, u.Roles, append(u.Scope, "admin"), Origin{}); !errors.As(err, &pending) {
			t.Fatalf("promote: %v, want pending", err)
		}
		tok := r.login("a")
		if err := r.nodes["b"].SetRoles(ctx, u.ID, u.Roles, u.Scope, Origin{}); err != nil {
			t.Fatal(err)
		}
		r.refused(tok, ErrStale)
	})
}

// What is so already is recorded as void, makes nothing stale, and returns when all replicas have it.
func TestRepeatedChangeIsVoid(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		u, _ := r.nodes["a"].UserByName("alice")
		tok := r.login("a")
		if err := r.nodes["b"].SetRoles(ctx, u.ID, u.Roles, u.Scope, Origin{}); err != nil {
			t.Fatal(err)
		}
		if err := r.nodes["c"].EnableUser(ctx, u.ID, Origin{}); err != nil {
			t.Fatal(err)
		}
		r.accepted(tok)
		for range 2 {
			if err := r.nodes["b"].DisableUser(ctx, u.ID, Origin{}); err != nil {
				t.Fatal(err)
			}
		}
		r.refused(tok, ErrRevoked)
		r.same()
	})
}
