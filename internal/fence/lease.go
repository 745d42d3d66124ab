package fence

import "time"

// Reading is one reading of a replica's clocks, each as the time since an origin that stays fixed for the life of the
// process. Mono never jumps, but may stand still while the machine sleeps. Wall may jump either way.
type Reading struct{ Mono, Wall time.Duration }

// Lease is the right to answer for a while. It never changes; a new beat brings a new one. The zero value is no lease.
// Leases are small and comparable.
type Lease struct {
	sent   Reading // taken before the beat was appended
	length uint64  // nanoseconds
}

// Valid reports whether the lease covers the reading, which must have been taken after the state was looked at that the
// answer rests on. It returns false for nil.
//
// The clock that shows more ends the lease: a machine that slept sees it on the wall clock, one whose wall clock was
// set back on the other. The unsigned comparison refuses readings before the sending as well.
func (l *Lease) Valid(now Reading) bool {
	return l != nil && uint64(now.Mono-l.sent.Mono) < l.length && uint64(now.Wall-l.sent.Wall) < l.length
}

// After reports whether the beat that brought the lease was sent after r: whoever holds it has applied everything that was in the
// log at r.
func (l *Lease) After(r Reading) bool { return l != nil && l.sent.Mono > r.Mono }

// Remaining returns for how long the lease will be valid if both clocks run on, 0 if it is not valid.
func (l *Lease) Remaining(now Reading) time.Duration {
	if !l.Valid(now) {
		return 0
	}
	return time.Duration(l.length) - max(now.Mono-l.sent.Mono, now.Wall-l.sent.Wall)
}
