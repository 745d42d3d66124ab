package node

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/events/eventstest"
)

// A snapshot that was damaged is passed over for an older one, and that is said.
func TestDamagedSnapshotIsPassedOver(t *testing.T) {
	var out bytes.Buffer
	retained(t, func(t *testing.T, r *rig) {
		tok := r.login("a")
		r.await("two snapshots", func() bool {
			list, _ := r.links["a"].Snapshots(context.Background())
			return len(list) > 1 && list[1].Seq > tok.Seq && list[0].Size*list[1].Size > 0
		})
		list := must(r.links["a"].Snapshots(context.Background()))(t)
		r.kill("c")
		synctest.Wait()
		r.log.Damage(list[0].Seq)
		r.out = &out
		c := r.start("c")
		if c.keeping.ringFrom != list[1].Seq {
			t.Errorf("it began at %d, want %d", c.keeping.ringFrom, list[1].Seq)
		}
		r.accepted(tok)
		r.sameState()
		r.kill("c")
		if !strings.Contains(out.String(), "a snapshot is of no use; trying an older one") {
			t.Errorf("not a word: %s", out.String())
		}
	})
}

// A replica that dies after it has stored a snapshot, and before it has said so, leaves one that is good to start from. Others make the
// next one.
func TestCrashBeforeSnapshotIsAnnounced(t *testing.T) {
	retained(t, func(t *testing.T, r *rig) {
		tok := r.login("a")
		var first atomic.Value // the name of the replica that crashes
		for name := range r.nodes {
			r.links[name].OnSnapshot(func(events.Snapshot) eventstest.Fault {
				first.Store(name)
				return eventstest.Fault{After: errors.New("crash")}
			})
		}
		r.await("a snapshot", func() bool { return first.Load() != nil })
		crashed := first.Load().(string)
		for name := range r.nodes {
			r.links[name].OnSnapshot(nil)
		}
		left := must(r.links["a"].Snapshots(context.Background()))(t)
		r.kill(crashed)
		n := r.start(crashed)
		if r.verified(crashed) != 0 || n.keeping.ringFrom != left[0].Seq {
			t.Errorf("it began at %d, and was left a snapshot at %d", n.keeping.ringFrom, left[0].Seq)
		}
		r.accepted(tok)
		r.sameState()
		r.await("the next", func() bool { return r.verified(crashed) > left[0].Seq })
		r.await("the end of the first", func() bool {
			list, _ := r.links["a"].Snapshots(context.Background())
			return list[len(list)-1].Seq > left[0].Seq
		})
	})
}

// One that was not written to its end is none.
func TestCrashWithinSnapshot(t *testing.T) {
	retained(t, func(t *testing.T, r *rig) {
		var halves atomic.Int32
		for name := range r.nodes {
			r.links[name].OnSnapshot(func(events.Snapshot) eventstest.Fault {
				halves.Add(1)
				return eventstest.Fault{Before: errors.New("crash")}
			})
		}
		r.await("half a snapshot", func() bool { return halves.Load() > 0 })
		r.kill("c")
		if c := r.start("c"); c.keeping.ringFrom != 0 {
			t.Errorf("it began at %d", c.keeping.ringFrom)
		}
		r.sameState()
	})
}

// Two replicas that make a snapshot at the same time make the same one.
func TestTwoSnapshotsAtOnce(t *testing.T) {
	retained(t, func(t *testing.T, r *rig) {
		tok := r.login("a")
		synctest.Wait()
		n := r.nodes["a"]
		n.mu.RLock()
		seq, digest := n.state.seq, n.state.digest
		n.mu.RUnlock()
		done := make(chan error)
		for _, name := range []string{"a", "b"} {
			go func() { done <- r.nodes[name].takeSnapshot(context.Background(), seq, digest) }()
		}
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		synctest.Wait()
		list := must(n.cfg.Retention.Store.Snapshots(context.Background()))(t)
		if len(list) != 2 || !bytes.Equal(list[0].Hash, list[1].Hash) || r.verified("c") != seq {
			t.Errorf("%+v, verified at %d", list, r.verified("c"))
		}
		r.kill("c")
		r.start("c")
		r.accepted(tok)
		r.sameState()
	}, func(c *Config) { c.Retention.Every = 1 << 40 })
}
