package compare

import (
	"time"

	"github.com/knell-auth/knell/cluster-test/history"
)

// exposure is how long and how often a session was accepted after its end had been acknowledged.
type exposure struct {
	// leaks is the number of checks that were sent after the revocation had returned, and accepted.
	leaks int
	// last is the time from the return until the slowest replica's first refusal after its last leak: 0 without leaks.
	last time.Duration
	// never says that a replica's last answer was an accept: the session outlived the observation.
	never bool
}

// expose computes the exposure of one session from the checks of its token and the instant at which the revocation returned.
// A check that was sent before that instant is concurrent with the revocation and counts for nothing, whatever it was
// answered and whenever.
func expose(checks []history.Op, returned time.Duration) exposure {
	var e exposure
	lastLeak := map[int8]time.Duration{}
	for _, op := range checks {
		if op.Outcome != history.OK || op.Start <= returned {
			continue
		}
		e.leaks++
		lastLeak[op.Replica] = max(lastLeak[op.Replica], op.Start)
	}
	for replica, since := range lastLeak {
		refused, found := firstRefusal(checks, replica, since)
		if !found {
			e.never = true
			continue
		}
		e.last = max(e.last, refused-returned)
	}
	return e
}

// firstRefusal returns when the first check that was sent to replica after since was answered with a refusal.
func firstRefusal(checks []history.Op, replica int8, since time.Duration) (at time.Duration, found bool) {
	for _, op := range checks {
		if op.Replica != replica || op.Start <= since || !refusal(op) {
			continue
		}
		if !found || op.End < at {
			at, found = op.End, true
		}
	}
	return at, found
}

// refusal reports whether op was answered and did not let anybody pass.
func refusal(op history.Op) bool {
	return op.Outcome == history.Refused || op.Outcome == history.Unavailable
}
