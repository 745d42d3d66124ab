package fence

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// MaxLength is the longest lease that a machine grants or believes. Longer ones are cut to it.
const MaxLength = 10 * time.Minute

// maxNotes bounds the beats in flight. With more, the oldest can no longer grant a lease.
const maxNotes = 64

// Incarnation names one life of one replica: random, new at each start.
type Incarnation [16]byte

// Config says who the machine decides for. The zero value is safe: it grants no lease.
type Config struct {
	Self Incarnation
	// Length is how long a lease runs: above 0, at most MaxLength. Replicas may differ while the setting is rolled
	// out, if pings carry their sender's length.
	Length time.Duration
	// Break switches rules off. It is always honoured, so that tests can show what each rule is for; a program may set
	// it only if Breakable.
	Break Mutation
}

// Ping is what one incarnation says of itself in a beat.
type Ping struct {
	Inc     Incarnation
	Counter uint64        // rises by one or more with each ping of a life, from 1
	Applied uint64        // readers of the sender see everything up to this sequence; counts as a report
	Length  time.Duration // the sender's Config.Length; less than the receiver's (or 0) counts as the receiver's
}

// Holder is an incarnation that may hold a lease.
type Holder struct {
	Inc     Incarnation
	Length  time.Duration // the longest that its pings announced
	Applied uint64        // the newest report
	Until   time.Duration // monotonic instant, on the clock of the machine that was asked, when its last lease has ended
}

// Machine is the protocol of one replica. It is not safe for concurrent use. Readings passed to it may be a little older
// than the present, and than those passed before, as when callers race for a lock: waits then end later, never sooner.
// Only Beat asks for more.
type Machine struct {
	cfg Config

	// Own lease.
	lease   Lease
	notes   []note // beats in flight, rising counters
	sent    uint64 // highest counter noted
	stopped bool   // this incarnation has left

	// Other incarnations. self is kept apart, for Holders only: a barrier starts when its own replica is already done.
	self    holder
	byInc   map[Incarnation]*holder
	holders []*holder     // the values of byInc, in the order of their first beat
	cursor  int           // index in holders of the one that held up the oldest barrier when last asked
	sweepAt time.Duration // do not look for dead holders before

	// Barriers that wait, by rising sequence.
	pending queue
}

// note is the reading that was taken before a beat was appended.
type note struct {
	counter uint64
	at      Reading
}

// New returns the machine of a replica that starts now. unseen names everybody who may hold a lease from a beat that the
// machine will not be given because the beat lies in a snapshot: what Holders returned to the writer of the snapshot, at
// or after the sequence where the replica resumes. It is nil if the machine will be given the log from its first message
// on: then a barrier at S has seen every beat before S, late and so with a later horizon, and beats after S never matter.
//
// start must be read after the snapshot was complete. Every beat in it was sent before, so the leases they grant end
// before start + L(1+rho) here: that is the horizon that the unseen begin with, and the reason why barriers take that
// long after a start unless each of the unseen reports, leaves or is replaced.
func New(cfg Config, start Reading, unseen []Holder) *Machine {
	cfg.Length = clamp(cfg.Length)
	m := &Machine{cfg: cfg, byInc: make(map[Incarnation]*holder)}
	m.self.inc = cfg.Self
	for _, u := range unseen {
		// Sequence 0 is before every barrier.
		m.holder(u.Inc).extend(0, start.Mono, max(clamp(u.Length), cfg.Length), 0)
	}
	return m
}

// Sent notes the clocks of a beat. It must be called with a reading that was taken before the beat was handed to anyone
// who may append it. A counter that is not above every earlier one is ignored: the lease of a beat that is appended
// again is dated from its first sending.
func (m *Machine) Sent(counter uint64, at Reading) {
	if counter <= m.sent {
		return
	}
	m.sent = counter
	if len(m.notes) == maxNotes {
		m.notes = slices.Delete(m.notes, 0, 1)
	}
	m.notes = append(m.notes, note{counter, at})
}

// Beat tells the machine that the apply loop has reached a ping at sequence seq. now must be read after that message
// arrived: a reading taken before a batch arrived would date horizons too early.
//
// A ping of another incarnation sets its horizon. One of this incarnation grants a lease, if Sent noted its counter and
// no later counter has granted one: duplicates and overtaken beats change nothing. The driver may let readers have the
// new lease only after they see everything before seq.
func (m *Machine) Beat(seq uint64, p Ping, now Reading) {
	if now.Mono >= m.sweepAt {
		m.sweep(now.Mono)
	}
	h := &m.self
	if p.Inc != m.cfg.Self {
		h = m.holder(p.Inc)
	} else {
		m.grant(p.Counter, now)
	}
	h.extend(seq, now.Mono, max(clamp(p.Length), m.cfg.Length), m.pending.last())
	h.report(p.Applied)
}

// grant renews the own lease from the beat with this counter.
func (m *Machine) grant(counter uint64, now Reading) {
	i, ok := slices.BinarySearchFunc(m.notes, counter, func(n note, c uint64) int { return cmp.Compare(n.counter, c) })
	if !ok || m.stopped {
		return
	}
	at := m.notes[i].at
	if m.cfg.Break&DateFromDelivery != 0 {
		at = now
	}
	// Older beats that are still in flight would only shorten the lease.
	m.notes = slices.Delete(m.notes, 0, i+1)
	next := Lease{sent: at, length: uint64(m.cfg.Length)}
	// A replica without a lease does not begin again with one that is about to end. Beats that waited in a cut link arrive
	// all at once when it is mended, the oldest first: readiness would come and go with each of them.
	if !m.lease.Valid(now) && next.Remaining(now) < m.cfg.Length/2 {
		return
	}
	m.lease = next
}

// Left tells the machine that inc will never answer again: it said so after it had stopped to serve, or its successor
// holds the same directory lock. What it sent before counts for nothing from now on.
func (m *Machine) Left(inc Incarnation) {
	if inc == m.cfg.Self {
		m.stopped = true
		m.Fence()
		return
	}
	if h := m.byInc[inc]; h != nil {
		h.gone = true // and stays until its horizon, so that beats that it left in flight do not revive it
	}
}

// Ended tells the machine that no lease of inc lasts that it has from a beat so far: the horizon of each has passed, although this replica
// has read of it only now. A beat to come counts.
func (m *Machine) Ended(inc Incarnation) {
	if h := m.byInc[inc]; h != nil {
		h.grants = h.grants[:0]
	}
}

// Report tells the machine that the readers of inc see everything up to the sequence applied. Reports may be lost,
// repeated and reordered. One that names an incarnation without a beat counts for nothing.
func (m *Machine) Report(inc Incarnation, applied uint64) {
	if m.cfg.Break&ReportsWithoutIncarnation != 0 {
		for _, h := range m.holders {
			h.report(applied)
		}
		return
	}
	if h := m.byInc[inc]; h != nil {
		h.report(applied)
	}
}

// Fence ends the lease at once. Only a beat that is sent from now on can grant the next one.
func (m *Machine) Fence() {
	m.lease = Lease{}
	m.notes = m.notes[:0] // sent stays, so that a fenced beat cannot be noted again
}

// Lease returns the newest lease, which may have ended.
func (m *Machine) Lease() Lease {
	if m.cfg.Break&NoLeaseCheck != 0 {
		return Lease{length: math.MaxInt64}
	}
	return m.lease
}

// Barrier tells the machine that the own apply loop has reached the event at seq and that own readers see it. It returns
// true if nobody else can answer from before seq any more. Otherwise Completed will return tag, at the latest after the
// longest lease and a tenth; a waiter that gave up need not say so, and ignores it.
//
// seq may also lie before what is applied, for an operation that repeats one whose barrier may not be complete. Horizons
// are then at least those of the beats before seq: they may be later, never earlier.
func (m *Machine) Barrier(seq uint64, now Reading, tag uint64) (done bool) {
	if m.cfg.Break&NoBarrier != 0 || m.through(seq, now.Mono) >= seq {
		return true
	}
	m.pending.push(waiter{seq, tag})
	return false
}

// Completed appends to dst the tags whose barriers are complete, by rising sequence, each once. It is to be called after
// Beat, Report and Left, and at the instant that Next names.
func (m *Machine) Completed(dst []uint64, now Reading) []uint64 {
	first, ok := m.pending.first()
	if !ok {
		return dst
	}
	limit := m.through(first, now.Mono)
	for ok && first <= limit {
		dst = append(dst, m.pending.pop())
		first, ok = m.pending.first()
	}
	return dst
}

// Next returns the monotonic instant at which Completed will return something without further input; false if nothing
// waits.
func (m *Machine) Next() (time.Duration, bool) {
	seq, ok := m.pending.first()
	if !ok {
		return 0, false
	}
	var until time.Duration
	for _, h := range m.holders {
		if u, ok := h.holdsUp(seq); ok {
			until = max(until, u)
		}
	}
	return until, true
}

// Pending returns whom a barrier at seq still waits for, and the monotonic instant at which it is complete even if they
// stay silent. It returns nil and 0 if the barrier is complete.
func (m *Machine) Pending(seq uint64, now Reading) (who []Incarnation, until time.Duration) {
	for _, h := range m.holders {
		if h.through(now.Mono) >= seq {
			continue
		}
		u, _ := h.holdsUp(seq)
		who, until = append(who, h.inc), max(until, u)
	}
	return who, until
}

// Holders returns who may hold a lease, this incarnation included: for a snapshot (see New) and for people.
func (m *Machine) Holders(now Reading) []Holder {
	all := make([]Holder, 0, 1+len(m.holders))
	for _, h := range append([]*holder{&m.self}, m.holders...) {
		h.expire(now.Mono)
		if n := len(h.grants); n > 0 && !h.gone {
			all = append(all, Holder{Inc: h.inc, Length: h.length, Applied: h.reported, Until: h.grants[n-1].until})
		}
	}
	return all
}

// through returns the highest sequence whose barrier is complete. It stops at the first holder that keeps this below
// want, and asks that one first the next time: so while replicas report one after the other, the calls for one barrier
// look at each of them about once.
func (m *Machine) through(want uint64, now time.Duration) uint64 {
	limit := uint64(math.MaxUint64)
	n := len(m.holders)
	for i, at := 0, m.cursor; i < n; i, at = i+1, at+1 {
		if at >= n {
			at = 0
		}
		if l := m.holders[at].through(now); l < limit {
			limit = l
			if limit < want {
				m.cursor = at
				break
			}
		}
	}
	return limit
}

// holder returns the entry of inc, new if need be.
func (m *Machine) holder(inc Incarnation) *holder {
	h := m.byInc[inc]
	if h == nil {
		h = &holder{inc: inc}
		m.byInc[inc] = h
		m.holders = append(m.holders, h)
	}
	return h
}

// sweep drops the holders whose horizon has passed: they hold up nothing. A life that comes back is entered anew. It
// runs once per lease length, so that a replay of millions of beats does not pay for it each time.
func (m *Machine) sweep(now time.Duration) {
	m.sweepAt = now + max(m.cfg.Length, time.Millisecond)
	m.holders = slices.DeleteFunc(m.holders, func(h *holder) bool {
		h.expire(now)
		if len(h.grants) > 0 {
			return false
		}
		delete(m.byInc, h.inc)
		return true
	})
}
