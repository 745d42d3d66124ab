package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/backup"
)

// BackupInfo says what is in a backup.
type BackupInfo struct {
	Created     time.Time
	Node        string // that wrote it
	Version     string // of its program
	Epoch       events.ID
	First, Last uint64    // sequences of its messages
	LogTime     time.Time // at its end
	Level       uint32    // schema level of the log
	Digest      events.ID // of the state at its end
	Leaves      uint64    // of the log's Merkle tree
	Root        string    // of that tree, in base64

	Users, Clients, APIKeys, Sessions, Webhooks, Grants int
	Snapshots, Tiles                                    int
}

// CheckBackup reads a whole backup and folds its log, and returns what is in it. An error says that it is damaged, or not what it says: its
// messages have to lead to the state that the replica had which wrote it. It does not look at the hash of the file; see
// backup.Check.
func CheckBackup(ctx context.Context, from io.Reader) (BackupInfo, error) {
	r, err := backup.NewReader(from)
	if err != nil {
		return BackupInfo{}, err
	}
	c := backupCheck{header: r.Header(), batch: make([]events.Message, 1)}
	if c.header.First == 1 {
		c.begin(newState())
	}
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return c.finish()
		}
		if err == nil {
			err = c.take(rec)
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return BackupInfo{}, err
		}
	}
}

// backupCheck is one call of CheckBackup.
type backupCheck struct {
	header backup.Header
	state  *state // as far as the messages have come; nil before the first snapshot of a log that was trimmed
	seq    uint64 // of the last message
	// later are the digests at sequences of snapshots that the messages lead to.
	later     map[uint64]events.ID
	batch     []events.Message
	snapshots int
	tiles     int
}

func (c *backupCheck) begin(s *state) {
	s.leaves.storeNothing()
	c.state, c.seq = s, c.header.First-1
}

// otherThan returns the error of a backup that is not what it says.
func otherThan(format string, args ...any) error {
	return fmt.Errorf("%w: %s", backup.ErrDamaged, fmt.Sprintf(format, args...))
}

func (c *backupCheck) take(rec backup.Record) error {
	switch rec.Kind {
	case backup.Snapshot:
		s, _, err := decode(rec.Data)
		if err != nil {
			return fmt.Errorf("%w: a snapshot: %w", backup.ErrDamaged, err)
		}
		c.snapshots++
		if s.seq+1 < c.header.First || s.seq > c.header.Last {
			return otherThan("a snapshot of message %d", s.seq)
		}
		if c.state == nil {
			c.begin(s)
			return nil
		}
		if c.later == nil {
			c.later = map[uint64]events.ID{}
		}
		c.later[s.seq] = s.digest
	case backup.Message:
		if c.state == nil {
			return otherThan("the log was trimmed, and there is no snapshot of what came before")
		}
		c.seq++
		if c.seq <= c.state.seq { // which the snapshot has already
			return nil
		}
		c.batch[0] = events.Message{Seq: c.seq, Subject: rec.Name, Data: rec.Data}
		if err := c.state.foldBatch(c.batch); err != nil {
			return fmt.Errorf("%w: %w", backup.ErrDamaged, err)
		}
		if digest, ok := c.later[c.seq]; ok && digest != c.state.digest {
			return otherThan("the messages up to %d do not lead to the snapshot there", c.seq)
		}
	case backup.Tile:
		c.tiles++
	}
	return nil
}

// finish compares where the messages have led to with what the backup says.
func (c *backupCheck) finish() (info BackupInfo, err error) {
	h, s := c.header, c.state
	switch {
	case s == nil || c.seq != h.Last || s.seq != h.Last:
		return info, otherThan("it has messages up to %d, and says %d", c.seq, h.Last)
	case s.digest.String() != h.Digest || s.epoch.String() != h.Epoch:
		return info, otherThan("its messages do not lead to the state that it was written from")
	case s.leaves.edge.Size() != h.Leaves:
		return info, otherThan("its messages have %d leaves, and it says %d", s.leaves.edge.Size(), h.Leaves)
	case s.leaves.edge.Root().String() != h.Root:
		return info, otherThan("its messages do not have the tree that it says")
	}
	full := 0
	_ = eachTile(h.Leaves, func(int, uint64) error { full++; return nil }) // which does not fail
	if c.tiles != full {
		return info, otherThan("it has %d tiles of a tree of %d leaves", c.tiles, h.Leaves)
	}
	return BackupInfo{
		Created: h.Created, Node: h.Node, Version: h.Version, Epoch: s.epoch, First: h.First, Last: h.Last, LogTime: h.LogTime,
		Level: s.level, Digest: s.digest, Leaves: h.Leaves, Root: h.Root,
		Users: len(s.users), Clients: len(s.clients), APIKeys: len(s.access.keys), Sessions: len(s.sessions), Webhooks: len(s.hooks),
		Grants: len(s.access.grants), Snapshots: c.snapshots, Tiles: c.tiles,
	}, nil
}

// SnapshotOf returns what is to be said of the bytes of a snapshot where it is stored.
func SnapshotOf(data []byte) (events.Snapshot, error) {
	s, hash, err := decode(data)
	if err != nil {
		return events.Snapshot{}, err
	}
	return events.Snapshot{Seq: s.seq, Epoch: s.epoch, Format: snapshotFormat, Level: s.level, Hash: hash[:]}, nil
}

// Restored returns the event that has to follow the messages of a backup which are to be a log again, written by the named replica. It
// begins a new epoch, whose id is random. trusted: see events.Restored.
func (i *BackupInfo) Restored(node string, trusted bool) *events.Event {
	return &events.Event{
		ID: events.NewID(), Time: time.Now(), Epoch: events.NewID(), Node: node, Actor: "local",
		Reason: fmt.Sprintf("restored from the backup of %s by %s", i.Created.UTC().Format(time.RFC3339), i.Node),
		Data:   &events.Restored{Before: i.Epoch, Last: i.Last, Trusted: trusted},
	}
}
