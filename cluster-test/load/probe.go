package load

import (
	"time"

	"github.com/knell-auth/knell/cluster-test/history"
)

// Bounds of what logouts leave behind.
const (
	maxProbes   = 512  // unanswered checks at one replica
	maxTraces   = 8    // traced logouts at the same time
	maxInstants = 5000 // traced logouts that are remembered
)

// probe sends a check of a session whose logout has returned to every replica, now, without waiting for the answers.
func (e *engine) probe(s *session) {
	for i, v := range e.views {
		select {
		case e.probes[i] <- struct{}{}:
		default:
			e.m.mu.Lock()
			e.m.rev.Unsent++
			e.m.mu.Unlock()
			continue
		}
		e.requests.Go(func() {
			defer func() { <-e.probes[i] }()
			e.checked(v, s, v.client.check(e.ctx, s.access))
		})
	}
}

// trace is a logout that is watched at every replica from before it is asked for.
type trace struct {
	failed chan struct{} // closed when the logout did not return success
}

// Intervals between checks of a trace: at first each follows closely upon the answer to the one before, so that a logout of
// a millisecond is seen at all; a logout that waits for a lease is watched with less effort.
const (
	traceShortest = time.Millisecond / 2
	traceLongest  = 25 * time.Millisecond
	traceShare    = 20 // the interval is this part of the time since the begin
)

// startTrace begins to watch s, unless enough others are watched; then it returns nil.
func (e *engine) startTrace(s *session) *trace {
	select {
	case e.traces <- struct{}{}:
	default:
		return nil
	}
	t := &trace{failed: make(chan struct{})}
	left := make(chan struct{}, len(e.views))
	for _, v := range e.views {
		e.requests.Go(func() {
			e.follow(t, v, s)
			left <- struct{}{}
		})
	}
	e.requests.Go(func() {
		for range e.views {
			<-left
		}
		<-e.traces
	})
	return t
}

// follow checks s at one replica until that has refused it after the return of the logout, or time is up.
func (e *engine) follow(t *trace, v *view, s *session) {
	var accepted, refused time.Duration // when the last accepted and the first refused check were sent
	begin := e.now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-t.failed:
			return
		case <-e.ctx.Done():
			return
		}
		a := v.client.check(e.ctx, s.access)
		after := s.endedBefore(a.start)
		switch a.outcome {
		case history.OK:
			accepted = a.start
		case history.Refused:
			if refused == 0 {
				refused = a.start
			}
		}
		if after {
			e.checked(v, s, a)
		}
		returned := time.Duration(s.returned.Load())
		if after && a.outcome == history.Refused || returned != 0 && e.now()-returned > e.cfg.TraceAfter {
			v.traced(accepted, refused, returned)
			return
		}
		timer.Reset(min(max((e.now()-begin)/traceShare, traceShortest), traceLongest))
	}
}

// traced notes when a replica last accepted and first refused, relative to the return of the logout.
func (v *view) traced(accepted, refused, returned time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if accepted != 0 && len(v.accepts) < maxInstants {
		v.accepts = append(v.accepts, accepted-returned)
	}
	if refused != 0 && len(v.refused) < maxInstants {
		v.refused = append(v.refused, refused-returned)
	}
}

// acknowledge notes that the logout of s has returned, and checks at once that it has ended.
func (e *engine) acknowledge(s *session, returned time.Duration) {
	s.returned.Store(int64(returned))
	e.probe(s)
	e.pool.bury(s)
}
