package check

import (
	"testing"

	"github.com/knell-auth/knell/cluster-test/history"
)

func TestCover(t *testing.T) {
	h := &history.History{
		Faults: []history.Fault{{Name: "pause", Replica: 2, Start: 50, End: 90}},
		Ops: []history.Op{
			{Kind: history.Verify, Session: 1, Start: 5, End: 9, Status: 200, Outcome: history.OK},
			{Kind: history.Logout, Session: 1, Start: 10, End: 20, Status: 204, Outcome: history.OK},
			{Kind: history.Logout, Session: 2, Start: 10, End: 20, Status: 503, Outcome: history.Unknown},
			{Kind: history.Verify, Session: 1, Start: 15, End: 30, Status: 200, Outcome: history.OK},      // concurrent
			{Kind: history.Verify, Session: 1, Start: 21, End: 30, Status: 401, Outcome: history.Refused}, // counts
			{Kind: history.Verify, Session: 2, Start: 21, End: 30, Status: 200, Outcome: history.OK},      // not ended
			{Kind: history.Verify, Session: 1, Replica: 2, Start: 60, End: 95, Status: 503},               // counts twice
			{Kind: history.Verify, Session: 1, Replica: 2, Start: 61, End: 95},                            // no answer
			{Kind: history.Verify, Session: 1, Replica: history.Balanced, Start: 62, End: 63, Status: 401},
		},
	}
	c := Cover(h)
	if c.Ops != 9 || c.Logouts != 1 || c.FaultProbes != 1 || c.Probes[0] != 1 || c.Probes[2] != 1 || len(c.Probes) != 2 {
		t.Errorf("%+v", c)
	}
}
