package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/fence"
)

// Store is where snapshots are kept: events.Log is one.
type Store interface {
	// PutSnapshot keeps a snapshot; it is there, whole, when it returns nil.
	PutSnapshot(ctx context.Context, s events.Snapshot, data []byte) error
	// Snapshots returns what is there, the newest first.
	Snapshots(ctx context.Context) ([]events.Snapshot, error)
	// GetSnapshot returns the bytes of a snapshot, which may be damaged; events.ErrSnapshot if it is not there as a whole.
	GetSnapshot(ctx context.Context, s events.Snapshot) ([]byte, error)
	// DropSnapshot removes a snapshot.
	DropSnapshot(ctx context.Context, s events.Snapshot) error
}

// storePatience is for how long a start waits for a store that does not answer, if the log is whole without it.
const storePatience = 5 * time.Second

// load begins with the newest good snapshot, so that only what came after it has to be read. Nothing runs yet. Without a snapshot
// the log is read from its beginning.
func (n *Node) load(ctx context.Context) error {
	if n.cfg.Retention.Store == nil {
		return nil
	}
	began := time.Now()
	stat, err := n.firstStat(ctx)
	if err != nil || stat.Last == 0 {
		return err
	}
	for {
		s, err := n.snapshotUpTo(ctx, stat.Last, func(events.Snapshot) bool { return true })
		switch {
		case s != nil:
			if err := n.adopt(s); err != nil {
				return err
			}
			n.log.Info("state loaded from a snapshot", "seq", s.seq, "log_ends", stat.Last, "took", time.Since(began))
			return nil
		case err == nil && stat.First <= 1:
			return nil
		case stat.First <= 1 && time.Since(began) >= storePatience:
			n.log.Warn("snapshots cannot be read; the log is read from its beginning", "error", err)
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%w: the log begins at %d and there is no good snapshot of what came before: %w", ErrNotCurrent, stat.First, err)
		}
	}
}

// snapshotUpTo returns the state of the newest good snapshot of this log that has no more than what comes up to a sequence, of those
// that are wanted; nil if there is none, with an error when that may be different a moment later.
func (n *Node) snapshotUpTo(ctx context.Context, seq uint64, wanted func(events.Snapshot) bool) (*state, error) {
	list, err := n.cfg.Retention.Store.Snapshots(ctx)
	if err != nil {
		return nil, err
	}
	for _, kept := range list {
		if kept.Seq > seq || kept.Size == 0 || !wanted(kept) {
			continue
		}
		s, err := n.readSnapshot(ctx, kept)
		if err == nil {
			return s, nil
		}
		if ctx.Err() != nil || n.ctx.Err() != nil {
			return nil, err
		}
		n.log.Error("a snapshot is of no use; trying an older one", "seq", kept.Seq, "by", kept.Node, "error", err)
	}
	return nil, nil
}

// readSnapshot reads a snapshot and checks that it is what it says, and of this log.
func (n *Node) readSnapshot(ctx context.Context, kept events.Snapshot) (*state, error) {
	data, err := n.cfg.Retention.Store.GetSnapshot(ctx, kept)
	if err != nil {
		return nil, err
	}
	s, hash, err := decode(data)
	switch {
	case err != nil:
		return nil, err
	case s.seq != kept.Seq || string(hash[:]) != string(kept.Hash):
		return nil, fmt.Errorf("%w: it is of %d, with another hash than it was stored with", errSnapshot, s.seq)
	}
	return s, n.fits(ctx, s)
}

// fits returns nil when the log leads on from s: the message at its end is in the log and known to s. If that message was trimmed,
// nobody can compare it; then the events that follow have to be of the same epoch, or they are void.
func (n *Node) fits(ctx context.Context, s *state) error {
	err := n.cfg.Log.Read(ctx, s.seq-1, s.seq, func(batch []events.Message) error {
		var e events.Event
		if err := events.Decode(batch[0].Data, &e); err != nil {
			return fmt.Errorf("message %d: %w", batch[0].Seq, err)
		}
		if e.Epoch != s.epoch || !s.seen.knows(e.ID) {
			return fmt.Errorf("%w: message %d of this log is not the last one in it", errSnapshot, s.seq)
		}
		return nil
	})
	if !errors.Is(err, events.ErrTrimmed) {
		return err
	}
	stat, err := n.firstStat(ctx)
	if err == nil && stat.First > s.seq+1 {
		err = fmt.Errorf("%w: the log begins at %d", errSnapshot, stat.First)
	}
	return err
}

// adopt makes s the state of this replica. Nothing runs yet.
func (n *Node) adopt(s *state) error {
	if s.level > n.life.level {
		return tooOld(s.seq, s.level, n.life.level)
	}
	s.leaves.unbound = n.state.leaves.unbound
	n.state = s
	n.hot.words, n.hot.access = s.words, s.access.live
	n.hot.logTime.Store(s.logTime / 1e9)
	n.hot.applied.Store(s.seq)
	n.hot.feed.publish(s.seq, false)
	n.hot.feed.show()
	n.recent.restore(s, n.clock.read().Mono, n.cfg.Grace)
	k := &n.keeping
	k.ring[s.seq%digestRing], k.ringFrom = s.digest, s.seq
	if err := k.checkMark(s.seq, s); err != nil {
		return err
	}
	if k.mark.Seq != 0 && s.seq >= k.mark.Seq && k.mark.Epoch != s.epoch.String() {
		return otherLog(k.mark, s)
	}
	// Whoever held a lease when the snapshot was made may hold it still. The clocks are read now, when all of it is here.
	k.machine = fence.New(n.fenceConfig(), n.clock.read(), s.holders())
	for inc, m := range s.members {
		if !s.mayHold(m) {
			continue
		}
		k.peers[inc] = &peer{name: m.node} // so that its reports count
		if m.joined != 0 {
			k.joined[inc] = joining{m.joined, m.node, m.issuer, m.audience}
		}
	}
	k.begin()
	return nil
}

// restore notes the refreshes that are in a snapshot and whose grace may not be over: without a mark, who repeats one would count
// as a thief. When they were applied is not known; when they were made is, by the clock of whoever made them.
func (r *recentRefreshes) restore(s *state, mono time.Duration, grace time.Duration) {
	now := s.logTime / 1e9
	for _, ses := range s.sessions {
		if ses.generation > 0 && ses.issuedAt >= now-seconds(grace) {
			r.note(ses.id, refreshMark{ses.seq, mono, min(ses.issuedAt, now), true}, grace)
		}
	}
}
