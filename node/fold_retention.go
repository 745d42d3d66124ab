package node

import (
	"slices"

	"github.com/knell-auth/knell/events"
)

// retention is what the log says about its own beginning.
type retention struct {
	first     uint64           // the log begins here, and what comes before may be gone; 0: nothing was trimmed
	trimmedAt uint64           // sequence of the event that said so
	checks    []*snapshotCheck // what replicas said about snapshots, by sequence
}

// snapshotCheck is a snapshot, by its hash, and who has made the same one.
type snapshotCheck struct {
	seq    uint64
	hash   snapshotHash
	format uint32
	nodes  []string
}

// maxChecks is how many are remembered.
const maxChecks = 12

func (s *state) foldNodeSnapshot(seq uint64, e *events.Event, d *events.NodeSnapshot) voidReason {
	m, ok := s.members[d.Incarnation]
	switch {
	case !ok || m.gone || m.node != e.Node:
		return voidGone
	case d.Snapshot == 0 || d.Snapshot >= seq || len(d.Hash) != len(snapshotHash{}):
		return voidChanged
	case d.Snapshot+1 < s.first:
		return voidNoop
	}
	hash := snapshotHash(d.Hash)
	at := slices.IndexFunc(s.checks, func(k *snapshotCheck) bool { return k.seq == d.Snapshot && k.hash == hash })
	switch {
	case at < 0:
		if at = slices.IndexFunc(s.checks, func(k *snapshotCheck) bool { return k.seq > d.Snapshot }); at < 0 {
			at = len(s.checks)
		}
		s.checks = slices.Insert(s.checks, at, &snapshotCheck{seq: d.Snapshot, hash: hash, format: d.Format})
	case slices.Contains(s.checks[at].nodes, e.Node):
		return voidNoop
	}
	s.checks[at].nodes = append(s.checks[at].nodes, e.Node)
	if len(s.checks) > maxChecks {
		s.checks = slices.Delete(s.checks, 0, 1)
	}
	s.touch(d.Snapshot)
	return ""
}

// foldNodeTrimmed forgets what was kept for readers of what is trimmed.
func (s *state) foldNodeTrimmed(seq uint64, d *events.NodeTrimmed) voidReason {
	switch {
	case d.First <= max(s.first, 1):
		return voidNoop
	case s.verifiedFrom(d.First-1) == nil:
		return voidChanged
	}
	s.first, s.trimmedAt = d.First, seq
	s.past.forget(d.First)
	s.checks = slices.DeleteFunc(s.checks, func(k *snapshotCheck) bool { return k.seq+1 < d.First })
	s.touch(d.First)
	return ""
}

// verified reports whether more than half of the replicas that are there have made the snapshot of k.
func (s *state) verified(k *snapshotCheck) bool {
	live := map[string]bool{}
	for _, m := range s.members {
		if s.there(m) {
			live[m.node] = true
		}
	}
	same := 0
	for _, node := range k.nodes {
		if live[node] {
			same++
		}
	}
	return 2*same > len(live)
}

// verifiedFrom returns the oldest verified snapshot that has all up to seq, nil if there is none.
func (s *state) verifiedFrom(seq uint64) *snapshotCheck {
	for _, k := range s.checks {
		if k.seq >= seq && s.verified(k) {
			return k
		}
	}
	return nil
}

// verifiedLast returns the newest verified snapshot and the one before it, nil where there is none.
func (s *state) verifiedLast() (newest, before *snapshotCheck) {
	for _, k := range slices.Backward(s.checks) {
		if !s.verified(k) {
			continue
		}
		if newest != nil {
			return newest, k
		}
		newest = k
	}
	return newest, nil
}
