package node

import (
	"cmp"
	"slices"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/fence"
)

// roster is what the log says about the lives of replicas, as far as it decides what may be written.
type roster struct {
	level   uint32 // schema level of the events that may follow; 1 until a LevelRaised
	members map[events.ID]member
	pulse   uint64 // milliseconds that all replicas together have lived, as their beats tell: see holders
	retention
}

// member is a life that has joined.
type member struct {
	node  string
	level uint32 // newest schema level that it knows
	until int64  // Unix nanoseconds of log time: unless it is heard of again, it counts as gone after that
	gone  bool   // it said so, or its successor did; kept, so that a beat that it left in flight does not bring it back
	clock int64  // Unix nanoseconds: the wall time of its newest beat; 0: none yet
	pulse uint64 // of the roster when it was heard of last
	lease uint64 // milliseconds, the longest that it announced

	// What it said when it joined; joined is the sequence, 0 when that has been forgotten.
	joined           uint64
	issuer, audience string
	version          string
}

// live reports whether m has to be reckoned with.
func (m member) live(logTime int64) bool { return !m.gone && m.until >= logTime }

// older returns the names of the replicas that may be live and do not know the schema level, sorted.
func (s *state) older(level uint32) []string {
	var names []string
	for _, m := range s.members {
		if m.level < level && m.live(s.logTime) {
			names = append(names, m.node)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// memberMargin is how long, in log time, a life counts that nobody has heard of again, beyond its lease. As long as the margin for
// what expires: a replica that is busy or restarted must not be overlooked.
const memberMargin = margin * 1e9

// foldReplica applies the events about replicas, but for beats.
func (s *state) foldReplica(seq uint64, e *events.Event) voidReason {
	switch d := e.Data.(type) {
	case *events.NodeJoined:
		return s.foldNodeJoined(seq, e, d)
	case *events.NodeLeft:
		return s.foldNodeLeft(d)
	case *events.NodeKey:
		return s.foldNodeKey(seq, e, d)
	case *events.LevelRaised:
		return s.foldLevelRaised(d)
	case *events.NodeSnapshot:
		return s.foldNodeSnapshot(seq, e, d)
	case *events.NodeTrimmed:
		return s.foldNodeTrimmed(seq, d)
	case *events.Restored:
		return s.foldRestored(seq, e, d)
	default:
		return s.foldClient(seq, e)
	}
}

// foldNodeJoined takes a life in, unless there may be events that it cannot read. Its own replica ends then, when it comes to the
// event that says so, before it has held a lease.
func (s *state) foldNodeJoined(seq uint64, e *events.Event, d *events.NodeJoined) voidReason {
	if _, ok := s.members[d.Incarnation]; ok {
		return voidExists // somebody else's word about it
	}
	s.depart(d.Replaces)
	if d.Level < s.level {
		return voidLevel
	}
	var over []events.ID // all by the same count: see longSilent
	for inc, m := range s.members {
		if m.until < s.logTime && s.silent(m) {
			over = append(over, inc)
		}
	}
	for _, inc := range over {
		delete(s.members, inc)
	}
	s.members[d.Incarnation] = member{node: e.Node, level: d.Level, until: s.logTime + memberMargin, pulse: s.pulse,
		joined: seq, issuer: d.Issuer, audience: d.Audience, version: d.Version}
	return ""
}

func (s *state) foldNodeLeft(d *events.NodeLeft) voidReason {
	s.depart(d.Incarnation)
	return ""
}

func (s *state) depart(inc events.ID) {
	if m, ok := s.members[inc]; ok {
		m.gone = true
		s.members[inc] = m
	}
}

// foldPing notes that a life goes on, as a beat of e says. One that had been forgotten is back.
func (s *state) foldPing(e *events.Event, p *events.Ping) {
	lease := uint64(millis(p.LeaseMillis) / time.Millisecond)
	s.pulse += lease / beatsPerLease
	if m := s.members[p.Incarnation]; !m.gone {
		m.node = cmp.Or(m.node, p.Node)
		m.level, m.until = p.Level, s.logTime+int64(millis(p.LeaseMillis))+memberMargin
		m.pulse, m.lease = s.pulse, max(m.lease, lease)
		if p.Node == e.Node { // not somebody else's clock
			m.clock = e.Time.UnixNano()
		}
		s.members[p.Incarnation] = m
	}
}

// agreedTime returns the time that more than half of the replicas that are there have reached by their own clocks, in Unix seconds. Log
// time is the greatest of all: one clock that is set forward would make everything old, and what is trimmed does not come back.
func (s *state) agreedTime() int64 {
	var clocks []int64
	for _, m := range s.members {
		if s.there(m) {
			clocks = append(clocks, m.clock)
		}
	}
	if len(clocks) == 0 {
		return 0
	}
	slices.Sort(clocks)
	return clocks[(len(clocks)-1)/2] / 1e9
}

// longSilent is after how many of the longest leases a life that is silent is sure to hold none any more.
const longSilent = 16

// mayHold reports whether m may hold a lease from a beat that is in the log. That is not for log time to say, which jumps when one
// clock is set forward. A replica beats beatsPerLease times a lease, by its monotonic clock: so the beats of others tell how much
// time has passed since those of m ended, whatever their wall clocks show, if what they count together is divided among all that may
// be there.
func (s *state) mayHold(m member) bool { return !m.gone && !s.silent(m) }

// silent reports whether so much has been lived since m was heard of last. Who is gone counts among those who lived it until he is silent
// himself.
func (s *state) silent(m member) bool {
	lease := m.lease
	for _, other := range s.members {
		lease = max(lease, other.lease)
	}
	return s.pulse-m.pulse > longSilent*lease*uint64(len(s.members))
}

// there reports whether m counts where most replicas decide. By log time alone, all others are gone for a moment when one clock is set
// forward.
func (s *state) there(m member) bool { return m.live(s.logTime) || s.mayHold(m) }

// holders returns who may hold a lease from a beat that was folded.
func (s *state) holders() []fence.Holder {
	var list []fence.Holder
	for inc, m := range s.members {
		if s.mayHold(m) {
			list = append(list, fence.Holder{Inc: fence.Incarnation(inc), Length: millis(m.lease)})
		}
	}
	return list
}

// foldLevelRaised lets events of a schema level follow, if every live replica knows it.
func (s *state) foldLevelRaised(d *events.LevelRaised) voidReason {
	switch {
	case d.Level <= s.level:
		return voidNoop
	case len(s.older(d.Level)) > 0:
		return voidLevel
	}
	s.level = d.Level
	s.touch(uint64(d.Level))
	return ""
}
