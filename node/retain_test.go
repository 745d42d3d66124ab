package node

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/events/eventstest"
	"github.com/knell-auth/knell/internal/fence"
)

const (
	testEvery = 60              // messages between snapshots, about five seconds of beats
	testAge   = 2 * time.Minute // of what is kept
)

// retained runs f with replicas a, b and c that make snapshots and trim the log, and the user alice.
func retained(t *testing.T, f func(t *testing.T, r *rig), edit ...func(*Config)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.edit = func(c *Config) {
			link := c.Log.(*eventstest.Node)
			c.Retention = Retention{Store: link, Every: testEvery, Age: testAge, Trim: link.Trim}
			for _, e := range edit {
				e(c)
			}
		}
		for _, name := range []string{"a", "b", "c"} {
			r.start(name)
		}
		r.user("alice", alicePassword)
		f(t, r)
	})
}

// first returns where the log begins.
func (r *rig) first() uint64 {
	r.t.Helper()
	return must(r.log.Node("x").Stat(context.Background()))(r.t).First
}

// await waits until done says so.
func (r *rig) await(what string, done func() bool) {
	r.t.Helper()
	for range 600 {
		if done() {
			return
		}
		time.Sleep(time.Second)
	}
	r.t.Fatalf("%s: not in ten minutes", what)
}

// verified returns the sequence of the newest snapshot that most replicas have made, as a replica knows it.
func (r *rig) verified(at string) uint64 {
	n := r.nodes[at]
	n.mu.RLock()
	defer n.mu.RUnlock()
	if k, _ := n.state.verifiedLast(); k != nil {
		return k.seq
	}
	return 0
}

// sameState fails the test unless all replicas at rest would write the same snapshot.
func (r *rig) sameState() {
	r.t.Helper()
	r.same()
	var want []byte
	for name, n := range r.nodes {
		n.mu.RLock()
		data, _, err := n.state.encode()
		n.mu.RUnlock()
		if err != nil || want != nil && !bytes.Equal(data, want) {
			r.t.Errorf("%s has another state: %v", name, err)
		}
		want = data
	}
}

// A replica that starts from a snapshot is as good as one that has read the whole log.
func TestStartFromSnapshot(t *testing.T) {
	retained(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		good, gone := r.login("a"), r.login("b")
		if err := r.nodes["c"].Logout(ctx, gone.AccessToken, Origin{}); err != nil {
			t.Fatal(err)
		}
		next := must(r.nodes["b"].Refresh(ctx, RefreshRequest{Token: good.RefreshToken}))(t)
		r.await("a snapshot", func() bool { return r.verified("b") > next.Seq })
		r.kill("c")
		began := time.Now()
		c := r.start("c")
		if c.keeping.ringFrom <= next.Seq {
			t.Errorf("c began at %d, and there is a snapshot at %d", c.keeping.ringFrom, r.verified("b"))
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("c took %v: nobody is silent", took)
		}
		r.accepted(next)
		r.refused(gone, ErrRevoked)
		r.sameState()
		// In the time of grace, one that is repeated is no theft for c either.
		if _, err := c.Refresh(ctx, RefreshRequest{Token: good.RefreshToken}); err != nil {
			t.Errorf("repeated in the time of grace: %v", err)
		}
		if err := c.Logout(ctx, next.AccessToken, Origin{}); err != nil {
			t.Fatal(err)
		}
		r.refused(next, ErrRevoked)
		if s := c.Status(); s.Snapshot == 0 && r.verified("c") == 0 {
			t.Errorf("status: %+v", s)
		}
	})
}

// What is old enough is removed once a majority has made the snapshots that stand for it. Nothing of the state is lost by it, also for a
// replica that comes with an empty directory, and readers are told.
func TestTrim(t *testing.T) {
	retained(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		tok, gone := r.login("a"), r.login("a")
		if err := r.nodes["b"].Logout(ctx, gone.AccessToken, Origin{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(testAge)
		if first := r.first(); first != 1 {
			t.Fatalf("the log begins at %d before anything is old", first)
		}
		r.await("trimming", func() bool { return r.first() > gone.Seq })
		time.Sleep(10 * time.Second)
		for name, n := range r.nodes {
			begins, applied := n.LogBegins()
			if r.first() > begins || begins+testEvery > applied {
				t.Errorf("%s: the log begins at %d, and at %d as was decided, of %d", name, r.first(), begins, applied)
			}
		}
		r.accepted(tok)
		r.refused(gone, ErrRevoked)
		r.start("d")
		r.kill("b")
		r.start("b")
		r.accepted(tok)
		r.refused(gone, ErrRevoked)
		r.sameState()

		n := r.nodes["d"]
		nothing := func(EventBatch) error { return nil }
		if _, err := n.ReadEvents(ctx, EventQuery{After: 3}, 10, nothing); !errors.Is(err, ErrTrimmed) || !strings.Contains(err.Error(), "begins at") {
			t.Errorf("events after 3: %v, want ErrTrimmed", err)
		}
		last := uint64(0)
		page, err := n.ReadEvents(ctx, EventQuery{}, 10, func(b EventBatch) error {
			for _, e := range b.Events {
				last = e.Seq
			}
			return nil
		})
		if begins, _ := n.LogBegins(); err != nil || page.To < begins || last != 0 && last < begins {
			t.Errorf("all that there is: %v, %+v, up to %d", err, page, last)
		}
		if _, err := n.ReadLog(ctx, 0, 0, func(LogEntry) error { return nil }); !errors.Is(err, ErrTrimmed) {
			t.Errorf("the whole log: %v, want ErrTrimmed", err)
		}
		count := uint64(0)
		end, err := n.ReadLog(ctx, r.verified("d"), 0, func(e LogEntry) error {
			count++
			return nil
		})
		if err != nil || end.Digest != end.Applied || count != end.Seq-r.verified("d") {
			t.Errorf("from a snapshot on: %v, %+v, %d entries", err, end, count)
		}
	})
}

// One clock that is set forward makes log time jump, and nothing old: what most replicas' clocks do not say is not removed for it.
func TestOneClockTrimsNothing(t *testing.T) {
	retained(t, func(t *testing.T, r *rig) {
		r.await("snapshots", func() bool { return r.verified("a") > testEvery })
		n := r.nodes["c"]
		e := n.newEvent(&events.NodeBeat{Pings: []events.Ping{{
			Node: "c", Incarnation: n.life.inc, Counter: 1 << 30, Applied: n.hot.applied.Load(), Level: n.life.level, LeaseMillis: 3000,
		}}}, "c", Origin{Actor: "system"})
		e.Time = e.Time.AddDate(0, 6, 0)
		n.life.ids.seal(e)
		must(r.links["c"].Append(context.Background(), e))(t)
		synctest.Wait()
		if log := r.nodes["a"].hot.logTime.Load(); log < e.Time.Unix() {
			t.Fatalf("log time is %v", time.Unix(log, 0))
		}
		for name, n := range r.nodes { // the others have not been heard of again
			if p := n.plan(false); p.trim != 0 {
				t.Errorf("%s trims up to %d", name, p.trim)
			}
			n.mu.RLock()
			alone := n.state.verified(&snapshotCheck{nodes: []string{"c"}})
			n.mu.RUnlock()
			if alone {
				t.Errorf("for %s c alone is more than half of the replicas", name)
			}
		}
		time.Sleep(testAge / 2)
		if first := r.first(); first != 1 {
			t.Errorf("the log begins at %d: the clock of c was half a year ahead, for one beat", first)
		}
		r.sameState()
	})
}

// Events are not removed when they are kept for ever.
func TestKeptForEver(t *testing.T) {
	retained(t, func(t *testing.T, r *rig) {
		time.Sleep(3 * testAge)
		if first := r.first(); first != 1 || r.verified("a") == 0 {
			t.Errorf("the log begins at %d, the newest snapshot is at %d", first, r.verified("a"))
		}
		if list := must(r.links["a"].Snapshots(context.Background()))(t); len(list) < snapshotKept || len(list) > snapshotKept+2 {
			t.Errorf("%d snapshots are kept", len(list))
		}
	}, func(c *Config) { c.Retention.Age = 0 })
}

// blind is a store that gives nothing back.
type blind struct{ *eventstest.Node }

// GetSnapshot implements Store.
func (blind) GetSnapshot(context.Context, events.Snapshot) ([]byte, error) {
	return nil, events.ErrSnapshot
}

// While nobody but its author has made a snapshot, nothing is removed: they are lost, and nothing is. Trimmed all the same, the log
// would be of no use.
func TestTrimNeedsMajority(t *testing.T) {
	for _, broken := range []fence.Mutation{0, fence.NoMajority} {
		retained(t, func(t *testing.T, r *rig) {
			tok := r.login("a")
			time.Sleep(3 * testAge)
			if trimmed := r.first() > 1; trimmed != (broken != 0) {
				t.Fatalf("without %v: trimmed is %v", broken, trimmed)
			}
			r.kill("c")
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			c, err := Start(ctx, r.config("c"))
			if lost := err != nil; lost != (broken != 0) {
				t.Errorf("without %v: %v", broken, err)
			}
			if err == nil {
				r.nodes["c"] = c
				r.accepted(must(c.Refresh(ctx, RefreshRequest{Token: tok.RefreshToken}))(t))
			}
		}, func(c *Config) {
			c.Break, c.Retention.Store = broken, blind{c.Log.(*eventstest.Node)}
		})
	}
}

// A replica that was away while what it lacks was removed begins again from a snapshot. One that is cut off for so long ends and says
// why; it never goes on without what it has missed.
func TestAwayWhileTrimmed(t *testing.T) {
	retained(t, func(t *testing.T, r *rig) {
		tok := r.login("a")
		gone := r.login("b")
		r.leave("c")
		r.links["b"].Cut()
		b := r.nodes["b"]
		behind := b.hot.applied.Load()
		if err := r.nodes["a"].Logout(context.Background(), gone.AccessToken, Origin{}); err != nil {
			t.Fatal(err)
		}
		r.await("trimming", func() bool { return r.first() > behind+1 })
		tok = must(r.nodes["a"].Refresh(context.Background(), RefreshRequest{Token: tok.RefreshToken}))(t)
		r.links["b"].Heal()
		select {
		case <-b.Fenced():
		case <-time.After(time.Minute):
			t.Fatal("b goes on without what it has missed")
		}
		if s := b.Status(); !strings.Contains(s.Fenced, "trimmed") || s.Ready {
			t.Errorf("status: %+v", s)
		}
		if _, err := b.Verify(context.Background(), gone.AccessToken); !errors.Is(err, ErrNotCurrent) {
			t.Errorf("b says %v of a token that was revoked", err)
		}
		b.stop()
		delete(r.nodes, "b")
		r.start("b")
		r.start("c")
		r.accepted(tok)
		r.refused(gone, ErrRevoked)
		r.sameState()
	})
}

// Trimming gives a log that fills up room again, at once.
func TestTrimGivesRoom(t *testing.T) {
	retained(t, func(t *testing.T, r *rig) {
		time.Sleep(5 * testAge)
		if first := r.first(); first != 1 {
			t.Fatalf("the log begins at %d while there is room", first)
		}
		r.fill(0.85)
		n := r.nodes["a"]
		if sheds := n.Status().LogSheds; sheds != "attempts" {
			t.Errorf("sheds %q", sheds)
		}
		time.Sleep(time.Minute)
		if r.first() == 1 || n.Status().LogSheds != "" || n.nearlyFull(attemptShare) {
			t.Errorf("sheds %q, begins at %d", n.Status().LogSheds, r.first())
		}
		r.sameState()
	}, func(c *Config) { c.Retention.Every = 1 << 40 })
}
