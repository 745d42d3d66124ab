package node

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knell-auth/knell/events/eventstest"
)

// watchAccess watches an API key of alice, or her name and password when key is "", at every replica.
func (r *rig) watchAccess(key string) map[string]*Watch {
	r.t.Helper()
	list := map[string]*Watch{}
	for name, n := range r.nodes {
		id, err := n.Verify(context.Background(), key)
		if key == "" {
			id, err = n.VerifyBasic(context.Background(), "alice", alicePassword, Origin{})
		}
		if err != nil {
			r.t.Fatalf("%s refuses a good credential: %v", name, err)
		}
		list[name] = n.Watch(context.Background(), id)
	}
	return list
}

// What makes an API key or Basic no good ends what goes on under it, on every replica, and before the command returns.
func TestWatchEndsWithAccess(t *testing.T) {
	ctx := context.Background()
	name, email := "alicia", "alice@example.com"
	for what, c := range map[string]struct {
		end        func(n *Node, u User, k APIKey) error
		key, basic bool // it ends that
	}{
		"key revoked": {func(n *Node, u User, k APIKey) error { return n.RevokeAPIKey(ctx, u.ID, k.ID, Origin{}) }, true, false},
		"key rotated": {func(n *Node, u User, k APIKey) error {
			_, _, err := n.RotateAPIKey(ctx, u.ID, k.ID, time.Hour, Origin{})
			return err
		}, true, false},
		"user disabled": {func(n *Node, u User, _ APIKey) error { return n.DisableUser(ctx, u.ID, Origin{}) }, true, true},
		"user deleted":  {func(n *Node, u User, _ APIKey) error { return n.DeleteUser(ctx, u.ID, Origin{}) }, true, true},
		"roles changed": {func(n *Node, u User, _ APIKey) error { return n.SetRoles(ctx, u.ID, nil, u.Scope, Origin{}) }, true, true},
		"role changed": {func(n *Node, _ User, _ APIKey) error {
			return n.SetRoleScopes(ctx, "reader", []string{"drafts"}, Origin{})
		}, true, true},
		"password set": {func(n *Node, u User, _ APIKey) error { return n.SetPassword(ctx, u.ID, "looking-glass", Origin{}) }, false, true},
		"renamed": {func(n *Node, u User, _ APIKey) error {
			return n.ChangeUser(ctx, u.ID, UserChange{Name: &name}, Origin{})
		}, false, true},
		"sessions ended": {func(n *Node, u User, _ APIKey) error { return n.RevokeUser(ctx, u.ID, Origin{}) }, false, true},
		"address changed": {func(n *Node, u User, _ APIKey) error {
			return n.ChangeUser(ctx, u.ID, UserChange{Email: &email}, Origin{})
		}, false, false},
	} {
		t.Run(what, func(t *testing.T) {
			basicBubble(t, func(t *testing.T, r *rig) {
				u, _ := r.nodes["a"].UserByName("alice")
				r.login("a")
				session := r.watchAll(r.login("a")) // its flag has the number of the key's
				k, text := r.key(nil)
				r.links["c"].SetDelays(eventstest.Delays{Deliver: 500 * time.Millisecond})
				keys, basics := r.watchAccess(text), r.watchAccess("")
				r.goesOn(keys)
				r.goesOn(basics)
				if err := c.end(r.nodes["b"], u, k); err != nil {
					t.Fatal(err)
				}
				if c.key {
					r.ended(keys, ErrInvalidKey)
				} else {
					r.goesOn(keys)
				}
				if c.basic {
					r.ended(basics, ErrInvalidBasic)
				} else {
					r.goesOn(basics)
				}
				if !c.basic {
					r.goesOn(session)
				}
				for _, list := range []map[string]*Watch{keys, basics, session} {
					for _, w := range list {
						w.Stop()
					}
				}
				r.unwatched()
			})
		})
	}
}

// A key that expires ends what goes on under it, and Basic never does.
func TestWatchEndsWhenKeyExpires(t *testing.T) {
	basicBubble(t, func(t *testing.T, r *rig) {
		_, text := r.key(func(k *NewAPIKey) { k.Life = time.Minute })
		keys, basics := r.watchAccess(text), r.watchAccess("")
		time.Sleep(time.Minute - time.Second)
		r.goesOn(keys)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		r.ended(keys, ErrExpired)
		r.goesOn(basics)
	})
}
