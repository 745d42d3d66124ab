package node

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knell-auth/knell/events"
)

// What a replica counts is what happened.
func TestStats(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		n, ctx := r.nodes["a"], context.Background()
		before := n.Stats()
		tok, other := r.login("b"), r.login("a")
		r.accepted(tok)
		if err := n.Logout(ctx, tok.AccessToken, Origin{}); err != nil {
			t.Fatal(err)
		}
		if err := n.Logout(ctx, tok.AccessToken, Origin{}); err != nil { // again: one more wait
			t.Fatal(err)
		}
		forged := other.AccessToken[:len(other.AccessToken)-8] + "AAAAAAAA"
		for _, bad := range []string{tok.AccessToken, tok.AccessToken, forged, "knl_x", "x.y"} {
			if _, err := n.Verify(ctx, bad); err == nil {
				t.Errorf("%s is accepted", bad)
			}
		}
		time.Sleep(time.Second) // in which verifications are sampled
		for range 10 {
			r.accepted(other)
		}
		s := n.Stats()
		for reason, want := range map[string]uint64{"revoked": 2, "signature": 1, "api_key": 1, "invalid_token": 1, "not_current": 0, "expired": 0} {
			if got, ok := s.Refusals[reason]; !ok || got-before.Refusals[reason] != want {
				t.Errorf("refused because %s: %d, want %d", reason, got-before.Refusals[reason], want)
			}
		}
		if s.Logouts.Count() != 2 || s.Barriers.Count() != 2 || s.Barriers.Sum > s.Logouts.Sum || s.Unfinished["pending"] != 0 {
			t.Errorf("logouts %+v, barriers %+v, %v", s.Logouts, s.Barriers, s.Unfinished)
		}
		if s.Verifications.Count() <= before.Verifications.Count() {
			t.Error("no verification was sampled")
		}
		if s.Lease.Length != 3*time.Second || s.Lease.Age <= 0 || s.Lease.Age > time.Second || s.Lease.Age+n.Status().Lease != s.Lease.Length {
			t.Errorf("lease %+v, %v remain", s.Lease, n.Status().Lease)
		}
		if s.Log.Last < n.Status().Applied || time.Since(s.Log.Time) > 2*time.Second || s.Level != n.state.level || s.Known != events.Level {
			t.Errorf("log %+v, levels %d %d", s.Log, s.Level, s.Known)
		}

		// A replica that is cut off refuses, and a logout that does not wait for it is not complete.
		tok = r.login("a")
		r.links["c"].Cut()
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		var pending *PendingError
		if err := n.Logout(short, tok.AccessToken, Origin{}); !errors.As(err, &pending) {
			t.Errorf("cut off: %v", err)
		}
		time.Sleep(4 * time.Second)
		if _, err := r.nodes["c"].Verify(ctx, other.AccessToken); !errors.Is(err, ErrNotCurrent) {
			t.Error(err)
		}
		if s := n.Stats(); s.Unfinished["pending"] != 1 || s.Logouts.Count() != 2 {
			t.Errorf("%v, %d logouts", s.Unfinished, s.Logouts.Count())
		}
		if s := r.nodes["c"].Stats(); s.Refusals["not_current"] != 1 || s.Lease.Age != 0 {
			t.Errorf("cut off: %v, %+v", s.Refusals, s.Lease)
		}
		r.links["c"].Heal()
	})
}

// What is known of the log's leader and of snapshots, and steps of the wall clock.
func TestStatsOfTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newRig(t).start("a")
		for _, leader := range []string{"r1", "", "r1", "r2", "r2", "r1"} {
			n.noteLeader(events.Stat{Leader: leader, Last: 1 << 30})
		}
		n.keeping.lastDrift -= n.cfg.Lease // as if the wall clock had been set forward
		n.watchClocks()
		n.keeping.lastDrift += n.cfg.Lease
		n.watchClocks()
		if s := n.Stats(); s.Log.LeaderChanges != 2 || s.Log.Last != 1<<30 || s.StepsForward != 1 || s.StepsBack != 1 {
			t.Errorf("%+v, %d and %d steps", s.Log, s.StepsForward, s.StepsBack)
		}
	})
	var p past
	p.note(1, "", 10*60e9)
	p.note(5, "", 11*60e9)
	p.note(9, "", 14*60e9)
	for seq, want := range map[uint64]int64{0: 0, 1: 600, 4: 600, 5: 660, 8: 660, 9: 840, 100: 840} {
		if got := p.timeOf(seq); got != want {
			t.Errorf("the time of %d is %d, want %d", seq, got, want)
		}
	}
}
