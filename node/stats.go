package node

import (
	"context"
	"errors"
	"maps"
	"sync/atomic"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/password"
	"github.com/knell-auth/knell/internal/token"
)

// Stats is what a monitor wants to know of a replica beside its Status. What is counted begins with the replica's start.
type Stats struct {
	Lease    LeaseStats
	Log      LogStats
	Snapshot time.Time // log time at the newest snapshot that most replicas have made, to the minute; zero: none is known
	Level    uint32    // schema level of the log
	Known    uint32    // the newest that this build knows

	Clients, APIKeys int

	Hashing       password.Stats
	Refusals      map[string]uint64 // verifications that were refused, by reason; each reason is there
	Verifications Histogram         // a sample: one verification in each lease/60
	Logouts       Histogram         // revocations, from the call until no replica accepted what was revoked
	Barriers      Histogram         // of these, the part after own apply: the wait for the other replicas
	Unfinished    map[string]uint64 // revocations that were not known to be complete when their caller was told: "pending", "unknown"

	StepsBack, StepsForward uint64 // of the wall clock against the monotonic one, by a twentieth of a lease or more
}

// LeaseStats are the lease's.
type LeaseStats struct {
	Length time.Duration
	Age    time.Duration // since the beat that brought it was sent; 0: there is none
}

// LogStats are the log's.
type LogStats struct {
	Last          uint64    // its end, by what this replica heard last from its leader and the other replicas
	Time          time.Time // of the newest beat that was applied, by its author's clock; zero: none was
	Shed          int       // how many kinds of events are not appended any more: 0 to 4 (Status.LogSheds names the last)
	LeaderChanges uint64    // that this replica has seen; it looks every 5 s
}

// Histogram counts durations.
type Histogram struct {
	Bounds []time.Duration // upper, ascending
	Counts []uint64        // of each bound, those beyond the one before it; one more for the rest
	Sum    time.Duration
}

// Count returns how many durations were counted.
func (h *Histogram) Count() (n uint64) {
	for _, c := range h.Counts {
		n += c
	}
	return n
}

// maxBounds is the greatest number of bounds.
const maxBounds = 18

// histogram is a Histogram that goes on. It is safe for concurrent use.
type histogram struct {
	counts [maxBounds + 1]atomic.Uint64
	sum    atomic.Int64
}

// Bounds of histograms: verifications take from a fifth of a microsecond to an election, commands from a fifth of a millisecond to
// their timeout.
var (
	verifyBounds = []time.Duration{
		100 * time.Nanosecond, 250 * time.Nanosecond, 500 * time.Nanosecond, time.Microsecond, 2500 * time.Nanosecond, 5 * time.Microsecond,
		10 * time.Microsecond, 25 * time.Microsecond, 50 * time.Microsecond, 100 * time.Microsecond, 250 * time.Microsecond, time.Millisecond,
		10 * time.Millisecond, 100 * time.Millisecond, time.Second, 5 * time.Second,
	}
	commandBounds = []time.Duration{
		250 * time.Microsecond, 500 * time.Microsecond, time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond,
		25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second,
		2500 * time.Millisecond, 5 * time.Second, 10 * time.Second, 30 * time.Second,
	}
)

// note counts d.
func (h *histogram) note(bounds []time.Duration, d time.Duration) {
	i := 0
	for i < len(bounds) && d > bounds[i] {
		i++
	}
	h.counts[i].Add(1)
	h.sum.Add(int64(d))
}

func (h *histogram) view(bounds []time.Duration) Histogram {
	v := Histogram{Bounds: bounds, Counts: make([]uint64, len(bounds)+1), Sum: time.Duration(h.sum.Load())}
	for i := range v.Counts {
		v.Counts[i] = h.counts[i].Load()
	}
	return v
}

// counts is what a replica counts.
type counts struct {
	refused         [len(refusals) + 1]atomic.Uint64 // by the reasons below; the last for those that have none
	verified        histogram
	logouts, waited histogram
	pending         atomic.Uint64
	unknown         atomic.Uint64
	back, forward   atomic.Uint64
	leaderChanges   atomic.Uint64
}

// refusals are the reasons for which a verification is refused. The first match counts, so a reason stands before the one that it
// refines.
var refusals = [...]struct {
	err  error
	name string
}{
	{ErrNotCurrent, "not_current"}, {ErrClosed, "not_current"}, {ErrExpired, "expired"}, {ErrRevoked, "revoked"}, {ErrStale, "stale_claims"},
	{ErrInvalidKey, "api_key"}, {token.ErrSignature, "signature"}, {ErrInvalidToken, "invalid_token"}, {ErrInvalidBasic, "password"},
}

// otherRefusal is the reason of what is in no row: a guess that has to wait, a queue that is full, a caller that has gone.
const otherRefusal = "other"

// refuse counts a verification that ends with err, and returns err.
func (n *Node) refuse(err error) error {
	i := 0
	for i < len(refusals) && !errors.Is(err, refusals[i].err) {
		i++
	}
	n.hot.counts.refused[i].Add(1)
	return err
}

// refusedView returns the refusals by reason.
func (c *counts) refusedView() map[string]uint64 {
	m := map[string]uint64{otherRefusal: c.refused[len(refusals)].Load()}
	for i, r := range refusals {
		m[r.name] += c.refused[i].Load()
	}
	return m
}

// verifyTimed is Verify, with a look at the clock before and after.
func (n *Node) verifyTimed(ctx context.Context, credential string) (Identity, error) {
	began := time.Now()
	id, err := n.Verify(ctx, credential)
	n.hot.counts.verified.note(verifyBounds, time.Since(began))
	return id, err
}

// noteRevocation counts a command that began then, if it revokes. wt is final, or removed.
func (n *Node) noteRevocation(revokes bool, wt *waiter, began time.Time, err error) {
	c := &n.hot.counts
	var pending *PendingError
	switch {
	case !revokes:
	case errors.As(err, &pending):
		c.pending.Add(1)
	case errors.Is(err, ErrUnknownOutcome):
		c.unknown.Add(1)
	case err == nil && !wt.complete.IsZero():
		c.logouts.note(commandBounds, wt.complete.Sub(began))
		c.waited.note(commandBounds, wt.complete.Sub(wt.applied))
	}
}

// revokes reports whether an event ends sessions or credentials.
func revokes(p events.Payload) bool {
	switch p.(type) {
	case *events.SessionRevoked, *events.UserRevoked, *events.ClientRevoked, *events.SigningKeyRevoked, *events.AllRevoked,
		*events.APIKeyRevoked, *events.GrantRevoked:
		return true
	}
	return false
}

// Stats returns what is counted and measured now.
func (n *Node) Stats() Stats {
	c := &n.hot.counts
	s := Stats{
		Lease: LeaseStats{Length: n.cfg.Lease}, Known: n.life.level, Hashing: n.hasher.Stats(), Refusals: c.refusedView(),
		Verifications: c.verified.view(verifyBounds), Logouts: c.logouts.view(commandBounds), Barriers: c.waited.view(commandBounds),
		Unfinished: map[string]uint64{"pending": c.pending.Load(), "unknown": c.unknown.Load()},
		StepsBack:  c.back.Load(), StepsForward: c.forward.Load(),
	}
	if lease := n.hot.lease.Load(); lease != nil {
		if left := lease.Remaining(n.clock.read()); left > 0 {
			s.Lease.Age = n.cfg.Lease - left
		}
	}
	newest := n.room.retaining.newest.Load()
	n.mu.RLock()
	s.Level, s.Clients, s.APIKeys = n.state.level, len(n.state.clients), len(n.state.access.keys)
	s.Log.Last = n.state.seq
	if newest != 0 {
		s.Snapshot = unixTime(n.state.past.timeOf(newest))
	}
	n.mu.RUnlock()
	s.Log.Time, s.Log.LeaderChanges = unixTime(n.hot.logTime.Load()), c.leaderChanges.Load()
	n.room.mu.Lock()
	s.Log.Shed = n.room.level
	s.Log.Last = max(s.Log.Last, n.room.last)
	n.room.mu.Unlock()
	n.keeping.mu.Lock()
	for p := range maps.Values(n.keeping.peers) {
		s.Log.Last = max(s.Log.Last, p.applied)
	}
	n.keeping.mu.Unlock()
	return s
}
