package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/backup"
	"github.com/knell-auth/knell/internal/merkle"
)

// backupShare is which part of the time a backup of a log in use reads and writes: one in so many. The rest is for others.
const backupShare = 2

// cut is a log at one sequence, as far as a backup has to know it.
type cut struct {
	backup.Header
	log     events.ID         // see beginning
	waiting map[string][]byte // full tiles that may not be stored
	tiles   Tiles
	store   Store // nil: there are no snapshots
	read    func(ctx context.Context, after, upTo uint64, deliver func([]events.Message) error) error
	rest    func(context.Context, time.Duration) error // after work that took so long
}

// cut returns the log as s is it.
func (s *state) cut(node, version string) cut {
	c := cut{log: s.log, waiting: map[string][]byte{}}
	for _, t := range s.leaves.waiting {
		c.waiting[t.name] = t.data
	}
	root := s.leaves.edge.Root()
	c.Header = backup.Header{
		Created: time.Now().UTC().Truncate(time.Second), Node: node, Version: version,
		Epoch: s.epoch.String(), First: max(s.first, 1), Last: s.seq, LogTime: time.Unix(0, s.logTime).UTC(), Level: s.level,
		Digest: s.digest.String(), Leaves: s.leaves.edge.Size(), Root: root.String(),
	}
	return c
}

// Backup writes everything that the log can be made again from: its messages up to one sequence, which this replica has applied under a
// lease, snapshots of what came before its front, and the tiles of its tree. It has secrets in it. It leaves time for others. What it has
// written when it returns an error is no backup. ErrNotCurrent; ErrTrimmed when messages were removed meanwhile: it may be tried again.
func (n *Node) Backup(ctx context.Context, to io.Writer) error {
	lease := n.hot.lease.Load()
	n.mu.RLock()
	c := n.state.cut(n.cfg.Name, n.cfg.Version)
	n.mu.RUnlock()
	if !lease.Valid(n.clock.read()) {
		return ErrNotCurrent
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(n.ctx, func() { cancel(ErrClosed) })()
	c.tiles, c.store, c.read = n.cfg.Log, n.cfg.Retention.Store, n.readPart
	c.rest = func(ctx context.Context, worked time.Duration) error {
		select {
		case <-time.After((backupShare - 1) * worked):
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return c.write(ctx, to)
}

// StoppedLog is a log that no replica uses: events.Log is one.
type StoppedLog interface {
	Log
	Store
}

// BackupStopped is Backup of a log that nobody appends to.
func BackupStopped(ctx context.Context, log StoppedLog, node, version string, to io.Writer) error {
	stat, err := log.Stat(ctx)
	if err != nil {
		return err
	}
	if stat.Last == 0 {
		return errors.New("there is nothing in the log")
	}
	if err := log.OpenTiles(ctx); err != nil {
		return err
	}
	s := newState()
	if stat.First > 1 {
		if s, err = oldestSnapshot(ctx, log, stat.First-1, stat.Last); err != nil {
			return err
		}
	}
	err = log.Read(ctx, s.seq, stat.Last, func(batch []events.Message) error {
		if err := s.foldBatch(batch); err != nil {
			return err
		}
		return s.dropStored(ctx, log)
	})
	if err != nil {
		return err
	}
	c := s.cut(node, version)
	c.tiles, c.store, c.read = log, log, log.Read
	c.rest = func(context.Context, time.Duration) error { return nil }
	return c.write(ctx, to)
}

// foldBatch applies messages to a state that nobody is served from.
func (s *state) foldBatch(batch []events.Message) error {
	var e events.Event
	for i := range batch {
		if err := events.Decode(batch[i].Data, &e); err != nil {
			return fmt.Errorf("message %d: %w", batch[i].Seq, err)
		}
		s.applyMessage(&batch[i], &e)
	}
	return nil
}

// dropStored forgets the full tiles that are stored.
func (s *state) dropStored(ctx context.Context, tiles Tiles) error {
	for len(s.leaves.waiting) > 0 {
		t := s.leaves.waiting[0]
		_, err := tiles.Tile(ctx, t.name)
		if errors.Is(err, events.ErrNoTile) {
			return nil
		}
		if err != nil {
			return err
		}
		s.leaves.drop(t.order)
	}
	return nil
}

// oldestSnapshot returns the state of the oldest good snapshot between two sequences.
func oldestSnapshot(ctx context.Context, store Store, from, to uint64) (*state, error) {
	list, err := goodSnapshots(ctx, store, from, to)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, errNoSnapshot
	}
	s, _, err := decode(list[0])
	return s, err
}

// errNoSnapshot: the log was trimmed, and what came before it is nowhere.
var errNoSnapshot = errors.New("the log was trimmed, and there is no good snapshot of what came before")

// goodSnapshots returns the oldest good snapshot between two sequences, with which all can be made again, and the newest, with which it
// is done soon.
func goodSnapshots(ctx context.Context, store Store, from, to uint64) (good [][]byte, err error) {
	if store == nil {
		return nil, nil
	}
	list, err := store.Snapshots(ctx)
	if err != nil {
		return nil, err
	}
	find := func(at, step, end int) (int, []byte, error) {
		for ; at != end; at += step {
			kept := list[at]
			if kept.Seq < from || kept.Seq > to || kept.Size == 0 || kept.Format != snapshotFormat {
				continue
			}
			data, err := store.GetSnapshot(ctx, kept)
			if err == nil && isSnapshot(data, kept.Hash) {
				return at, data, nil
			}
			if err != nil && !errors.Is(err, events.ErrSnapshot) {
				return at, nil, err
			}
		}
		return end, nil, nil
	}
	oldest, first, err := find(len(list)-1, -1, -1)
	if err != nil || first == nil {
		return nil, err
	}
	newest, last, err := find(0, 1, oldest)
	if err == nil && newest != oldest && list[newest].Seq != list[oldest].Seq {
		return [][]byte{first, last}, nil
	}
	return [][]byte{first}, err
}

// isSnapshot reports whether data is whole and has a hash.
func isSnapshot(data, hash []byte) bool {
	own := hashOf(data)
	return own != snapshotHash{} && bytes.Equal(own[:], hash)
}

// write writes the backup.
func (c *cut) write(ctx context.Context, to io.Writer) error {
	snapshots, err := goodSnapshots(ctx, c.store, c.First-1, c.Last)
	if err != nil {
		return err
	}
	if c.First > 1 && len(snapshots) == 0 {
		return errNoSnapshot
	}
	w, err := backup.NewWriter(to, c.Header)
	if err != nil {
		return err
	}
	for _, data := range snapshots {
		if err := w.Add(backup.Record{Kind: backup.Snapshot, Data: data}); err != nil {
			return err
		}
	}
	began := time.Now()
	if c.First <= c.Last {
		err = c.read(ctx, c.First-1, c.Last, func(batch []events.Message) error {
			for i := range batch {
				if err := w.Add(backup.Record{Kind: backup.Message, Name: batch[i].Subject, Data: batch[i].Data}); err != nil {
					return err
				}
			}
			err := c.rest(ctx, time.Since(began))
			began = time.Now()
			return err
		})
		if err != nil {
			return err
		}
	}
	err = eachTile(c.Leaves, func(level int, n uint64) error {
		began := time.Now()
		name := tileName(c.log, level, n)
		data, ok := c.waiting[name]
		if !ok {
			if data, err = c.tiles.Tile(ctx, name); err != nil {
				return err
			}
		}
		if err := w.Add(backup.Record{Kind: backup.Tile, Name: name, Data: data}); err != nil {
			return err
		}
		return c.rest(ctx, time.Since(began))
	})
	if err != nil {
		return err
	}
	return w.Close()
}

// eachTile calls do with each full tile of a tree of so many leaves.
func eachTile(leaves uint64, do func(level int, n uint64) error) error {
	for level := 0; ; level++ {
		full := leaves >> (merkle.Height * (level + 1))
		if full == 0 {
			return nil
		}
		for n := range full {
			if err := do(level, n); err != nil {
				return err
			}
		}
	}
}
