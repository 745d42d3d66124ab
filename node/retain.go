package node

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/fence"
)

// Retention says for how long the log keeps events, and what stands for those that it has no more.
type Retention struct {
	Store Store         // of snapshots; nil: none are made, and a start reads the whole log
	Every uint64        // messages between two snapshots; 0: 250,000
	Age   time.Duration // events that are older, by the clocks of most replicas, may be removed; 0: none are. Give all replicas the same
	// Trim removes the messages before a sequence from the log. nil: another replica does.
	Trim func(ctx context.Context, first uint64) error
	Look time.Duration // how often there may be something to do; 0: 5 s
}

const (
	defaultSnapshotEvery = 250_000
	minRetention         = time.Minute // of Age: log time is known by the minute

	defaultLook  = 5 * time.Second
	retainPause  = 12 // looks that are left out after something failed
	snapshotKept = 3  // snapshots that are kept, at least
	// trimOverdue is after how many messages the others remove what the one who decided to has not.
	trimOverdue = 500
	// foldShare is which part of a core the making of a snapshot takes while it reads the log: one in so many.
	foldShare = 4
)

// retaining is what a replica knows of its own snapshots.
type retaining struct {
	newest  atomic.Uint64 // sequence of the newest snapshot that more than half of the replicas have made
	purged  uint64        // where the log begins, as its leader said; this and cleaned are retain's
	cleaned uint64        // newest, when older ones were dropped
}

// retain makes and checks snapshots, and trims the log, until the node ends. Nothing of it touches the state that is served from: a
// snapshot is folded anew from the one before it, which is thereby checked as well.
func (n *Node) retain() {
	if n.cfg.Retention.Store == nil {
		return
	}
	tick := time.NewTicker(n.cfg.Retention.Look)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-n.ctx.Done():
			return
		}
		err := n.retainOnce(n.ctx)
		if err == nil || n.ctx.Err() != nil {
			continue
		}
		n.log.Warn("snapshots and trimming: trying again later", "error", err)
		select {
		case <-time.After(retainPause * n.cfg.Retention.Look):
		case <-n.ctx.Done():
			return
		}
	}
}

// plan is what there is to do for a replica, by the state alone.
type plan struct {
	check    *snapshotCheck // a snapshot of another replica that this one has not made yet
	snapshot uint64         // sequence of a snapshot to be made; 0: none
	digest   events.ID      // of the state there
	trim     uint64         // where the log is to begin; 0: as it does
	purge    uint64         // where the log has to be made to begin
	keeper   bool           // this replica looks after snapshots and decides what is trimmed
	newest   uint64         // sequence of the newest verified snapshot; 0: there is none
}

// retainOnce does what there is to do.
func (n *Node) retainOnce(ctx context.Context) error {
	p := n.plan(n.nearlyFull(attemptShare))
	if p.purge > n.room.retaining.purged {
		if err := n.purge(ctx, p.purge); err != nil {
			return err
		}
	}
	switch {
	case p.check != nil:
		return n.checkSnapshot(ctx, p.check)
	case p.trim != 0:
		_, err := n.commit(ctx, n.newEvent(&events.NodeTrimmed{First: p.trim}, n.cfg.Name, Origin{Actor: "system"}), plain)
		return err
	case p.snapshot != 0:
		if err := n.takeSnapshot(ctx, p.snapshot, p.digest); err != nil {
			return err
		}
	}
	if r := &n.room.retaining; p.keeper && p.newest != r.cleaned {
		if err := n.dropSnapshots(ctx); err != nil {
			return err
		}
		r.cleaned = p.newest
	}
	return nil
}

// plan returns what there is to do. tight: the log fills up.
func (n *Node) plan(tight bool) plan {
	n.mu.RLock()
	defer n.mu.RUnlock()
	s, r := n.state, &n.cfg.Retention
	p := plan{keeper: s.keeper() == n.life.inc, check: s.unchecked(n.cfg.Name)}
	newest, fallback := s.verifiedLast()
	if n.cfg.Break&fence.NoMajority != 0 && len(s.checks) > 0 {
		newest = s.checks[len(s.checks)-1]
		fallback = newest
	}
	if newest != nil {
		p.newest = newest.seq
		n.room.retaining.newest.Store(newest.seq)
	}
	if s.first != 0 && r.Trim != nil && (p.keeper || s.seq-s.trimmedAt > trimOverdue) {
		p.purge = s.first
	}
	if !p.keeper {
		return p
	}
	old := uint64(0) // up to here everything is old enough to go
	if r.Age > 0 {
		old = s.past.before(s.agreedTime() - int64(r.Age/time.Second))
	}
	if tight {
		fallback = newest // no room for a second one to go back to
	}
	if fallback != nil && old > 0 {
		first := min(old, fallback.seq) + 1
		if begin := max(s.first, 1); first > begin && (tight || first-begin >= r.Every) {
			p.trim = first
		}
	}
	last := uint64(0)
	if len(s.checks) > 0 {
		last = s.checks[len(s.checks)-1].seq
	}
	if s.seq-last >= r.Every || tight && last < old {
		p.snapshot, p.digest = s.seq, s.digest
	}
	return p
}

// keeper returns the life that looks after snapshots and decides what is trimmed: the smallest one that is there. Should two think
// so of themselves for a moment, both do it, and it is done once: events say what is so, and are void when it is already.
func (s *state) keeper() (inc events.ID) {
	for id, m := range s.members {
		if m.live(s.logTime) && (inc.IsZero() || string(id[:]) < string(inc[:])) {
			inc = id
		}
	}
	return inc
}

// unchecked returns the newest snapshot that the named replica has not made, nil if there is none. Those before one that it has made
// do not matter any more.
func (s *state) unchecked(node string) *snapshotCheck {
	var found *snapshotCheck
	for _, k := range s.checks {
		if slices.Contains(k.nodes, node) {
			found = nil
		} else if k.format == snapshotFormat && (found == nil || found.seq < k.seq) && !s.spoke(node, k.seq) {
			found = &snapshotCheck{seq: k.seq, hash: k.hash}
		}
	}
	return found
}

// spoke reports whether the named replica has made a snapshot at a sequence, whatever came of it.
func (s *state) spoke(node string, seq uint64) bool {
	return slices.ContainsFunc(s.checks, func(k *snapshotCheck) bool { return k.seq == seq && slices.Contains(k.nodes, node) })
}

// trusted returns the snapshots that are good to go on from: those that this replica or more than half of all have made.
func (n *Node) trusted() map[uint64]snapshotHash {
	n.mu.RLock()
	defer n.mu.RUnlock()
	m := map[uint64]snapshotHash{}
	for _, k := range n.state.checks {
		if n.state.verified(k) || slices.Contains(k.nodes, n.cfg.Name) && m[k.seq] == (snapshotHash{}) {
			m[k.seq] = k.hash
		}
	}
	return m
}

// fold returns the state at seq: of an older snapshot and what the log has after it. It takes its time.
func (n *Node) fold(ctx context.Context, seq uint64) (*state, error) {
	trusted := n.trusted()
	s, err := n.snapshotUpTo(ctx, seq-1, func(k events.Snapshot) bool {
		hash, ok := trusted[k.Seq]
		return ok && string(hash[:]) == string(k.Hash)
	})
	if first, _ := n.LogBegins(); err == nil && s == nil && first > 1 {
		s, err = n.snapshotUpTo(ctx, seq-1, func(events.Snapshot) bool { return true })
	}
	if err != nil {
		return nil, err
	}
	if s == nil {
		s = newState()
	}
	s.leaves.storeNothing()
	var e events.Event
	began := time.Now()
	err = n.cfg.Log.Read(ctx, s.seq, seq, func(batch []events.Message) error {
		for i := range batch {
			if err := events.Decode(batch[i].Data, &e); err != nil {
				return fmt.Errorf("message %d: %w", batch[i].Seq, err)
			}
			s.applyMessage(&batch[i], &e)
		}
		select {
		case <-time.After((foldShare - 1) * time.Since(began)):
		case <-ctx.Done():
			return ctx.Err()
		}
		began = time.Now()
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("fold the log up to %d: %w", seq, err)
	}
	return s, nil
}

// takeSnapshot makes a snapshot and says so. A crash before it says so leaves one that nobody has checked: good for a start, and
// dropped with the next ones.
func (n *Node) takeSnapshot(ctx context.Context, seq uint64, digest events.ID) error {
	s, err := n.fold(ctx, seq)
	if err != nil {
		return err
	}
	if s.digest != digest {
		n.log.Error("a snapshot that was folded anew is not the state of this replica: it is thrown away; if this repeats, start the replica again",
			"seq", seq, "digest", s.digest, "own", digest)
		return fmt.Errorf("%w: at %d", errDiverged, seq)
	}
	// Who begins with a snapshot cannot make the tiles of what came before it.
	if err := n.awaitTiles(ctx, s.leaves.tiles); err != nil {
		return err
	}
	data, hash, err := s.encode()
	if err != nil {
		return err
	}
	kept := events.Snapshot{Seq: seq, Epoch: s.epoch, Format: snapshotFormat, Level: s.level, Hash: hash[:]}
	if err := n.cfg.Retention.Store.PutSnapshot(ctx, kept, data); err != nil {
		return err
	}
	n.log.Info("snapshot taken", "seq", seq, "bytes", len(data), "sessions", len(s.sessions))
	return n.sayChecked(ctx, seq, hash)
}

// checkSnapshot makes the snapshot that another replica has made, if it is stored as it was made, and says what came of it.
func (n *Node) checkSnapshot(ctx context.Context, k *snapshotCheck) error {
	if err := n.stored(ctx, k); err != nil {
		return fmt.Errorf("the snapshot at %d is not stored as it was made: %w", k.seq, err)
	}
	s, err := n.fold(ctx, k.seq)
	if err != nil {
		return err
	}
	_, hash, err := s.encode()
	if err != nil {
		return err
	}
	if hash != k.hash { // said all the same: whoever counts sees that there are two
		n.log.Error("the snapshot of another replica is not what the log means to this one: one of the two is wrong", "seq", k.seq)
	}
	return n.sayChecked(ctx, k.seq, hash)
}

// stored returns nil if a snapshot can be read from the store as it was made.
func (n *Node) stored(ctx context.Context, k *snapshotCheck) error {
	list, err := n.cfg.Retention.Store.Snapshots(ctx)
	if err != nil {
		return err
	}
	err = events.ErrSnapshot
	for _, kept := range list {
		if kept.Seq != k.seq || string(kept.Hash) != string(k.hash[:]) {
			continue
		}
		data, e := n.cfg.Retention.Store.GetSnapshot(ctx, kept)
		if err = e; err == nil && hashOf(data) != k.hash {
			err = errSnapshot
		}
		if err == nil {
			return nil
		}
	}
	return err
}

// sayChecked writes down that this replica has made a snapshot with this hash.
func (n *Node) sayChecked(ctx context.Context, seq uint64, hash snapshotHash) error {
	d := &events.NodeSnapshot{Snapshot: seq, Hash: hash[:], Format: snapshotFormat, Incarnation: n.life.inc}
	_, err := n.commit(ctx, n.newEvent(d, n.cfg.Name, Origin{Actor: "system"}), plain)
	return err
}

// dropSnapshots removes snapshots that are not needed: those before the third newest that was verified, and those of which more than
// half of the replicas have made another.
func (n *Node) dropSnapshots(ctx context.Context) error {
	list, err := n.cfg.Retention.Store.Snapshots(ctx)
	if err != nil {
		return err
	}
	n.mu.RLock()
	verified := map[uint64]snapshotHash{}
	for _, k := range n.state.checks {
		if n.state.verified(k) {
			verified[k.seq] = k.hash
		}
	}
	n.mu.RUnlock()
	good := map[uint64]bool{}
	for _, kept := range list {
		hash, ok := verified[kept.Seq]
		same := ok && string(hash[:]) == string(kept.Hash)
		if same && len(good) < snapshotKept {
			good[kept.Seq] = true
		}
		if good[kept.Seq] && same || !ok && len(good) < snapshotKept {
			continue
		}
		if err := n.cfg.Retention.Store.DropSnapshot(ctx, kept); err != nil {
			return err
		}
		n.log.Debug("snapshot dropped", "seq", kept.Seq, "by", kept.Node)
	}
	return nil
}

// purge removes what the log has decided to do without.
func (n *Node) purge(ctx context.Context, first uint64) error {
	stat, err := n.firstStat(ctx)
	if err != nil {
		return err
	}
	if stat.First < first {
		if err := n.cfg.Retention.Trim(ctx, first); err != nil {
			return err
		}
		n.log.Info("log trimmed", "first", first, "messages", first-stat.First)
		n.measureLog(ctx)
	}
	n.room.retaining.purged = first
	return nil
}

// LogBegins returns the sequence at which the log begins as far as this replica has applied it, 1 if it was never trimmed, and how far
// that is. A copy of the log that begins later than that lacks messages, if it goes no further.
func (n *Node) LogBegins() (first, applied uint64) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return max(n.state.first, 1), n.state.seq
}

// trimmedBefore returns an ErrTrimmed that says where the log begins.
func trimmedBefore(first uint64) error {
	return fmt.Errorf("%w: it begins at %d", ErrTrimmed, first)
}
