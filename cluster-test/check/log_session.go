package check

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/knell-auth/knell/cluster-test/history"
)

// refreshes checks that each generation of s has its one event, if it was acknowledged, and never more than one; and that
// somebody presented the token before it.
func (s *session) refreshes(sid string, l *life, report func(string, ...any)) {
	asked, acknowledged := map[int32]bool{}, map[int32]bool{}
	for _, op := range s.ops {
		if op.Kind != history.Refresh || !begun(op) {
			continue
		}
		asked[op.Gen+1] = true
		if op.Outcome != history.OK {
			continue
		}
		acknowledged[op.Gen+1] = true
		if op.SID != sid {
			report("a refresh returned a token of session %q, not %q", op.SID, sid)
		}
	}
	made := map[int32]int{}
	for _, e := range l.of(refreshed, 0) {
		made[e.Generation]++
		if !asked[e.Generation] {
			report("event %d made generation %d, and nobody asked for it", e.Seq, e.Generation)
		}
	}
	for _, gen := range slices.Sorted(maps.Keys(acknowledged)) {
		if made[gen] == 0 {
			report("generation %d was acknowledged, and the log has no event that made it", gen)
		}
	}
	for _, gen := range slices.Sorted(maps.Keys(made)) {
		if made[gen] > 1 {
			report("%d events made generation %d", made[gen], gen)
		}
	}
}

// revokers returns how many operations may have appended a revocation of s: a logout that was asked for after another one
// had been acknowledged appends nothing. A replica that lags behind may append one that is void, but lags only when
// something disturbs it.
func (s *session) revokers() int {
	returned := never
	for _, op := range s.ops {
		if op.Kind == history.Logout && op.Outcome == history.OK {
			returned = min(returned, op.End)
		}
	}
	n := 0
	for _, op := range s.ops {
		if begun(op) && (op.Kind == history.Refresh || op.Kind == history.Logout && op.Start <= returned) {
			n++
		}
	}
	return n
}

// strangers checks what the log has of sessions that no acknowledged login began: logins whose outcome is unknown may have
// begun them, and nobody has their tokens.
func strangers(h *history.History, lives map[string]*life) []Violation {
	unknown := 0
	for _, op := range h.Ops {
		if op.Kind == history.Login && (op.Outcome == history.Unknown || op.Outcome == history.Unexpected) {
			unknown++
		}
	}
	var found []Violation
	born := 0
	for _, sid := range slices.Sorted(maps.Keys(lives)) {
		for _, e := range lives[sid].events {
			if e.Type == started {
				born++
				continue
			}
			found = append(found, Violation{Claim: C4, Text: fmt.Sprintf("%s took effect at %d for session %q, which nobody got", e.Type, e.Seq, sid)})
		}
	}
	if born > unknown {
		found = append(found, Violation{Claim: C4, Text: fmt.Sprintf(
			"the log has %d sessions that nobody got, but the outcome of only %d logins is unknown", born, unknown)})
	}
	return found
}

// placed is an acknowledged operation with the sequence of its event.
type placed struct {
	op  history.Op
	seq uint64
}

// places returns the operations of s of which it is certain that they appended one of its events: the login, and each
// refresh whose token nobody else presented.
func (s *session) places(l *life) []placed {
	asked := map[int32]int{}
	for _, op := range s.ops {
		if op.Kind == history.Refresh && begun(op) {
			asked[op.Gen]++
		}
	}
	var all []placed
	for _, op := range s.ops {
		var made []history.Event
		switch {
		case op.Outcome != history.OK:
		case op.Kind == history.Login:
			made = l.of(started, 0)
		case op.Kind == history.Refresh && asked[op.Gen] == 1:
			made = l.of(refreshed, op.Gen+1)
		}
		if len(made) == 1 {
			all = append(all, placed{op, made[0].Seq})
		}
	}
	return all
}

// outOfOrder reports operations whose events stand in the log the other way round: one that began when another had ended
// comes after it. The first one found for each event is enough.
func outOfOrder(all []placed) []Violation {
	slices.SortFunc(all, func(a, b placed) int { return cmp.Compare(a.seq, b.seq) })
	var found []Violation
	var last placed // of those before, the one that began last
	for _, p := range all {
		if p.op.End < last.op.Start {
			found = append(found, Violation{
				Claim: C4, Session: p.op.Session, Ops: []history.Op{p.op, last.op},
				Text: fmt.Sprintf("its event stands at %d, after the one at %d of an operation that began later", p.seq, last.seq),
			})
		}
		if p.op.Start > last.op.Start {
			last = p
		}
	}
	return found
}
