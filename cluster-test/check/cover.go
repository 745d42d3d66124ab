package check

import (
	"time"

	"github.com/knell-auth/knell/cluster-test/history"
)

// Coverage says how much a history can prove: a claim that nothing put to the test is not proven.
type Coverage struct {
	Ops     int
	Logouts int // acknowledged
	// Probes are the verifications, for each replica, that started after the logout of their session had returned and that
	// the replica answered.
	Probes map[int8]int
	// FaultProbes are those that started while a fault of their replica was in force: a paused replica that is asked while
	// it is paused and answers when it wakes.
	FaultProbes int
}

// Cover returns what h covers.
func Cover(h *history.History) Coverage {
	c := Coverage{Ops: len(h.Ops), Probes: map[int8]int{}}
	returned := map[int32]time.Duration{}
	for _, op := range h.Ops {
		if op.Kind == history.Logout && op.Outcome == history.OK {
			c.Logouts++
			if first, ok := returned[op.Session]; !ok || op.End < first {
				returned[op.Session] = op.End
			}
		}
	}
	for _, op := range h.Ops {
		end, ok := returned[op.Session]
		if op.Kind != history.Verify || op.Replica == history.Balanced || op.Status == 0 || !ok || op.Start <= end {
			continue
		}
		c.Probes[op.Replica]++
		if h.Disturbed(op.Replica, op.Start, op.Start) {
			c.FaultProbes++
		}
	}
	return c
}
