package load

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/knell-auth/knell/cluster-test/history"
)

// view is what is seen at one replica. It is safe for concurrent use.
type view struct {
	client *client
	name   string

	mu      sync.Mutex // guards all below
	slots   []State    // one for each canary
	verify  *hdrhistogram.Histogram
	checks  int64
	leaks   int64
	leaksAt map[int64]bool // multiples of markEvery since the end of the warm-up
	wrong   int64
	accepts []time.Duration // last accepts of traced logouts, relative to their return
	refused []time.Duration // first refusals
	lag     *hdrhistogram.Histogram
	behind  time.Duration
	gaps    int64
	before  standing // the newest
}

func newView(name string, c *client) *view {
	return &view{name: name, client: c, verify: newHistogram(), lag: newHistogram(), leaksAt: map[int64]bool{}}
}

// A canary is a check of a good token, sent to each replica at even intervals whatever the load is: it shows how the
// replica looks to somebody who has done nothing wrong.
const (
	canaryEvery = 50 * time.Millisecond
	// canaryTimeout is also how long an answer may take before the replica counts as silent.
	canaryTimeout = 500 * time.Millisecond
)

// canaries watches v until end or until ctx ends.
func (e *engine) canaries(ctx context.Context, v *view) {
	e.dispatch(ctx, NewSchedule(float64(time.Second/canaryEvery), Uniform, 0, 0), e.m.from, e.end, func(time.Duration) {
		s := e.canarySession()
		if s == nil {
			return
		}
		v.mu.Lock()
		slot := len(v.slots)
		v.slots = append(v.slots, Silent)
		v.mu.Unlock()
		e.requests.Go(func() {
			ctx, cancel := context.WithTimeout(e.ctx, canaryTimeout)
			defer cancel()
			a := v.client.check(ctx, s.access)
			state := stateOf(a)
			v.mu.Lock()
			defer v.mu.Unlock()
			if state == Wrong {
				v.wrong++
			}
			v.slots[slot] = state
		})
	})
}

// stateOf says what an answer to a good token shows of its replica.
func stateOf(a answer) State {
	switch {
	case a.outcome == history.OK:
		return Accepting
	case a.outcome == history.Unavailable && a.status != 0:
		return Refusing
	case a.outcome == history.Unavailable || a.outcome == history.Unknown:
		return Silent
	}
	return Wrong
}

// canarySession returns the session that the canaries present, which nobody ends.
func (e *engine) canarySession() *session {
	e.canaryMu.Lock()
	defer e.canaryMu.Unlock()
	if s := e.canary; s == nil || s.until != 0 && e.now() >= s.until {
		e.canary = e.pool.take(e.now())
	}
	return e.canary
}

// checked notes a check that was sent here after the logout of s had returned.
func (e *engine) checked(v *view, s *session, a answer) {
	leak := e.m.checked(s, a.outcome)
	v.mu.Lock()
	defer v.mu.Unlock()
	if a.outcome == history.OK || a.outcome == history.Refused {
		v.checks++
	}
	if leak {
		v.leaks++
		if at := a.start - e.m.from; at >= 0 {
			v.leaksAt[int64(at/markEvery)] = true
		}
	}
}

// markEvery is the least distance of two marks of leaks in a lane.
const markEvery = 100 * time.Millisecond

// report returns v as a result.
func (v *view) report() ReplicaView {
	v.mu.Lock()
	defer v.mu.Unlock()
	r := ReplicaView{
		Name: v.name, URL: v.client.base, Checks: v.checks, Leaks: v.leaks, Verify: describe(v.verify),
		LastAccept: spread(v.accepts), FirstRefusal: spread(v.refused), Lane: spans(v.slots), WrongRefusals: v.wrong,
		LagMax: v.lag.Max(), LagP99: v.lag.ValueAtQuantile(99), Behind: v.behind.Seconds(), Gaps: v.gaps,
	}
	for _, s := range r.Lane {
		switch s.State {
		case Refusing:
			r.Refusing += s.To - s.From
		case Silent:
			r.Silent += s.To - s.From
		}
	}
	for _, n := range slices.Sorted(maps.Keys(v.leaksAt)) {
		r.LeaksAt = append(r.LeaksAt, (time.Duration(n) * markEvery).Seconds())
	}
	return r
}

// spans joins slots of one state.
func spans(slots []State) []Span {
	all := []Span{}
	const step = canaryEvery
	for i, s := range slots {
		to := (time.Duration(i+1) * step).Seconds()
		if n := len(all); n > 0 && all[n-1].State == s {
			all[n-1].To = to
			continue
		}
		all = append(all, Span{State: s, From: (time.Duration(i) * step).Seconds(), To: to})
	}
	return all
}

// spread sums instants up. It sorts them.
func spread(d []time.Duration) Spread {
	if len(d) == 0 {
		return Spread{}
	}
	slices.Sort(d)
	at := func(share float64) float64 {
		return float64(d[min(int(share*float64(len(d))), len(d)-1)].Microseconds()) / 1000
	}
	return Spread{Count: len(d), MinMS: at(0), P50MS: at(0.50), P99MS: at(0.99), MaxMS: at(1)}
}
