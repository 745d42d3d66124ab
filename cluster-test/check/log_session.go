package check

import (
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
