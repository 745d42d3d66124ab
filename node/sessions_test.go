package node

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knell-auth/knell/events"
)

// public returns the public events in the log with a payload of type P, and which of them are void.
func public[P events.Payload](t *testing.T, n *Node) (list []events.Event, void []string) {
	t.Helper()
	_, err := n.ReadLog(context.Background(), 0, 0, func(entry LogEntry) error {
		var e events.Event
		if entry.Event == nil {
			return nil
		}
		if err := events.Decode(entry.Event, &e); err != nil {
			return err
		}
		if _, ok := e.Data.(P); ok {
			list, void = append(list, e), append(void, entry.Void)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list, void
}

func (r *rig) alice() events.ID {
	r.t.Helper()
	u, ok := r.nodes["a"].UserByName("alice")
	if !ok {
		r.t.Fatal("no alice")
	}
	return u.ID
}

// A user sees where the own sessions are used, on every replica alike.
func TestSessionsSayWhere(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		phone := Origin{Address: "2001:db8::7", UserAgent: "phone/1"}
		desk := Origin{Address: "203.0.113.9", UserAgent: "browser/2"}
		one := must(r.nodes["a"].Login(ctx, LoginRequest{Name: "alice", Password: alicePassword, Origin: phone, Remember: true}))(t)
		time.Sleep(time.Minute)
		two := must(r.nodes["b"].Login(ctx, LoginRequest{Name: "alice", Password: alicePassword, Origin: desk, Scope: []string{"notes"}}))(t)
		time.Sleep(time.Minute)
		must(r.nodes["c"].Refresh(ctx, RefreshRequest{Token: one.RefreshToken, Origin: desk}))(t)
		synctest.Wait()
		for name, n := range r.nodes {
			list := must(n.UserSessions(r.alice()))(t)
			if len(list) != 2 || list[0].ID != two.Session || list[1].ID != one.Session {
				t.Fatalf("%s: %+v", name, list)
			}
			now := time.Now()
			want := Session{ID: two.Session, Scope: []string{"notes"}, Address: "203.0.113.9", UserAgent: "browser/2"}
			got := list[0]
			if got.ID != want.ID || !slices.Equal(got.Scope, want.Scope) || got.Address != want.Address || got.UserAgent != want.UserAgent ||
				got.Remember || !got.Refreshed.IsZero() || now.Sub(got.Started) != time.Minute {
				t.Errorf("%s: %+v", name, got)
			}
			if got := list[1]; got.Address != "203.0.113.9" || got.UserAgent != "browser/2" || !got.Remember ||
				now.Sub(got.Started) != 2*time.Minute || now.Sub(got.Refreshed) != 0 {
				t.Errorf("%s, refreshed from elsewhere: %+v", name, got)
			}
		}
		r.links["c"].Cut()
		time.Sleep(4 * time.Second)
		if _, err := r.nodes["c"].UserSessions(r.alice()); !errors.Is(err, ErrNotCurrent) {
			t.Errorf("a replica without a lease: %v", err)
		}
	})
}

// A session is ended by its id at any replica; somebody else's is not there.
func TestEndSession(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		bob := r.user("bob", "long-enough-1")
		one, two := r.login("a"), r.login("b")
		if err := r.nodes["c"].EndSession(ctx, one.Session, bob.ID, Origin{}); !errors.Is(err, ErrNotFound) {
			t.Errorf("somebody else's: %v", err)
		}
		if err := r.nodes["c"].EndSession(ctx, events.NewID(), r.alice(), Origin{}); !errors.Is(err, ErrNotFound) {
			t.Errorf("no session: %v", err)
		}
		r.accepted(one)
		for range 2 { // again is as good
			if err := r.nodes["c"].EndSession(ctx, one.Session, r.alice(), Origin{Actor: "x", Reason: "lost"}); err != nil {
				t.Fatal(err)
			}
			r.refused(one, ErrRevoked)
		}
		r.accepted(two)
		list, void := public[*events.SessionRevoked](t, r.nodes["a"])
		if !slices.Equal(void, []string{""}) || list[0].Reason != "lost" {
			t.Errorf("events %v, void %v", list, void)
		}
		r.same()
	})
}

// A replica that has not heard of a session yet ends it just the same: whether there is one is for the log to say.
func TestLaggingReplicaEndsSession(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.lag("c")
		tok := r.login("a")
		if err := r.nodes["c"].EndSession(context.Background(), tok.Session, r.alice(), Origin{}); err != nil {
			t.Fatal(err)
		}
		r.refused(tok, ErrRevoked)
	})
}

func TestLogoutOthers(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		mine, one, two := r.login("a"), r.login("b"), r.login("c")
		r.accepted(one)
		if err := r.nodes["b"].LogoutOthers(ctx, mine.AccessToken, Origin{}); err != nil {
			t.Fatal(err)
		}
		r.refused(one, ErrRevoked)
		r.refused(two, ErrRevoked)
		r.accepted(mine)
		next := must(r.nodes["c"].Refresh(ctx, RefreshRequest{Token: mine.RefreshToken}))(t)
		r.accepted(next)
		if err := r.nodes["a"].LogoutOthers(ctx, one.AccessToken, Origin{}); !errors.Is(err, ErrRevoked) {
			t.Errorf("by a session that has ended: %v", err)
		}
		r.accepted(next)
		r.same()
	})
}

// Log out everywhere, and again: the second time waits like the first. But a token that ended alone ends nobody else.
func TestLogoutAll(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		alone, mine, other := r.login("a"), r.login("a"), r.login("b")
		if err := r.nodes["b"].Logout(ctx, alone.AccessToken, Origin{}); err != nil {
			t.Fatal(err)
		}
		if err := r.nodes["c"].LogoutAll(ctx, alone.AccessToken, Origin{}); !errors.Is(err, ErrRevoked) {
			t.Errorf("by a token that has ended: %v", err)
		}
		r.accepted(other)

		r.links["c"].Cut()
		short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		defer cancel()
		var pending *PendingError
		if err := r.nodes["a"].LogoutAll(short, mine.AccessToken, Origin{}); !errors.As(err, &pending) {
			t.Fatalf("got %v, want a PendingError", err)
		}
		if err := r.nodes["b"].LogoutAll(ctx, mine.AccessToken, Origin{}); err != nil {
			t.Fatal(err)
		}
		if time.Now().Before(pending.Certain.Add(-time.Second)) {
			t.Error("the repetition did not wait for the silent replica")
		}
		r.refusedOrSilent(mine)
		r.refusedOrSilent(other)

		fresh := r.login("a")
		if err := r.nodes["a"].LogoutAll(ctx, mine.AccessToken, Origin{}); err != nil {
			t.Errorf("repeated: %v", err)
		}
		if _, err := r.nodes["a"].Verify(ctx, fresh.AccessToken); err != nil {
			t.Errorf("an old token ended a newer session: %v", err)
		}
		r.links["c"].Heal()
		time.Sleep(5 * time.Second)
		r.same()
	})
}

// A replay after the grace window is answered when no replica accepts the session any more, and the event says why.
func TestReplayIsRecordedAndWaits(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		tok := r.login("a")
		next := must(r.nodes["a"].Refresh(ctx, RefreshRequest{Token: tok.RefreshToken}))(t)
		time.Sleep(31 * time.Second)
		r.accepted(next)
		r.links["c"].Cut()
		began := time.Now()
		thief := Origin{Address: "198.51.100.6", UserAgent: "thief/1"}
		if _, err := r.nodes["b"].Refresh(ctx, RefreshRequest{Token: tok.RefreshToken, Origin: thief}); !errors.Is(err, ErrInvalidGrant) {
			t.Fatal(err)
		}
		if took := time.Since(began); took < time.Second {
			t.Errorf("answered after %v, while c held a lease", took)
		}
		r.refusedOrSilent(next)
		list, _ := public[*events.SessionRevoked](t, r.nodes["a"])
		if len(list) != 1 || list[0].Reason != "refresh_token_replayed" || list[0].Address != thief.Address ||
			list[0].UserAgent != thief.UserAgent {
			t.Errorf("events: %+v", list)
		}
	})
}
