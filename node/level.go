package node

import (
	"context"
	"fmt"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/fence"
)

// write appends e as Log.Append does; nothing else of the node appends. An event that builds of an older schema level cannot read is
// held back until the log is at its level: *OlderError says that it is not there and will not be.
func (n *Node) write(ctx context.Context, e *events.Event) (uint64, error) {
	if level := events.LevelOf(e.Data); level > 1 && n.cfg.Break&fence.NoLevels == 0 {
		if err := n.reachLevel(ctx, level); err != nil {
			return 0, err
		}
	}
	return n.cfg.Log.Append(ctx, e)
}

// reachLevel returns nil when events of the schema level may be written. The first one that needs it says so in the log before it is
// written, and the log's order decides: a replica of an older version that joined before that keeps the level away, and one that
// comes after it reads that it must not go on, from an event that it knows. To look at one's own state alone would let it join between
// the look and the append, and meet what it cannot read.
func (n *Node) reachLevel(ctx context.Context, level uint32) error {
	for range tries {
		n.mu.RLock()
		now, older := n.state.level, n.state.older(level)
		n.mu.RUnlock()
		switch {
		case now >= level:
			return nil
		case len(older) > 0:
			return &OlderError{older}
		}
		raise := n.newEvent(&events.LevelRaised{Level: level}, n.cfg.Name, Origin{Actor: "system"})
		if _, err := n.commit(ctx, raise, plain); err != nil {
			return fmt.Errorf("raise the schema level of the log to %d: %w", level, err)
		}
	}
	return fmt.Errorf("%w: replicas of an older version come and go", ErrUnknownOutcome)
}

// tooOld returns the error of a build that meets a log of a higher schema level than it knows.
func tooOld(seq uint64, level, known uint32) error {
	return fmt.Errorf("%w: at message %d the log is at schema level %d, and this version of knell knows %d; "+
		"start the version that the other replicas run", events.ErrNewer, seq, level, known)
}
