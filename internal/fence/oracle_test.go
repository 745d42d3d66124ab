package fence

import "time"

// oracle is the barrier rule as design and package doc state it: each barrier has a set of its own, fixed when it began.
// It is slow and never forgets anything. Random schedules compare the machine with it.
type oracle struct {
	length  time.Duration
	newest  map[Incarnation]time.Duration // horizon
	applied map[Incarnation]uint64
	gone    map[Incarnation]bool
	waits   map[uint64]*oracleBarrier // by tag
	// revived says that somebody's horizon passed before its next beat. The machine may have forgotten what it reported,
	// or that it left, and then waits longer.
	revived bool
}

type oracleBarrier struct {
	seq  uint64
	sets map[Incarnation]time.Duration
}

func newOracle(length time.Duration, start Reading, unseen []Holder) *oracle {
	o := &oracle{
		length:  length,
		newest:  map[Incarnation]time.Duration{},
		applied: map[Incarnation]uint64{},
		gone:    map[Incarnation]bool{},
		waits:   map[uint64]*oracleBarrier{},
	}
	for _, u := range unseen {
		o.beat(Ping{Inc: u.Inc, Length: u.Length}, start)
	}
	return o
}

func (o *oracle) beat(p Ping, now Reading) {
	if until, ok := o.newest[p.Inc]; ok && until <= now.Mono {
		o.revived = true
	}
	o.newest[p.Inc] = max(o.newest[p.Inc], now.Mono+max(p.Length, o.length)*11/10)
	o.report(p.Inc, p.Applied)
}

// report counts only for incarnations with a beat.
func (o *oracle) report(inc Incarnation, applied uint64) {
	if _, ok := o.newest[inc]; ok {
		o.applied[inc] = max(o.applied[inc], applied)
	}
}

func (o *oracle) barrier(seq uint64, now Reading, tag uint64) {
	b := &oracleBarrier{seq: seq, sets: map[Incarnation]time.Duration{}}
	for inc, until := range o.newest {
		if until > now.Mono {
			b.sets[inc] = until
		}
	}
	o.waits[tag] = b
}

func (o *oracle) complete(tag uint64, now Reading) bool {
	b := o.waits[tag]
	for inc, until := range b.sets {
		if until > now.Mono && o.applied[inc] < b.seq && !o.gone[inc] {
			return false
		}
	}
	return true
}
