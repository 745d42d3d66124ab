package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/events/eventstest"
)

// Whether it is read from the log or as it comes, in pages or by a follower, at whichever replica: the events are the public ones of
// the log, all of them and in its order, and void where the fold says so.
func TestEventsAreTheLogs(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		synctest.Wait()
		early := follow(t, r.nodes["b"], EventQuery{}, nil)
		now := follow(t, r.nodes["c"], EventQuery{After: EventsFromNow}, nil)
		synctest.Wait()
		began := now.to
		tok := r.login("a")
		must0(t, r.nodes["b"].Logout(ctx, tok.AccessToken, Origin{}))
		bob := r.user("bob", "a long enough one")
		o := Origin{Actor: "local", Reason: "test"}
		must0(t, r.nodes["a"].DisableUser(ctx, bob.ID, o))
		must0(t, r.nodes["b"].DisableUser(ctx, bob.ID, o))
		now.want(
			"session.started of alice by alice", "revoked.session of alice by alice", "account.user_created of bob",
			"revoked.user of bob", "revoked.user void:noop of bob")
		late := follow(t, r.nodes["c"], EventQuery{}, nil)
		synctest.Wait()
		void := map[uint64]string{}
		for _, e := range late.got {
			void[e.seq] = e.Void
		}
		var want []uint64
		for _, m := range r.log.Messages() {
			if events.AccessTo(m.Subject) == events.Public {
				want = append(want, m.Seq)
			}
		}
		for name, f := range map[string]*follower{
			"from the beginning": early, "after all": late, "in pages": page(t, r.nodes["a"], EventQuery{}, 2), "in one page": page(t, r.nodes["b"], EventQuery{}, 1000),
		} {
			var seqs []uint64
			for _, e := range f.got {
				seqs = append(seqs, e.seq)
				if void[e.seq] != e.Void {
					t.Errorf("%s: event %d is void %q and void %q", name, e.seq, e.Void, void[e.seq])
				}
			}
			if !slices.Equal(seqs, want) {
				t.Errorf("%s: got %v, want %v", name, seqs, want)
			}
		}
		if now.got[0].seq <= began || len(now.got) == len(want) {
			t.Error("a follower from now on got what was there before")
		}
		r.nodes["a"].mu.RLock()
		defer r.nodes["a"].mu.RUnlock()
		for _, p := range []*past{&r.nodes["b"].state.past, &r.nodes["c"].state.past} {
			if a := &r.nodes["a"].state.past; !slices.Equal(p.voids, a.voids) || !slices.Equal(p.minutes, a.minutes) {
				t.Errorf("replicas know different pasts: %v, %v", *p, *a)
			}
		}
	})
}

// Who begins again at another replica with the position of the last batch misses nothing and gets nothing twice, also at one that
// lags.
func TestEventsResumeAtAnotherReplica(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		all := follow(t, r.nodes["a"], EventQuery{After: EventsFromNow}, nil)
		synctest.Wait()
		at, got := all.to, []found(nil)
		r.links["c"].SetDelays(eventstest.Delays{Deliver: 300 * time.Millisecond})
		for i := range 30 {
			name := []string{"a", "b", "c"}[i%3]
			f := follow(t, r.nodes[name], EventQuery{After: at}, nil)
			r.login("a")
			shown()
			f.stop()
			if at = max(at, f.to); !errors.Is(f.err, context.Canceled) {
				t.Fatalf("%s: %v", name, f.err)
			}
			got = append(got, f.got...)
		}
		f := follow(t, r.nodes["c"], EventQuery{After: at}, nil)
		time.Sleep(time.Second)
		synctest.Wait()
		if got = append(got, f.got...); !slices.Equal(got, all.got) || len(got) < 30 {
			t.Errorf("%d events in parts, %d in one", len(got), len(all.got))
		}
	})
}

// Filters: types by their beginning, a user's timeline, a session's timeline with what ended it, and time.
func TestEventFilters(t *testing.T) {
	bubbleWith(t, seldom, func(t *testing.T, r *rig) {
		ctx := context.Background()
		alice, _ := r.nodes["a"].UserNamed("alice")
		bob := r.user("bob", "a long enough one")
		first, second := r.login("a"), r.login("b")
		refreshed, err := r.nodes["c"].Refresh(ctx, RefreshRequest{Token: first.RefreshToken})
		must0(t, err)
		time.Sleep(10 * time.Minute)
		since := time.Now()
		third := r.login("c")
		o := Origin{Actor: bob.ID.String()}
		must0(t, r.nodes["a"].EndSession(ctx, second.Session, events.ID{}, o))
		must0(t, r.nodes["a"].LogoutOthers(ctx, third.AccessToken, Origin{}))
		must0(t, r.nodes["b"].DisableUser(ctx, alice.ID, o))
		must0(t, r.nodes["b"].EnableUser(ctx, alice.ID, o))
		must0(t, r.nodes["b"].RevokeUser(ctx, alice.ID, o))
		_ = refreshed
		started, byBob := "session.started of alice by alice", "revoked.user of alice by bob"
		for name, c := range map[string]struct {
			q    EventQuery
			want []string
		}{
			"types":  {EventQuery{Types: []string{"revoked.session", "knell.account.user_en"}}, []string{"revoked.session of alice by bob", "account.user_enabled of alice by bob"}},
			"first":  {EventQuery{Session: first.Session}, []string{started, "session.refreshed by alice", "revoked.user of alice by alice"}},
			"second": {EventQuery{Session: second.Session}, []string{started, "revoked.session of alice by bob"}},
			"third":  {EventQuery{Session: third.Session}, []string{started, "revoked.user of alice by alice", byBob}},
			"bob":    {EventQuery{User: bob.ID}, []string{"account.user_created of bob", "revoked.session of alice by bob", byBob, "account.user_enabled of alice by bob", byBob}},
			"alice": {EventQuery{User: alice.ID}, []string{"account.user_created of alice", started, started, "session.refreshed by alice", started,
				"revoked.session of alice by bob", "revoked.user of alice by alice", byBob, "account.user_enabled of alice by bob", byBob}},
			"subject": {EventQuery{Subject: second.Session.String()}, []string{started, "revoked.session of alice by bob"}},
			"since":   {EventQuery{Since: since, Types: []string{"session"}}, []string{started}},
			"both":    {EventQuery{User: bob.ID, Session: third.Session}, []string{byBob}},
		} {
			t.Log(name)
			follow(t, r.nodes["c"], c.q, nil).want(c.want...)
			page(t, r.nodes["a"], c.q, 1).want(c.want...)
		}
		if r.nodes["a"].state.past.before(since.Unix()) == 0 {
			t.Error("the log was read from its beginning to find what came after 10 minutes")
		}
		for _, types := range []string{"", "x", "knell.", "secret", "session.startedd"} {
			if _, err := r.nodes["a"].ReadEvents(ctx, EventQuery{Types: []string{types}}, 1, nil); !errors.Is(err, ErrBadRequest) {
				t.Errorf("type %q: %v", types, err)
			}
		}
	})
}

// The timeline of a live session goes on as it is followed, and ends with what ends the session.
func TestLiveSessionTimeline(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		tok := r.login("a")
		f := follow(t, r.nodes["b"], EventQuery{Session: tok.Session, After: tok.Seq}, nil)
		other := r.login("b")
		must0(t, r.nodes["c"].Revoke(context.Background(), Revocation{Everything: true}, Origin{Actor: "local"}))
		must0(t, r.nodes["c"].Revoke(context.Background(), Revocation{Everything: true}, Origin{Actor: "local"}))
		f.want("revoked.everything")
		// Read when it has ended: whose it was is found before the position.
		follow(t, r.nodes["a"], EventQuery{Session: other.Session, After: other.Seq}, nil).want("revoked.everything")
	})
}

// Names are those of the moment of reading: after a change or a deletion nobody is told the old one, not even a follower that was
// there all the time.
func TestEventNamesAreOfNow(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		synctest.Wait()
		gate := make(chan struct{})
		f := follow(t, r.nodes["b"], EventQuery{After: EventsFromNow, Types: []string{"account"}}, gate)
		synctest.Wait()
		bob, carol := r.user("bob", "a long enough one"), r.user("carol", "a long enough one")
		for range 100 { // more than one batch
			must0(t, r.nodes["a"].SetRoles(ctx, bob.ID, []string{fmt.Sprint(len(f.got))}, []string{"profile"}, Origin{}))
			must0(t, r.nodes["a"].SetRoles(ctx, bob.ID, nil, nil, Origin{}))
		}
		shown()
		robert := "robert"
		must0(t, r.nodes["a"].ChangeUser(ctx, bob.ID, UserChange{Name: &robert}, Origin{}))
		must0(t, r.nodes["a"].DeleteUser(ctx, carol.ID, Origin{}))
		close(gate)
		shown()
		for i, e := range f.got[1:] { // the first batch was looked at before
			if i > followBatch && e.Username == "bob" || e.Username == "carol" && i > 0 {
				t.Fatalf("event %d of %d: %v", i, len(f.got), e)
			}
		}
		for _, e := range page(t, r.nodes["c"], EventQuery{}, 1000).got {
			if e.Username == "bob" || e.Username == "carol" {
				t.Errorf("read again: %v", e)
			}
		}
	})
}

// A follower that takes nothing is told so when the ring has gone on without it, and delays neither the others nor the replica.
func TestSlowFollower(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		b := r.nodes["b"]
		b.hot.feed.limit = 100
		synctest.Wait()
		gate := make(chan struct{})
		slow := follow(t, b, EventQuery{After: EventsFromNow}, gate)
		fast := follow(t, b, EventQuery{After: EventsFromNow}, nil)
		synctest.Wait()
		for range 150 {
			r.login("a")
			shown()
		}
		if len(slow.got) > 0 || len(fast.got) < 150 {
			t.Errorf("the slow one has %d events, the fast one %d", len(slow.got), len(fast.got))
		}
		close(gate)
		<-slow.done
		var told *SlowError
		if !errors.As(slow.err, &told) || len(slow.got) == 0 || told.Last != slow.got[len(slow.got)-1].seq {
			t.Fatalf("%v, with %d events", slow.err, len(slow.got))
		}
		again := follow(t, b, EventQuery{After: told.Last}, nil)
		shown()
		if got := append(slow.got, again.got...); !slices.Equal(got, fast.got) {
			t.Errorf("%d events in two parts, %d in one", len(got), len(fast.got))
		}
	})
}

// Positions that are none: of the future, and before what the log still has. 0 is the oldest event that there is.
func TestBadPositions(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		tok := r.login("a")
		a, none := r.nodes["a"], func(EventBatch) error { return nil }
		began := time.Now()
		_, err := a.ReadEvents(ctx, EventQuery{After: 1 << 40}, 1, none)
		if took := time.Since(began); !errors.Is(err, ErrBadRequest) || took > time.Second {
			t.Errorf("the future: %v after %v", err, took)
		}
		r.log.Trim(tok.Seq)
		for _, after := range []uint64{1, tok.Seq - 2} {
			if err := a.FollowEvents(ctx, EventQuery{After: after}, time.Minute, none); !errors.Is(err, ErrTrimmed) {
				t.Errorf("after %d, of a log that begins at %d: %v", after, tok.Seq, err)
			}
		}
		for _, after := range []uint64{0, tok.Seq - 1} {
			if got := page(t, a, EventQuery{After: after}, 10); got.got[0].seq != tok.Seq {
				t.Errorf("after %d: %v", after, got.got)
			}
		}
		r.links["a"].Cut()
		time.Sleep(5 * time.Second)
		for _, after := range []uint64{0, 1 << 40} {
			if _, err := a.ReadEvents(ctx, EventQuery{After: after}, 1, none); !errors.Is(err, ErrNotCurrent) {
				t.Errorf("without a lease, after %d: %v", after, err)
			}
		}
	})
}

// Somebody who reads a long log does not keep others from reading; a stream of nothing has heartbeats with its position.
func TestReadersTakeTurns(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		a := r.nodes["a"]
		for range 100 {
			r.login("a")
		}
		var gates []chan struct{}
		for range maxReadings {
			gate := make(chan struct{})
			gates = append(gates, gate)
			follow(t, a, EventQuery{}, gate)
		}
		synctest.Wait()
		other := follow(t, a, EventQuery{Types: []string{"revoked"}}, nil)
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		if other.beats < 3 {
			t.Errorf("%d heartbeats of one that waits", other.beats)
		}
		at := other.to
		for _, gate := range gates {
			close(gate)
		}
		time.Sleep(3 * time.Minute)
		if synctest.Wait(); other.to <= at || len(other.got) > 0 {
			t.Errorf("it is at %d, was at %d and has found %v", other.to, at, other.got)
		}
	})
}
