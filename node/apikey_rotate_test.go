package node

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knell-auth/knell/events"
)

func TestAPIKeyRotation(t *testing.T) {
	bubbleWith(t, seldom, func(t *testing.T, r *rig) {
		ctx := context.Background()
		u, _ := r.nodes["a"].UserByName("alice")
		k, first := r.key(func(nk *NewAPIKey) { nk.Life = KeyForEver })
		r.accepted(Tokens{AccessToken: first})
		rotated, second, err := r.nodes["b"].RotateAPIKey(ctx, u.ID, k.ID, 10*time.Minute, Origin{})
		if err != nil || rotated.ID != k.ID || !rotated.Expires.IsZero() || rotated.OldExpires.IsZero() || second[:30] != first[:30] {
			t.Fatalf("%v, %+v", err, rotated)
		}
		r.accepted(Tokens{AccessToken: first})
		r.accepted(Tokens{AccessToken: second})
		time.Sleep(10*time.Minute - 2*time.Second)
		r.accepted(Tokens{AccessToken: first})
		time.Sleep(4 * time.Second)
		r.refused(Tokens{AccessToken: first}, ErrInvalidKey)
		r.accepted(Tokens{AccessToken: second})

		_, third, err := r.nodes["c"].RotateAPIKey(ctx, u.ID, k.ID, 0, Origin{})
		if err != nil {
			t.Fatal(err)
		}
		r.refused(Tokens{AccessToken: second}, ErrInvalidKey)
		// Two secrets are good at the most, whatever was said of the oldest.
		_, fourth, err1 := r.nodes["a"].RotateAPIKey(ctx, u.ID, k.ID, time.Hour, Origin{})
		_, fifth, err2 := r.nodes["a"].RotateAPIKey(ctx, u.ID, k.ID, time.Hour, Origin{})
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		r.refused(Tokens{AccessToken: third}, ErrInvalidKey)
		r.accepted(Tokens{AccessToken: fourth})
		r.accepted(Tokens{AccessToken: fifth})
		for what, try := range map[string]func() error{
			"another's": func() error {
				_, _, err := r.nodes["a"].RotateAPIKey(ctx, events.NewID(), k.ID, 0, Origin{})
				return err
			},
			"no key": func() error {
				_, _, err := r.nodes["a"].RotateAPIKey(ctx, u.ID, events.NewID(), 0, Origin{})
				return err
			},
		} {
			if err := try(); !errors.Is(err, ErrNotFound) {
				t.Errorf("%s: %v", what, err)
			}
		}
		r.same()
	})
}

// Two rotations at once leave one good secret for each that was given out, and the same state everywhere.
func TestAPIKeyRotationRace(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		u, _ := r.nodes["a"].UserByName("alice")
		k, _ := r.key(nil)
		texts := make(chan string, 2)
		var both sync.WaitGroup
		for _, at := range []string{"b", "c"} {
			both.Go(func() {
				_, text, err := r.nodes[at].RotateAPIKey(context.Background(), u.ID, k.ID, time.Hour, Origin{})
				if err != nil {
					t.Error(err)
				}
				texts <- text
			})
		}
		both.Wait()
		r.accepted(Tokens{AccessToken: <-texts})
		r.accepted(Tokens{AccessToken: <-texts})
		r.same()
	})
}

// Whoever loses against others again and again is told so: nothing was done. How many do is up to the scheduler.
func TestAPIKeyRotationByACrowd(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		u, _ := r.nodes["a"].UserByName("alice")
		k, _ := r.key(nil)
		var done, lost atomic.Int32
		var all sync.WaitGroup
		for _, n := range r.nodes {
			for range 20 {
				all.Go(func() {
					switch _, text, err := n.RotateAPIKey(context.Background(), u.ID, k.ID, 0, Origin{}); {
					case err == nil:
						done.Add(1)
					case errors.Is(err, ErrConflict) && text == "":
						lost.Add(1)
					default:
						t.Error(err)
					}
				})
			}
		}
		all.Wait()
		if done.Load() == 0 || done.Load()+lost.Load() != 60 || len(have[*events.APIKeyRotated](r)) != int(done.Load()) {
			t.Errorf("%d rotated, %d lost, %d recorded", done.Load(), lost.Load(), len(have[*events.APIKeyRotated](r)))
		}
		r.same()
	})
}

// No secret outlives its key, and a key that has expired gets none.
func TestAPIKeyRotationEndsWithTheKey(t *testing.T) {
	bubbleWith(t, seldom, func(t *testing.T, r *rig) {
		ctx := context.Background()
		n := r.nodes["a"]
		u, _ := n.UserByName("alice")
		k, _ := r.key(func(nk *NewAPIKey) { nk.Life = time.Hour })
		rotated, _, err := n.RotateAPIKey(ctx, u.ID, k.ID, 2*time.Hour, Origin{})
		if err != nil || !rotated.OldExpires.Equal(k.Expires) {
			t.Errorf("%v: the old secret until %v, the key until %v", err, rotated.OldExpires, k.Expires)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if _, text, err := n.RotateAPIKey(ctx, u.ID, k.ID, 0, Origin{}); !errors.Is(err, ErrBadRequest) || text != "" {
			t.Errorf("expired: %v", err)
		}
	})
}

// The room that is kept for revocations is not for rotations.
func TestAPIKeyRotationNeedsRoom(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		u, _ := r.nodes["a"].UserByName("alice")
		k, _ := r.key(nil)
		r.fill(0.96)
		if _, _, err := r.nodes["a"].RotateAPIKey(context.Background(), u.ID, k.ID, 0, Origin{}); !errors.Is(err, ErrFull) {
			t.Errorf("rotated: %v", err)
		}
		if err := r.nodes["a"].RevokeAPIKey(context.Background(), u.ID, k.ID, Origin{}); err != nil {
			t.Errorf("revoked: %v", err)
		}
	})
}
