package linear

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/knell-auth/knell/cluster-test/history"
)

// defaultGrace is the service's own default.
const defaultGrace = 30 * time.Second

// never is when an operation returns whose outcome is unknown.
const never = math.MaxInt64

// Result is what came of a check. Sessions whose login is not acknowledged in the history are not judged.
type Result struct {
	Judged int
	// Illegal are the sessions whose answers no order explains.
	Illegal []Session
	// Undecided are sessions on which the time ran out. They prove nothing.
	Undecided []int32
}

// Session is one session with those of its operations that matter, by their start.
type Session struct {
	ID  int32
	Ops []history.Op
}

// Check judges every session of h. grace is the window in which a spent refresh token may be presented again (0: 30 s), limit
// what the check as a whole may take.
func Check(h *history.History, grace, limit time.Duration) Result {
	if grace == 0 {
		grace = defaultGrace
	}
	deadline := time.Now().Add(limit)
	var r Result
	for _, s := range sessions(h) {
		if !slices.ContainsFunc(s.Ops, acknowledgedLogin) {
			continue
		}
		r.Judged++
		s.Ops = telling(s.Ops)
		left := time.Until(deadline)
		if left <= 0 { // 0 would mean no limit
			r.Undecided = append(r.Undecided, s.ID)
			continue
		}
		switch porcupine.CheckOperationsTimeout(model, steps(s.Ops, grace), left) {
		case porcupine.Illegal:
			r.Illegal = append(r.Illegal, s)
		case porcupine.Unknown:
			r.Undecided = append(r.Undecided, s.ID)
		}
	}
	return r
}

func acknowledgedLogin(op history.Op) bool {
	return op.Kind == history.Login && op.Outcome == history.OK
}

// sessions splits h. Operations of no session (number 0) are left out, and those that were not carried out and say nothing.
func sessions(h *history.History) []Session {
	at := map[int32]int{}
	var all []Session
	for _, op := range h.Ops {
		unanswered := op.Kind == history.Verify && op.Outcome != history.OK && op.Outcome != history.Refused
		if op.Session == 0 || op.Outcome == history.Unavailable || unanswered {
			continue
		}
		i, ok := at[op.Session]
		if !ok {
			i = len(all)
			at[op.Session] = i
			all = append(all, Session{ID: op.Session})
		}
		all[i].Ops = append(all[i].Ops, op)
	}
	slices.SortFunc(all, func(a, b Session) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// telling leaves away the verifications that say no more than others do. It changes no verdict, because a session goes
// through its phases in one order. An acceptance says that at some instant between its start and its end the session had
// become active and had not yet ended: it became active before its end, and ended after its start. So the earliest end and the
// latest start of all acceptances say everything. A refusal that began when the session was active says that it was ending
// before the refusal's end: the earliest end says everything. So however much is verified, and however long some
// verifications hang, few remain.
//
// Refusals of a token that may have expired say nothing.
func telling(ops []history.Op) []history.Op {
	expires := map[int32]time.Duration{} // by generation
	made := time.Duration(math.MaxInt64)
	for _, op := range ops {
		gen := op.Gen
		switch {
		case op.Outcome != history.OK:
			continue
		case op.Kind == history.Login:
			made = op.End
		case op.Kind == history.Refresh:
			gen++
		default:
			continue
		}
		if t, ok := expires[gen]; op.Expires != 0 && (!ok || op.Expires < t) {
			expires[gen] = op.Expires
		}
	}
	var kept []history.Op
	var firstYes, lastYes, firstNo history.Op // Kind is 0 when there is none
	for _, op := range ops {
		byAccess := op.Kind == history.Verify || op.Kind == history.Logout
		if t, ok := expires[op.Gen]; byAccess && op.Outcome == history.Refused && ok && op.End >= t {
			continue
		}
		switch {
		case op.Kind != history.Verify, op.Outcome == history.Refused && op.Start <= made:
			kept = append(kept, op)
		case op.Outcome == history.Refused:
			if firstNo.Kind == 0 || op.End < firstNo.End {
				firstNo = op
			}
		default:
			if firstYes.Kind == 0 || op.End < firstYes.End {
				firstYes = op
			}
			if lastYes.Kind == 0 || op.Start > lastYes.Start {
				lastYes = op
			}
		}
	}
	for _, op := range []history.Op{firstYes, lastYes, firstNo} {
		if op.Kind != 0 {
			kept = append(kept, op)
		}
	}
	slices.SortStableFunc(kept, func(a, b history.Op) int { return cmp.Compare(a.Start, b.Start) })
	return kept
}

// steps returns the instants of a session's operations.
func steps(ops []history.Op, grace time.Duration) []porcupine.Operation {
	// The service measures the window from a refresh that a client knows only to lie between two instants, and rounds as it
	// likes: a tenth less is the shortest that a client may rely on.
	grace -= grace / 10
	firstUse := map[int32]time.Duration{}
	for _, op := range ops {
		if t, ok := firstUse[op.Gen]; op.Kind == history.Refresh && (!ok || op.Start < t) {
			firstUse[op.Gen] = op.Start
		}
	}
	var all []porcupine.Operation
	for i, op := range ops {
		in := step{op: i + 1, gen: op.Gen, tokens: op.Successor, late: op.End-firstUse[op.Gen] > grace}
		add := func(d deed, from time.Duration, to int64) {
			in.deed = d
			all = append(all, porcupine.Operation{Input: in, Call: int64(from), Return: to})
		}
		end := int64(op.End)
		switch unknown := op.Outcome != history.OK && op.Outcome != history.Refused; {
		case acknowledgedLogin(op):
			add(login, op.Start, end)
		case op.Kind == history.Refresh && unknown:
			in.tokens = 0
			add(maybeRefresh, op.Start, never)
			add(maybeLate, max(op.Start, firstUse[op.Gen]+grace), never)
		case op.Kind == history.Logout && unknown:
			add(maybeLogout, op.Start, never)
		case op.Kind == history.Verify && op.Outcome == history.OK:
			add(accept, op.Start, end)
		case op.Kind == history.Verify:
			add(refuse, op.Start, end)
		case op.Kind == history.Refresh && op.Outcome == history.OK:
			add(refresh, op.Start, end)
		case op.Kind == history.Refresh:
			add(refuseRefresh, op.Start, end)
			add(refusedRefresh, op.Start, end)
		case op.Kind == history.Logout && op.Outcome == history.OK:
			add(logout, op.Start, end)
			add(loggedOut, op.Start, end)
		case op.Kind == history.Logout:
			add(refuseLogout, op.Start, end)
		}
	}
	return all
}
