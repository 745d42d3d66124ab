package check

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/knell-auth/knell/cluster-test/history"
)

const never = time.Duration(math.MaxInt64)

// session is the history of one session, its operations by start.
type session struct {
	id  int32
	ops []history.Op
}

// bySession splits h. Operations of unknown sessions (number 0) are of no session's history.
func bySession(h *history.History) []*session {
	byID := map[int32]*session{}
	var all []*session
	for _, op := range h.Ops {
		if op.Session == 0 {
			continue
		}
		s := byID[op.Session]
		if s == nil {
			s = &session{id: op.Session}
			byID[op.Session] = s
			all = append(all, s)
		}
		s.ops = append(s.ops, op)
	}
	slices.SortFunc(all, func(a, b *session) int { return cmp.Compare(a.id, b.id) })
	return all
}

// revocation checks C1: nothing that starts after the first acknowledged logout has returned is accepted.
func (s *session) revocation() []Violation {
	returned := history.Op{End: never}
	for _, op := range s.ops {
		if op.Kind == history.Logout && op.Outcome == history.OK && op.End < returned.End {
			returned = op
		}
	}
	var found []Violation
	for _, op := range s.ops {
		if op.Start <= returned.End || op.Outcome != history.OK || op.Kind == history.Logout {
			continue // a repeated logout succeeds: the session has ended
		}
		found = append(found, Violation{
			Claim: C1, Session: s.id, Ops: []history.Op{returned, op},
			Text: op.Kind.String() + " accepted " + (op.Start - returned.End).String() + " after the logout had returned",
		})
	}
	return found
}

// begun reports whether op may have had an effect.
func begun(op history.Op) bool { return op.Outcome != history.Unavailable }

// mayEnd returns the earliest instant at which a client gave the service a reason to end the session: it asked for a
// logout, presented a refresh token whose successor had been used, or presented one again when the grace window may have
// passed. Nothing may be refused before it.
func (s *session) mayEnd(grace time.Duration) time.Duration {
	// The service measures the window from a refresh that a client knows only to lie between two instants, and rounds as
	// it likes: a tenth less is the shortest that a client may rely on.
	grace -= grace / 10
	firstUse := map[int32]time.Duration{}
	for _, op := range s.ops {
		if _, ok := firstUse[op.Gen]; op.Kind == history.Refresh && begun(op) && !ok {
			firstUse[op.Gen] = op.Start
		}
	}
	end := never
	for _, op := range s.ops {
		if !begun(op) {
			continue
		}
		switch op.Kind {
		case history.Logout:
			if op.Outcome != history.Refused { // a refusal ends nothing
				end = min(end, op.Start)
			}
		case history.Refresh:
			// An answer that never came may be given late; its End says nothing about when the service decided.
			decided := op.End
			if op.Outcome == history.Unknown {
				decided = never
			}
			if next, ok := firstUse[op.Gen+1]; ok && next <= decided {
				end = min(end, max(op.Start, next))
			}
			if op.End-firstUse[op.Gen] > grace {
				end = min(end, max(op.Start, firstUse[op.Gen]+grace))
			}
		}
	}
	return end
}

// refusals checks C2: what a login or a refresh acknowledged is accepted until it expires or the session may have ended. A
// logout is accepted also after that: a client that did not get the answer to the first one asks again.
func (s *session) refusals(grace time.Duration) []Violation {
	mayEnd := s.mayEnd(grace)
	// made is when the tokens of a generation were handed out, and until when its access token is good.
	made := map[int32]history.Op{}
	for _, op := range s.ops {
		if op.Outcome != history.OK || (op.Kind != history.Login && op.Kind != history.Refresh) {
			continue
		}
		gen := int32(0)
		if op.Kind == history.Refresh {
			gen = op.Gen + 1
		}
		if first, ok := made[gen]; !ok || op.End < first.End {
			made[gen] = op
		}
	}
	var found []Violation
	for _, op := range s.ops {
		if op.Outcome != history.Refused || op.Kind == history.Login || (op.End >= mayEnd && op.Kind != history.Logout) {
			continue
		}
		source, ok := made[op.Gen]
		if !ok || op.Start < source.End {
			continue // the token was never acknowledged to this client
		}
		if op.Kind != history.Refresh && source.Expires != 0 && op.End >= source.Expires {
			continue
		}
		found = append(found, Violation{
			Claim: C2, Session: s.id, Text: op.Kind.String() + " refused a good token", Ops: []history.Op{source, op},
		})
	}
	return found
}

// chain checks C3: each refresh token has at most one successor, and none works again once its successor has been used.
func (s *session) chain() []Violation {
	var found []Violation
	first := map[int32]history.Op{} // the first acknowledged refresh of each generation, by End
	for _, op := range s.ops {
		if op.Kind != history.Refresh || op.Outcome != history.OK {
			continue
		}
		other, ok := first[op.Gen]
		if ok && other.Successor != op.Successor {
			found = append(found, Violation{
				Claim: C3, Session: s.id, Text: "one refresh token has two successors", Ops: []history.Op{other, op},
			})
		}
		if !ok || op.End < other.End {
			first[op.Gen] = op
		}
	}
	for _, op := range s.ops {
		if op.Kind != history.Refresh || op.Outcome != history.OK {
			continue
		}
		if used, ok := first[op.Gen+1]; ok && op.Start > used.End {
			found = append(found, Violation{
				Claim: C3, Session: s.id, Text: "a refresh token worked after its successor had been used", Ops: []history.Op{used, op},
			})
		}
	}
	return found
}
