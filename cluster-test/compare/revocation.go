package compare

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/knell-auth/knell/cluster-test/history"
)

// Revocations is what was seen when sessions were ended one after the other with nothing wrong.
type Revocations struct {
	Sessions   int // ended with success
	Unfinished int // no success was answered
	// LogoutP50 and LogoutMax are how long the revocation itself took, of half as many other sessions that nobody asked about.
	LogoutP50, LogoutMax time.Duration
	// LastP50 and LastMax are the times from its return until the last replica refused; sessions of Never are not in them.
	LastP50, LastMax time.Duration
	Never            int // sessions that were still accepted when they were not watched any more
	Leaks            int // checks that were sent after the return, and accepted
	LeakedSessions   int
}

func (m *measurement) revocations(ctx context.Context) error {
	c := newClient(m.in)
	defer c.close()
	var r Revocations
	var logouts, lasts []time.Duration
	for spent := time.Duration(0); r.Sessions+r.Unfinished < m.Sessions && spent < m.Budget && ctx.Err() == nil; {
		tokens, err := c.known(ctx, 1+r.Sessions%2)
		if err != nil {
			return err
		}
		for _, token := range tokens[1:] { // every other time another session ends unwatched
			if op := c.logout(ctx, revoker, token); op.Outcome == history.OK {
				logouts = append(logouts, op.End-op.Start)
			}
		}
		begin := time.Now()
		logout, checks := m.watch(ctx, c, tokens[0])
		spent += time.Since(begin)
		if logout.Outcome != history.OK {
			r.Unfinished++
			continue
		}
		r.Sessions++
		e := expose(checks, logout.End)
		r.Leaks += e.leaks
		if e.leaks > 0 {
			r.LeakedSessions++
		}
		if e.never {
			r.Never++
			continue
		}
		lasts = append(lasts, e.last)
		if e.last > closely {
			// The watch has ended with an event of the installation, perhaps a regular one: begin the next at any time.
			pause(ctx, rand.N(m.Converge/2))
		}
	}
	if r.Sessions == 0 && ctx.Err() == nil {
		return fmt.Errorf("no revocation of %d was acknowledged", r.Unfinished)
	}
	r.LogoutP50, r.LogoutMax = quantile(logouts, 0.5), quantile(logouts, 1)
	r.LastP50, r.LastMax = quantile(lasts, 0.5), quantile(lasts, 1)
	m.row.Revocations = &r
	return nil
}

const (
	// enough refusals in a row end the watch at a replica.
	enough = 3
	// closely is how long after the return a token is checked again and again without a gap.
	closely = 50 * time.Millisecond
	// gap is the one between checks from then on.
	gap = 5 * time.Millisecond
)

// watch ends the session of token while every replica is asked about it without a gap, and returns the logout and all checks.
func (m *measurement) watch(ctx context.Context, c *client, token string) (logout history.Op, checks []history.Op) {
	var returned atomic.Int64 // 0: not yet
	var stop atomic.Bool
	var warm, all sync.WaitGroup
	seen := make([][]history.Op, Replicas)
	warm.Add(Replicas)
	for replica := range Replicas {
		all.Go(func() {
			asked := sync.OnceFunc(warm.Done)
			defer asked() // when nothing is asked any more
			seen[replica] = probe(ctx, func() (history.Op, bool) {
				op := c.verify(ctx, replica, token)
				asked()
				end := time.Duration(returned.Load())
				if end > 0 && c.clock() > end+closely {
					pause(ctx, gap)
				}
				return op, stop.Load() || (end > 0 && c.clock() > end+m.Converge)
			}, &returned)
		})
	}
	warm.Wait()
	logout = c.logout(ctx, revoker, token)
	if logout.Outcome == history.OK {
		returned.Store(int64(logout.End))
	} else {
		stop.Store(true)
	}
	all.Wait()
	for _, ops := range seen {
		checks = append(checks, ops...)
	}
	return logout, checks
}

// probe asks until it is told to stop or has been refused often enough by requests that were sent after the instant since,
// which is 0 until it is known.
func probe(ctx context.Context, ask func() (op history.Op, stop bool), since *atomic.Int64) (ops []history.Op) {
	refusals := 0
	for ctx.Err() == nil {
		op, stop := ask()
		ops = append(ops, op)
		after := since.Load()
		switch {
		case refusal(op) && after > 0 && op.Start > time.Duration(after):
			refusals++
		case !refusal(op):
			refusals = 0
		}
		if stop || refusals == enough {
			break
		}
	}
	return ops
}
