package load

import (
	"context"
	"time"

	"github.com/knell-auth/knell/cluster-test/history"
)

// Progress is how far a run has come.
type Progress struct {
	Sessions, Wanted int           // while the first sessions are made; Wanted is 0 afterwards
	At, Of           time.Duration // since the end of the warm-up; negative during it
	Logouts          int64
	LogoutP99        time.Duration
	Verifies         int64
	VerifyP99        time.Duration
	Leaks            int64
	Unsent           int64
	Replicas         []ReplicaProgress
}

// ReplicaProgress is how a replica looks now.
type ReplicaProgress struct {
	Name  string
	State State
}

// progress reports until ctx ends.
func (e *engine) progress(ctx context.Context) {
	if e.cfg.Progress == nil {
		return
	}
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			e.cfg.Progress(e.current())
		}
	}
}

func (e *engine) current() Progress {
	if e.end == 0 {
		return Progress{Sessions: e.pool.size(), Wanted: e.cfg.Sessions}
	}
	p := Progress{At: e.now() - e.m.from, Of: e.cfg.For}
	e.m.mu.Lock()
	logout, verify := e.m.tallies[history.Logout], e.m.tallies[history.Verify]
	us := func(t *tally) time.Duration { return time.Duration(t.latency.ValueAtQuantile(99)) * time.Microsecond }
	p.Logouts, p.LogoutP99, p.Verifies, p.VerifyP99 = logout.OK, us(logout), verify.OK+verify.Refused, us(verify)
	p.Leaks = e.m.rev.Leaks
	for _, t := range e.m.tallies {
		p.Unsent += t.Unsent
	}
	e.m.mu.Unlock()
	for _, v := range e.views {
		v.mu.Lock()
		state := Accepting
		// The newest slot may still wait for its answer.
		if n := len(v.slots) - 1 - int(canaryTimeout/canaryEvery); n >= 0 {
			state = v.slots[n]
		}
		v.mu.Unlock()
		p.Replicas = append(p.Replicas, ReplicaProgress{v.name, state})
	}
	return p
}
