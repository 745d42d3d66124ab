// Package check judges recorded histories: pure functions from a history to the violations in it.
//
// It knows the claims of docs/design.md section 1 and nothing of how a history came to be. An operation whose outcome is
// unknown counts as "perhaps, at any time after its start", so a violation is one in every world that fits the record.
package check

import (
	"fmt"
	"time"

	"github.com/knell-auth/knell/cluster-test/history"
)

// Claim names the claim that a violation breaks.
type Claim string

// The claims that a history can break.
const (
	// C1: no operation that starts after a revocation returned success is accepted.
	C1 Claim = "C1"
	// C2: nothing acknowledged is lost; a good token is never answered 401.
	C2 Claim = "C2"
	// C3: a refresh token works once.
	C3 Claim = "C3"
	// C4: every state change has its one event, and all replicas have the same events at the same sequences.
	C4 Claim = "C4"
	// Linear: some order of a session's operations explains what they were answered (package linear judges it).
	Linear Claim = "linear"
	// Live: a healthy majority serves, and a replica that nothing disturbed does not turn good tokens away.
	Live Claim = "live"
	// Interface: an answer that the interface does not have.
	Interface Claim = "interface"
)

// Violation is one broken claim with the operations that prove it.
type Violation struct {
	Claim   Claim
	Session int32
	Text    string
	Ops     []history.Op
}

// String returns the violation in one line.
func (v Violation) String() string {
	s := fmt.Sprintf("%s, session %d: %s", v.Claim, v.Session, v.Text)
	for _, op := range v.Ops {
		s += fmt.Sprintf("; %s at %s, %v to %v: %s (%d)", op.Kind, replicaName(op.Replica), op.Start.Round(time.Microsecond),
			op.End.Round(time.Microsecond), op.Outcome, op.Status)
	}
	return s
}

func replicaName(r int8) string {
	if r == history.Balanced {
		return "balancer"
	}
	return fmt.Sprintf("replica %d", r)
}

// Options say what a history may show. The zero value allows no unavailability and checks no rates.
type Options struct {
	// Grace is the window in which a spent refresh token may be presented again. 0: 30 s.
	Grace time.Duration
	// Slack is what a replica that no fault touched may be unavailable in all.
	Slack time.Duration
	// Outage allows the service as a whole to be down (all replicas or the majority disturbed).
	Outage bool
	// Logout bounds the time from the first attempt to end a session to its acknowledgement. 0: not checked.
	Logout time.Duration
}

func (o Options) grace() time.Duration {
	if o.Grace == 0 {
		return 30 * time.Second
	}
	return o.Grace
}

// All returns every violation of every claim in h.
func All(h *history.History, o Options) []Violation {
	sessions := bySession(h)
	var found []Violation
	for _, s := range sessions {
		found = append(found, s.revocation()...)
		found = append(found, s.refusals(o.grace())...)
		found = append(found, s.chain()...)
	}
	found = append(found, answers(h)...)
	return append(found, liveness(h, o)...)
}

// Count returns how many of vs break claim.
func Count(vs []Violation, claim Claim) int {
	n := 0
	for _, v := range vs {
		if v.Claim == claim {
			n++
		}
	}
	return n
}

// answers checks what needs no context. Clients of a history log in with good credentials only.
func answers(h *history.History) []Violation {
	var found []Violation
	for _, op := range h.Ops {
		switch {
		case op.Outcome == history.Unexpected:
			found = append(found, Violation{Claim: Interface, Session: op.Session, Text: "answer outside the interface", Ops: []history.Op{op}})
		case op.Kind == history.Login && op.Outcome == history.Refused:
			found = append(found, Violation{Claim: C2, Session: op.Session, Text: "good credentials refused", Ops: []history.Op{op}})
		}
	}
	return found
}
