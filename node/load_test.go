package node

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knell-auth/knell/events"
)

// A replica that starts from a snapshot does not see the beats that are in it: whoever holds a lease from one of them is waited for all
// the same.
func TestSnapshotHasHolders(t *testing.T) {
	retained(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		tok := r.login("a")
		r.accepted(tok)
		time.Sleep(time.Second)
		r.links["b"].Cut()
		n := r.nodes["a"]
		for range 3 { // beats of the others, so that none of b is in the tail
			time.Sleep(n.cfg.Lease / beatsPerLease)
		}
		synctest.Wait()
		n.mu.RLock()
		seq, digest := n.state.seq, n.state.digest
		n.mu.RUnlock()
		if err := n.takeSnapshot(ctx, seq, digest); err != nil {
			t.Fatal(err)
		}
		r.kill("c")
		loaded := time.Now()
		c, err := Start(ctx, r.config("c"))
		if err != nil {
			t.Fatal(err)
		}
		r.nodes["c"] = c
		if c.keeping.ringFrom != seq {
			t.Fatalf("c began at %d, not at %d", c.keeping.ringFrom, seq)
		}
		if err := c.Logout(ctx, tok.AccessToken, Origin{}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.nodes["b"].Verify(ctx, tok.AccessToken); err == nil {
			t.Error("b accepts a token after its logout has returned")
		}
		// The keys of c are no new ones, and so took no barrier: it is the logout that has waited.
		if took := time.Since(loaded); took < n.cfg.Lease+n.cfg.Lease/10 {
			t.Errorf("the logout returned %v after the start", took)
		}
	}, func(c *Config) { c.Retention.Every = 1 << 40 })
}

// Who may hold a lease is not for wall clocks to say: one that is set far forward takes nobody off the list; that others have lived on
// for long does.
func TestHoldersDoNotBelieveClocks(t *testing.T) {
	a := newAuthor(1)
	s, joined := newState(), map[string]events.ID{}
	seq, now := uint64(0), time.Unix(1_800_000_000, 0)
	apply := func(node string, d events.Payload) {
		seq++
		e := &events.Event{ID: events.NewID(), Epoch: a.epoch, Time: now, Node: node, Data: d}
		if out := s.apply(seq, e); out.void != "" {
			t.Fatalf("%T: %s", d, out.void)
		}
	}
	apply("", &events.LogStarted{HashKey: make([]byte, 32)})
	for _, node := range []string{"a", "b", "c"} {
		joined[node] = events.NewID()
		apply(node, &events.NodeJoined{Incarnation: joined[node], Level: 1})
	}
	beat := func(node string) {
		apply(node, &events.NodeBeat{Pings: []events.Ping{{Node: node, Incarnation: joined[node], Level: 1, LeaseMillis: 5000}}})
	}
	for _, node := range []string{"a", "b", "c"} {
		beat(node)
	}
	now = now.Add(1000 * time.Hour)
	beat("a")
	joined["d"] = events.NewID()
	apply("d", &events.NodeJoined{Incarnation: joined["d"], Level: 1})
	if n := len(s.holders()); n != 4 {
		t.Errorf("%d may hold a lease after a clock was set forward, want 4", n)
	}
	for range 2 * 8 * beatsPerLease { // b is silent for 16 leases
		beat("a")
		beat("c")
	}
	if n := len(s.holders()); n != 4 {
		t.Errorf("%d may hold a lease, want 4: with so many there, beats tell no more yet", n)
	}
	for range 2 * 16 * beatsPerLease {
		beat("a")
		beat("c")
	}
	if n := len(s.holders()); n != 2 {
		t.Errorf("%d may hold a lease, want 2: b and d are silent for long", n)
	}
	apply("a", &events.NodeLeft{Incarnation: joined["a"]})
	if n := len(s.holders()); n != 1 {
		t.Errorf("%d may hold a lease, want 1", n)
	}
}

// A snapshot of another log is no snapshot, and neither is one of this log that is ahead of it.
func TestSnapshotOfAnotherLog(t *testing.T) {
	retained(t, func(t *testing.T, r *rig) {
		r.await("a snapshot", func() bool { return r.verified("a") > 0 })
		list, err := r.links["a"].Snapshots(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		data, err := r.links["a"].GetSnapshot(context.Background(), list[0])
		if err != nil {
			t.Fatal(err)
		}
		other := newRig(t)
		other.edit = r.edit
		link := other.log.Node("x")
		if err := link.PutSnapshot(context.Background(), list[0], data); err != nil {
			t.Fatal(err)
		}
		x := other.start("x") // its log is empty
		if x.keeping.ringFrom != 0 {
			t.Errorf("it began with a snapshot of another log, at %d", x.keeping.ringFrom)
		}
		for x.hot.applied.Load() < list[0].Seq {
			time.Sleep(time.Second)
		}
		other.kill("x")
		if x = other.start("x"); x.keeping.ringFrom != 0 {
			t.Errorf("it began with a snapshot of another log, at %d", x.keeping.ringFrom)
		}
		other.kill("x")
		other.log.Trim(10)
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if n, err := Start(ctx, other.config("x")); !errors.Is(err, ErrNotCurrent) {
			t.Errorf("without its beginning, and without a snapshot: %v", err)
			if err == nil {
				other.nodes["x"] = n
			}
		}
	}, func(c *Config) {
		if c.Name == "x" {
			c.Retention.Every = 1 << 40
		}
	})
}
