package events_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/knell-auth/knell/events"
)

// crowd appends from many goroutines until it is stopped, and remembers what was acknowledged.
type crowd struct {
	stop chan struct{}
	wg   sync.WaitGroup

	mu    sync.Mutex
	acked map[events.ID]uint64
}

func (c *crowd) start(t *testing.T, l *events.Log, node string) {
	c.wg.Go(func() {
		for {
			select {
			case <-c.stop:
				return
			default:
			}
			e := newEvent(node)
			seq, err := l.Append(t.Context(), e)
			if errors.Is(err, events.ErrUnknown) {
				continue // it claims nothing
			}
			if err != nil {
				t.Errorf("append: %v", err)
				return
			}
			c.mu.Lock()
			c.acked[e.ID] = seq
			c.mu.Unlock()
		}
	})
}

// await waits until n more appends have been acknowledged.
func (c *crowd) await(t *testing.T, n int) {
	count := func() int {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.acked)
	}
	tick, deadline := time.NewTicker(5*time.Millisecond), time.After(time.Minute)
	defer tick.Stop()
	for before := count(); count() < before+n; {
		select {
		case <-tick.C:
		case <-deadline:
			t.Errorf("only %d of %d appends were acknowledged", count()-before, n)
			return
		}
	}
}

// end stops everybody and returns the greatest sequence that was acknowledged.
func (c *crowd) end() (last uint64) {
	close(c.stop)
	c.wg.Wait()
	for _, seq := range c.acked {
		last = max(last, seq)
	}
	return last
}

// The leader of the stream is killed while everybody appends: what was acknowledged is there, once, in one order, and the
// nodes that are left get it without a gap.
func TestLeaderDies(t *testing.T) {
	servers := startServers(t)
	j := newJetStream(t, servers, events.Config{Replicas: 3})
	var st events.Stat
	for st.Leader == "" { // a busy machine may be electing another one
		var err error
		if st, err = j.logs["a"].Stat(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	c := &crowd{stop: make(chan struct{}), acked: map[events.ID]uint64{}}
	var leader *server.Server
	tails := map[string]*collect{}
	for i, name := range []string{"a", "b", "c"} {
		if servers[i].Name() == st.Leader {
			leader = servers[i]
			continue
		}
		tails[name] = startCollect(t, j.logs[name], 0)
		for range 8 {
			c.start(t, j.logs[name], name)
		}
	}
	if leader == nil {
		c.end()
		t.Fatalf("leader %q is none of the servers", st.Leader)
	}
	c.await(t, 500)
	start := time.Now()
	leader.Shutdown()
	c.await(t, 500)
	t.Logf("appends went on %v after the leader's shutdown began", time.Since(start))
	last := c.end()
	for name, tail := range tails {
		tail.reach(last, 30*time.Second)
		tail.mu.Lock()
		for id, seq := range c.acked {
			if tail.ids[id] != seq {
				t.Errorf("%s: %s was acknowledged at %d and is at %d", name, id, seq, tail.ids[id])
			}
		}
		if uint64(len(tail.ids)) != tail.last {
			t.Errorf("%s: %d events in %d messages", name, len(tail.ids), tail.last)
		}
		tail.mu.Unlock()
	}
}
