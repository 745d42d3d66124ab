package fence

import (
	"math"
	"slices"
	"time"
)

// holder is what a machine knows of one incarnation.
type holder struct {
	inc      Incarnation
	length   time.Duration // the longest lease announced
	reported uint64
	gone     bool // will never answer again
	// grants are the beats whose horizon has not passed, by rising sequence and horizon. One entry may stand for a run
	// of beats: seq is then that of the first, until that of the last.
	grants []grant
}

// grant is a beat at seq whose lease has ended at the monotonic instant until.
type grant struct {
	seq   uint64
	until time.Duration
}

// extend enters a beat that was applied at the instant now. pending is the highest sequence that a barrier waits for.
//
// If no barrier waits for a sequence after the last entry, the beat is merged into that entry. This keeps one entry per
// holder in a replay of any length and is exact for barriers to come, which lie after both beats; for a repeated one
// that lies between them the horizon is the later of the two. Otherwise a barrier waits for the last entry's horizon:
// the beat must not move it, and gets an entry of its own.
func (h *holder) extend(seq uint64, now, length time.Duration, pending uint64) {
	h.expire(now)
	h.length = max(h.length, length)
	until := now + horizon(length)
	if n := len(h.grants); n > 0 {
		last := &h.grants[n-1]
		until = max(until, last.until) // an earlier, longer lease ends no sooner because of a shorter one
		if pending <= last.seq {
			last.until = until
			return
		}
	}
	h.grants = append(h.grants, grant{seq, until})
}

// report notes that the readers of the holder see everything up to the sequence applied.
func (h *holder) report(applied uint64) { h.reported = max(h.reported, applied) }

// expire forgets beats whose horizon has passed.
func (h *holder) expire(now time.Duration) {
	if len(h.grants) == 0 || h.grants[0].until > now {
		return
	}
	i := slices.IndexFunc(h.grants, func(g grant) bool { return g.until > now })
	if i < 0 {
		i = len(h.grants)
	}
	h.grants = slices.Delete(h.grants, 0, i)
}

// through returns the highest sequence whose barrier does not wait for the holder. The oldest beat with a future horizon
// decides: the holder may still answer under it from before any sequence above both that beat and what it reported.
func (h *holder) through(now time.Duration) uint64 {
	h.expire(now)
	if h.gone || len(h.grants) == 0 {
		return math.MaxUint64
	}
	return max(h.reported, h.grants[0].seq)
}

// holdsUp returns the instant until which a barrier at seq waits for a silent holder, and whether it waits at all. It
// does not look at the time.
func (h *holder) holdsUp(seq uint64) (time.Duration, bool) {
	if h.gone || h.reported >= seq {
		return 0, false
	}
	for _, g := range slices.Backward(h.grants) {
		if g.seq < seq {
			return g.until, true
		}
	}
	return 0, false
}

// horizon returns L(1+rho), rounded up: how long a lease of this length can run on a clock that is the faster one.
func horizon(length time.Duration) time.Duration { return length + (length+9)/10 }

// clamp returns a length between 0 and MaxLength.
func clamp(length time.Duration) time.Duration { return min(max(length, 0), MaxLength) }
