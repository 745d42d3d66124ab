package node

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// flood carries something out as often as it may be in 30 s, at each replica in turn, and returns how often that was.
func (r *rig) flood(act func(n *Node) error) (done int) {
	r.t.Helper()
	for start := time.Now(); time.Since(start) < 30*time.Second; {
		err := act(r.nodes[[]string{"a", "b", "c"}[done%3]])
		var l *LimitedError
		switch {
		case err == nil:
			done++
		case !errors.As(err, &l) || l.RetryAfter > 2*time.Second:
			r.t.Fatal(err)
		default:
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
		}
	}
	return done
}

// A session that ends others again and again fills the log no faster than it may. It is heard the first time, however often it was
// refreshed, and so is every other session of the user.
func TestLogoutOthersFlood(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		tok := r.login("a")
		r.flood(func(n *Node) error {
			next, err := n.Refresh(ctx, RefreshRequest{Token: tok.RefreshToken})
			if err == nil {
				tok = next
			}
			return err
		})
		if err := r.nodes["b"].LogoutOthers(ctx, tok.AccessToken, Origin{}); err != nil {
			t.Errorf("the first time: %v", err)
		}
		done := r.flood(func(n *Node) error { return n.LogoutOthers(ctx, tok.AccessToken, Origin{}) })
		if done < 30+12 || done > 30+18 {
			t.Errorf("others were ended %d times in 30 s", done)
		}
		other := r.login("c")
		if err := r.nodes["a"].LogoutOthers(ctx, other.AccessToken, Origin{}); err != nil {
			t.Errorf("from another session: %v", err)
		}
		r.refused(tok, ErrRevoked)
		r.same()
	})
}

// Users make and rotate keys no faster than they may; whoever administers a replica is not paced.
func TestAPIKeyFlood(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		u, _ := r.nodes["a"].UserByName("alice")
		k, _ := r.key(nil)
		rotate := func(n *Node, o Origin) error {
			_, _, err := n.RotateAPIKey(context.Background(), u.ID, k.ID, 0, o)
			return err
		}
		if done := r.flood(func(n *Node) error { return rotate(n, Origin{Actor: u.ID.String()}) }); done < 30+12 || done > 30+18 {
			t.Errorf("%d rotations in 30 s", done)
		}
		_ = rotate(r.nodes["a"], Origin{Actor: u.ID.String()}) // so that this second is used
		_, _, err := r.nodes["b"].CreateAPIKey(context.Background(), NewAPIKey{User: u.ID}, Origin{Actor: u.ID.String()})
		if !errors.As(err, new(*LimitedError)) {
			t.Errorf("another key: %v", err)
		}
		for range 20 {
			if err := rotate(r.nodes["c"], Origin{Actor: "local"}); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.nodes["a"].RevokeAPIKey(context.Background(), u.ID, k.ID, Origin{Actor: u.ID.String()}); err != nil {
			t.Errorf("its end: %v", err)
		}
		r.same()
	})
}
