package node

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knell-auth/knell/events"
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

// Ids that somebody makes up, and those of others' sessions, are not written down, whoever asks and however often.
func TestMadeUpSessionsAreNotWrittenDown(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		r.user("bob", "long-enough-1")
		others := must(r.nodes["a"].Login(ctx, LoginRequest{Name: "bob", Password: "long-enough-1"}))(t)
		synctest.Wait()
		for _, at := range []string{"a", "b", "c"} {
			for _, id := range []events.ID{events.NewID(), others.Session} {
				began := time.Now()
				err := r.nodes[at].EndSession(ctx, id, r.alice(), Origin{Actor: r.alice().String()})
				if took := time.Since(began); !errors.Is(err, ErrNotFound) || took > time.Second {
					t.Errorf("%s: %v after %v", at, err, took)
				}
			}
			if err := r.nodes[at].Revoke(ctx, Revocation{Session: events.NewID()}, Origin{Reason: "test"}); !errors.Is(err, ErrNotFound) {
				t.Errorf("by an administrator: %v", err)
			}
		}
		if list := r.logged(events.TypeSessionRevoked); len(list) != 0 {
			t.Errorf("%d events were written", len(list))
		}
		r.accepted(others)
		r.links["b"].Cut()
		time.Sleep(4 * time.Second)
		if err := r.nodes["b"].EndSession(ctx, events.NewID(), r.alice(), Origin{}); !errors.Is(err, ErrNotCurrent) {
			t.Errorf("a replica that is cut off: %v", err)
		}
		r.links["b"].Heal()
	})
}
