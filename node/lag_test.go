package node

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/knell-auth/knell/events"
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

// TestLaggingReplicaKeepsWaiting: what this replica has applied already, so that there is nothing left to do for it, is done when
// the one that lags has applied it, too.
func TestLaggingReplicaKeepsWaiting(t *testing.T) {
	ctx := context.Background()
	kid := func(n *Node) string { return n.signing.with.Load().access.KeyID() }
	for name, c := range map[string]struct {
		first, again func(ctx context.Context, r *rig, u User, tok Tokens) error
		want         error // of again
	}{
		"token of a revoked key": {
			func(ctx context.Context, r *rig, _ User, _ Tokens) error {
				return r.nodes["b"].RevokeKey(ctx, kid(r.nodes["a"]), Origin{})
			},
			func(ctx context.Context, r *rig, _ User, tok Tokens) error {
				return r.nodes["b"].RevokeToken(ctx, tok.AccessToken, "", Origin{})
			}, nil,
		},
		"refresh token of a revoked key": {
			func(ctx context.Context, r *rig, _ User, _ Tokens) error {
				return r.nodes["b"].RevokeKey(ctx, kid(r.nodes["a"]), Origin{})
			},
			func(ctx context.Context, r *rig, _ User, tok Tokens) error {
				return r.nodes["b"].RevokeToken(ctx, tok.RefreshToken, "", Origin{})
			}, nil,
		},
		"sessions of a deleted user": {
			func(ctx context.Context, r *rig, u User, _ Tokens) error {
				return r.nodes["b"].DeleteUser(ctx, u.ID, Origin{})
			},
			func(ctx context.Context, r *rig, u User, _ Tokens) error {
				return r.nodes["b"].RevokeUser(ctx, u.ID, Origin{})
			}, ErrNotFound,
		},
		"deleted user revoked by an administrator": {
			func(ctx context.Context, r *rig, u User, _ Tokens) error {
				return r.nodes["b"].DeleteUser(ctx, u.ID, Origin{})
			},
			func(ctx context.Context, r *rig, u User, _ Tokens) error {
				return r.nodes["b"].Revoke(ctx, Revocation{User: u.ID}, Origin{})
			}, ErrNotFound,
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				u, _ := r.nodes["a"].UserByName("alice")
				tok := r.login("a")
				if _, err := r.nodes["c"].Verify(ctx, tok.AccessToken); err != nil {
					t.Fatal(err)
				}
				r.lag("c")
				soon, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
				defer cancel()
				var pending *PendingError
				if err := c.first(soon, r, u, tok); !errors.As(err, &pending) {
					t.Fatalf("first: %v, want pending", err)
				}
				if err := c.again(ctx, r, u, tok); !errors.Is(err, c.want) {
					t.Fatalf("again: %v, want %v", err, c.want)
				}
				if _, err := r.nodes["c"].Verify(ctx, tok.AccessToken); err == nil {
					t.Error("the replica that lags accepts the token")
				}
			})
		})
	}
}

// A session that log time has ended at one replica is live at one that has not got that time: its revocation waits.
func TestLaggingReplicaKnowsNoTime(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		tok := r.login("a")
		r.accepted(tok)
		r.lag("c")
		b := r.nodes["b"]
		beat := b.newEvent(&events.NodeBeat{}, "b", Origin{Actor: "system"})
		beat.Time = beat.Time.Add(60 * 24 * time.Hour)
		if _, err := b.commit(ctx, beat, plain); err != nil {
			t.Fatal(err)
		}
		if err := b.RevokeToken(ctx, tok.AccessToken, "", Origin{}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.nodes["c"].Verify(ctx, tok.AccessToken); err == nil {
			t.Error("the replica that lags accepts the token")
		}
	})
}
