package node

import (
	"context"
	"time"

	"github.com/knell-auth/knell/events"
)

// orphaned is how old, in log time, a secret event must be before another replica than its author writes its public record.
const orphaned = 5 * time.Second

// settleRecord appends the public record of the secret event at seq, if one is owed.
func (n *Node) settleRecord(ctx context.Context, seq uint64) {
	n.mu.RLock()
	r, ok := n.state.records[seq]
	n.mu.RUnlock()
	if !ok {
		return
	}
	if _, err := n.commit(ctx, n.publicRecord(r), plain); err != nil {
		n.log.Debug("public record left to be settled later", "seq", seq, "error", err)
	}
}

// settleRecords appends the records that their authors did not live to append.
func (n *Node) settleRecords(ctx context.Context) {
	n.mu.RLock()
	var due []record
	for _, r := range n.state.records {
		if n.state.logTime-r.logTime > int64(orphaned) {
			due = append(due, r)
		}
	}
	n.mu.RUnlock()
	for _, r := range due {
		if _, err := n.write(ctx, n.publicRecord(r)); err != nil {
			n.log.Debug("public record not appended", "seq", r.seq, "error", err)
		}
	}
}

// publicRecord makes the public event of r. Its id is derived from the secret one's: whoever appends it, it counts once.
func (n *Node) publicRecord(r record) *events.Event {
	e := r.origin
	e.ID = events.DeriveID("record", r.origin.ID[:])
	e.Node = n.cfg.Name
	e.Data = r.data
	return &e
}
