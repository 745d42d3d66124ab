package node

import (
	"slices"

	"github.com/knell-auth/knell/events"
)

// roster is what the log says about the lives of replicas, as far as it decides what may be written.
type roster struct {
	level   uint32 // schema level of the events that may follow; 1 until a LevelRaised
	members map[events.ID]member
}

// member is a life that has joined.
type member struct {
	node  string
	level uint32 // newest schema level that it knows
	until int64  // Unix nanoseconds of log time: unless it is heard of again, it counts as gone after that
	gone  bool   // it said so, or its successor did; kept, so that a beat that it left in flight does not bring it back
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
		return s.foldNodeJoined(e, d)
	case *events.NodeLeft:
		return s.foldNodeLeft(d)
	case *events.NodeKey:
		return s.foldNodeKey(seq, e, d)
	case *events.LevelRaised:
		return s.foldLevelRaised(d)
	default:
		return s.foldClient(seq, e)
	}
}

// foldNodeJoined takes a life in, unless there may be events that it cannot read. Its own replica ends then, when it comes to the
// event that says so, before it has held a lease.
func (s *state) foldNodeJoined(e *events.Event, d *events.NodeJoined) voidReason {
	s.depart(d.Replaces)
	if d.Level < s.level {
		return voidLevel
	}
	for inc, m := range s.members {
		if m.until < s.logTime {
			delete(s.members, inc)
		}
	}
	s.members[d.Incarnation] = member{node: e.Node, level: d.Level, until: s.logTime + memberMargin}
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

// foldPing notes that a life goes on. One that had been forgotten is back.
func (s *state) foldPing(p *events.Ping) {
	if m := s.members[p.Incarnation]; !m.gone {
		s.members[p.Incarnation] = member{node: p.Node, level: p.Level, until: s.logTime + int64(millis(p.LeaseMillis)) + memberMargin}
	}
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
