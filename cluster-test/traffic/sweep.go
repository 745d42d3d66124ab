package traffic

import (
	"context"
	"fmt"
	"sync"

	"github.com/knell-auth/knell/cluster-test/history"
)

// Sweep looks at every session at every replica, after the workers have stopped and the cluster has healed: what was
// acknowledged must be there. Sessions whose end was never acknowledged are ended first. The answers are for the checker;
// the error is only about replicas that gave none.
func (t *Traffic) Sweep(ctx context.Context) error {
	w := t.own()
	for _, s := range t.pool.takeDoubtful() {
		if ctx.Err() != nil {
			break
		}
		t.pool.ended(s, t.logout(w, s))
	}
	live, dead := t.pool.sessions()
	answered := make([]int, len(t.clients))
	var wg sync.WaitGroup
	for i, c := range t.clients {
		shard := t.rec.Shard()
		wg.Go(func() {
			for _, s := range append(append([]*session(nil), live...), dead...) {
				token, gen := s.token()
				op := c.verify(ctx, s, gen, token)
				shard.Add(op)
				if op.Outcome == history.OK || op.Outcome == history.Refused {
					answered[i]++
				}
			}
		})
	}
	wg.Wait()
	t.closeIdle()
	for i, n := range answered {
		if want := len(live) + len(dead); n < want {
			return fmt.Errorf("replica %d answered %d of %d verifications after everything had healed", i, n, want)
		}
	}
	return nil
}

// Probe logs in, verifies and logs out at every replica, and returns an error unless every replica does all of it.
func (t *Traffic) Probe(ctx context.Context) error {
	w := t.own()
	for i, c := range t.clients {
		if !t.login(ctx, w, c) {
			return fmt.Errorf("replica %d gives no login after everything had healed", i)
		}
		live, _ := t.pool.sessions()
		s := live[len(live)-1]
		token, gen := s.token()
		for j, at := range t.clients {
			if op := at.verify(ctx, s, gen, token); op.Outcome != history.OK {
				w.shard.Add(op)
				return fmt.Errorf("replica %d does not know a login at replica %d: %s (%d)", j, i, op.Outcome, op.Status)
			}
		}
		op := c.logout(ctx, s, gen, token)
		w.shard.Add(op)
		if op.Outcome != history.OK {
			return fmt.Errorf("replica %d gives no logout after everything had healed: %s (%d)", i, op.Outcome, op.Status)
		}
		t.pool.bury(s)
	}
	return nil
}

// Dropped returns how many verifications were not sent because a replica had too many unanswered.
func (t *Traffic) Dropped() int64 { return t.dropped.Load() }
