// Package restore makes data directories with a log: of a backup, or of a standalone store that becomes a cluster's. Nothing serves from
// them while it does. It owns in which order that is written to the disk, so that it may be killed at any time and begun again.
package restore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/backup"
	"github.com/knell-auth/knell/internal/natsd"
	"github.com/knell-auth/knell/node"
)

// Target says what is made.
type Target struct {
	Dir         string   // data directory; of a cluster the directory in which those of its members are made, under their names
	Name        string   // of a replica that is alone; "" for a cluster
	Members     []string // names of the replicas of a cluster; nil: none
	Cluster     string   // its name
	Copies      int      // of its log; as many members at least
	LogMaxBytes int64    // limit of the log
	Logger      *slog.Logger
}

// Step is told what is done, and how much of it: from 0 to 1.
type Step func(share float64, what string)

// names returns the names of the replicas.
func (t *Target) names() []string {
	if t.Name != "" {
		return []string{t.Name}
	}
	return t.Members
}

// directories returns the data directories of what is made of something with an id.
func (t *Target) directories(id string) []natsd.Making {
	if t.Name != "" {
		return []natsd.Making{{Dir: t.Dir, Server: t.Name, ID: id}}
	}
	var list []natsd.Making
	for _, name := range t.Members {
		list = append(list, natsd.Making{Dir: filepath.Join(t.Dir, name), Server: name, ID: id})
	}
	return list
}

// Restore makes a log of the backup in a file, with an event at its end that begins a new epoch. trusted: see events.Restored. Nothing is
// written before the whole backup was found good. A directory that is not empty is natsd.ErrNotEmpty. It returns what was in the backup.
func Restore(ctx context.Context, file string, t Target, trusted bool, step Step) (node.BackupInfo, error) {
	f, size, err := open(file)
	if err != nil {
		return node.BackupInfo{}, err
	}
	defer f.Close()
	step(0, "checking the backup")
	info, err := Check(ctx, f, size)
	if err != nil {
		return info, err
	}
	id := fmt.Sprintf("%s/%d/%t/%d/%s", info.Digest, info.Created.Unix(), trusted, t.Copies, t.Cluster)
	dirs := t.directories(id)
	if sealed, released := stateOf(dirs); sealed && !released {
		return info, release(dirs, t.Cluster)
	}
	if err := t.fill(ctx, dirs, f, size, info.Restored(t.names()[0], trusted), step); err != nil {
		return info, err
	}
	return info, release(dirs, t.Cluster)
}

// open returns a file and its size.
func open(name string) (*os.File, int64, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file", name)
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// Check returns what is in a backup. An error says that it is none, or what is wrong with it.
func Check(ctx context.Context, r io.ReaderAt, size int64) (node.BackupInfo, error) {
	if err := backup.Check(r, size); err != nil {
		return node.BackupInfo{}, err
	}
	return node.CheckBackup(ctx, io.NewSectionReader(r, 0, size))
}

// stateOf reports whether all directories are sealed, and whether all are released.
func stateOf(dirs []natsd.Making) (sealed, released bool) {
	sealed, released = true, true
	for _, d := range dirs {
		s, r := d.Sealed()
		sealed, released = sealed && s, released && r
	}
	return sealed, released
}

func release(dirs []natsd.Making, cluster string) error {
	for _, d := range dirs {
		if err := d.Release(cluster); err != nil {
			return err
		}
	}
	return nil
}

// fill makes the stores and seals them. event, unless it is nil, follows the messages of the backup.
func (t *Target) fill(ctx context.Context, dirs []natsd.Making, f io.ReaderAt, size int64, event *events.Event, step Step) error {
	for _, d := range dirs {
		if err := d.Make(); err != nil {
			return err
		}
	}
	s, err := t.start(ctx, dirs)
	if err != nil {
		return err
	}
	err = t.load(ctx, s, io.NewSectionReader(f, 0, size), event, step)
	if err := errors.Join(err, s.stop()); err != nil {
		return err
	}
	step(1, "writing to the disk")
	for _, d := range dirs {
		if err := d.Seal(); err != nil {
			return err
		}
	}
	return nil
}

// servers are what writes the stores: all of a cluster in this process, over loopback.
type servers []*natsd.Server

// start starts the servers.
func (t *Target) start(ctx context.Context, dirs []natsd.Making) (all servers, err error) {
	var routes []string
	if t.Name == "" {
		if routes, err = natsd.LoopbackRoutes(len(dirs)); err != nil {
			return nil, err
		}
	}
	secret := events.NewID().String()
	for i, d := range dirs {
		cfg := natsd.Config{Dir: d.Dir, Name: d.Server, Making: d.ID, Logger: t.Logger,
			MaxStore: t.LogMaxBytes + t.LogMaxBytes/8 + events.SnapshotBytes(t.LogMaxBytes)}
		if routes != nil {
			cfg.Cluster = &natsd.Cluster{Name: t.Cluster, Listen: routes[i], Routes: routes, Secret: secret}
		}
		s, err := natsd.Start(ctx, cfg)
		if err != nil {
			return nil, errors.Join(err, all.stop())
		}
		all = append(all, s)
	}
	return all, nil
}

// stopTimeout bounds the stop of one server.
const stopTimeout = 20 * time.Second

func (all servers) stop() error {
	var errs []error
	for _, s := range all {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		errs = append(errs, s.Stop(ctx))
		cancel()
	}
	return errors.Join(errs...)
}

// load writes the backup into the log of the servers, and waits until each has all of it.
func (t *Target) load(ctx context.Context, all servers, from io.Reader, event *events.Event, step Step) error {
	r, err := backup.NewReader(from)
	if err != nil {
		return err
	}
	nc, err := all[0].Connect(ctx)
	if err != nil {
		return err
	}
	defer nc.Close()
	h := r.Header()
	log, err := events.Open(ctx, nc, events.Config{Node: t.names()[0], Replicas: max(t.Copies, 1), MaxBytes: t.LogMaxBytes, FirstSeq: h.First, Logger: t.Logger})
	if err != nil {
		return err
	}
	defer log.Close()
	if err := log.OpenTiles(ctx); err != nil {
		return err
	}
	l := loading{ctx: ctx, log: log, r: r, seq: h.First - 1, last: h.Last, step: step}
	if err := log.Fill(ctx, l.message); err != nil {
		return full(err)
	}
	if err := l.tiles(); err != nil {
		return err
	}
	last := h.Last
	if event != nil {
		if last, err = log.Append(ctx, event); err != nil {
			return full(err)
		}
		if last != h.Last+1 {
			return fmt.Errorf("the event that begins the epoch became %d, not %d", last, h.Last+1)
		}
	}
	step(1, "copying")
	for _, s := range all {
		if !s.AwaitCopy(ctx, last) {
			return fmt.Errorf("the copy of %s is not whole: %w", s.Name(), context.Cause(ctx))
		}
	}
	return context.Cause(ctx) // nil, unless it is to be broken off
}

// full says what to do about a log that has no room.
func full(err error) error {
	if errors.Is(err, events.ErrFull) {
		return fmt.Errorf("the log does not fit into --log-max-bytes: %w", err)
	}
	return err
}

// loading reads a backup for the log.
type loading struct {
	ctx       context.Context
	log       *events.Log
	r         *backup.Reader
	seq, last uint64
	held      *backup.Record // the first tile
	step      Step
}

// message returns the next message. Snapshots, which come before all messages, are stored on the way.
func (l *loading) message() (events.Message, error) {
	for {
		rec, err := l.r.Next()
		if err != nil {
			return events.Message{}, err
		}
		switch rec.Kind {
		case backup.Snapshot:
			s, err := node.SnapshotOf(rec.Data)
			if err == nil {
				err = l.log.PutSnapshot(l.ctx, s, rec.Data)
			}
			if err != nil {
				return events.Message{}, err
			}
		case backup.Message:
			l.seq++
			if l.seq%1000 == 0 {
				l.step(float64(l.seq)/float64(l.last+1), fmt.Sprintf("message %d of %d", l.seq, l.last))
			}
			return events.Message{Seq: l.seq, Subject: rec.Name, Data: rec.Data}, nil
		case backup.Tile:
			l.held = &rec
			return events.Message{}, io.EOF
		}
	}
}

// tiles stores the tiles, which come after the messages.
func (l *loading) tiles() error {
	if l.held == nil {
		return nil
	}
	for rec := *l.held; ; {
		if err := l.log.PutTile(l.ctx, rec.Name, rec.Data); err != nil {
			return err
		}
		var err error
		if rec, err = l.r.Next(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// where says to people where a cluster was made.
func (t *Target) where() string {
	return fmt.Sprintf("cluster %s (%s) in %s", t.Cluster, strings.Join(t.Members, ", "), t.Dir)
}
