package doctor

import "time"

// Clock watches the wall clock and the monotonic one beside each other from Watch on.
type Clock struct{ began time.Time }

const (
	leastWatch = 500 * time.Millisecond
	step       = 20 * time.Millisecond // by which they may differ: a step of less matters to nobody
	// drift is the part of the time that has passed by which they may differ; time daemons slew by less than a tenth.
	drift = 0.08

	apart    = time.Second // by which the clocks of two replicas may differ before it is worth a line
	farApart = time.Minute // from here on tokens end early, or live longer
)

// Watch begins to watch.
func Watch() Clock { return Clock{time.Now()} }

// Look says whether the wall clock was set, or runs at another rate, since Watch. It returns half a second after that at the earliest.
func (r *Report) Look(c Clock) {
	time.Sleep(time.Until(c.began.Add(leastWatch)))
	now := time.Now()
	mono, wall := now.Sub(c.began), now.Round(0).Sub(c.began.Round(0)) // Round takes the monotonic reading away
	r.clocks(mono, wall)
}

// clocks judges what both clocks showed.
func (r *Report) clocks(mono, wall time.Duration) {
	const check = "clock"
	off := wall - mono
	if off.Abs() > max(step, time.Duration(drift*float64(mono))) {
		r.Warn(check, "look at the time daemon: each step ends leases, and clocks whose rates differ by a tenth are beyond what Knell allows for",
			"the wall clock moved by %v while %v passed", short(wall), short(mono))
		return
	}
	r.OK(check, "wall and monotonic clock went alike for %v", short(mono))
}

// Apart says how far the clock of a replica is from that of this machine. within is what the measurement may be off by.
func (r *Report) Apart(who string, off, within time.Duration) {
	const check = "clock"
	do := "set the clocks of both machines by the same time service; log time, by which tokens expire, is that of the fastest"
	way := "behind"
	if off > 0 {
		way = "ahead of"
	}
	switch d := off.Abs() - within; {
	case d > farApart:
		r.Bad(check, do, "%s is %v %s this machine", who, off.Abs().Round(time.Second), way)
	case d > apart:
		r.Warn(check, do, "%s is %v %s this machine", who, off.Abs().Round(100*time.Millisecond), way)
	default:
		r.OK(check, "%s agrees with this machine within %v", who, max(off.Abs(), within).Round(time.Millisecond))
	}
}
