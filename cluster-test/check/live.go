package check

import (
	"fmt"
	"time"

	"github.com/knell-auth/knell/cluster-test/history"
)

// Outage is a time in which verifications at one replica (or through the balancer) were not answered.
type Outage struct {
	Replica  int8
	From, To time.Duration // from the start of the first one that failed to the start of the next one that was answered
	Failed   int
	Status   int16 // of the first one that failed; 0: no connection or no answer
}

// Outages returns the outages of every replica, in order of their beginning for each replica.
func Outages(h *history.History) []Outage {
	open := map[int8]*Outage{}
	var all []Outage
	var last time.Duration
	for _, op := range h.Ops {
		last = max(last, op.End)
		if op.Kind != history.Verify {
			continue
		}
		o := open[op.Replica]
		switch {
		case op.Outcome == history.OK || op.Outcome == history.Refused:
			if o != nil {
				o.To = op.Start
				all = append(all, *o)
				delete(open, op.Replica)
			}
		case o == nil:
			open[op.Replica] = &Outage{Replica: op.Replica, From: op.Start, Failed: 1, Status: op.Status}
		default:
			o.Failed++
		}
	}
	for r := history.Balanced; len(open) > 0; r++ {
		if o := open[r]; o != nil {
			o.To = last
			all = append(all, *o)
			delete(open, r)
		}
	}
	return all
}

// Unavailable returns how long verifications at replica were not answered.
func Unavailable(h *history.History, replica int8) time.Duration {
	var sum time.Duration
	for _, o := range Outages(h) {
		if o.Replica == replica {
			sum += o.To - o.From
		}
	}
	return sum
}

// SlowestLogout returns the longest time from the first attempt to end a session to its acknowledgement by any replica:
// what a user waits whose client tries again elsewhere. ok is false when some session's end was never acknowledged; the
// time is then what was spent on it.
func SlowestLogout(h *history.History) (slowest time.Duration, session int32, ok bool) {
	type attempt struct{ from, to, tried time.Duration }
	attempts := map[int32]*attempt{}
	for _, op := range h.Ops {
		if op.Kind != history.Logout {
			continue
		}
		a := attempts[op.Session]
		if a == nil {
			a = &attempt{from: op.Start, to: never}
			attempts[op.Session] = a
		}
		a.tried = max(a.tried, op.End)
		if op.Outcome == history.OK {
			a.to = min(a.to, op.End)
		}
	}
	ok = true
	for id, a := range attempts {
		ok = ok && a.to != never
		if took := min(a.to, a.tried) - a.from; took > slowest {
			slowest, session = took, id
		}
	}
	return slowest, session, ok
}

// liveness checks that what should have served did.
func liveness(h *history.History, o Options) []Violation {
	found := undisturbed(h, o)
	if !o.Outage {
		for _, out := range Outages(h) {
			if out.Replica == history.Balanced {
				found = append(found, Violation{Claim: Live, Text: fmt.Sprintf(
					"the service as a whole was down from %v to %v (%d verifications, status %d)", out.From, out.To, out.Failed, out.Status)})
			}
		}
	}
	took, session, ok := SlowestLogout(h)
	if !ok {
		found = append(found, Violation{Claim: Live, Text: "the end of a session was never acknowledged"})
	}
	if o.Logout > 0 && took > o.Logout {
		found = append(found, Violation{Claim: Live, Session: session, Text: fmt.Sprintf("a logout took %v, allowed is %v", took, o.Logout)})
	}
	return found
}

// undisturbed checks that replicas answer while no fault touches them. A failed verification that overlaps a fault of its
// own replica is that fault's.
func undisturbed(h *history.History, o Options) []Violation {
	kept := &history.History{}
	for _, op := range h.Ops {
		failed := op.Outcome == history.Unavailable || op.Outcome == history.Unknown
		if op.Kind != history.Verify || op.Replica == history.Balanced || failed && h.Disturbed(op.Replica, op.Start, op.End) {
			continue
		}
		kept.Ops = append(kept.Ops, op)
	}
	down := map[int8]time.Duration{}
	var found []Violation
	for _, out := range Outages(kept) {
		down[out.Replica] += out.To - out.From
		if down[out.Replica] > o.Slack {
			found = append(found, Violation{Claim: Live, Text: fmt.Sprintf(
				"replica %d turned %d verifications away (status %d) from %v to %v though no fault touched it; in all %v, allowed %v",
				out.Replica, out.Failed, out.Status, out.From, out.To, down[out.Replica], o.Slack)})
		}
	}
	return found
}
