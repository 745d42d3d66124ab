package restore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/durable"
	"github.com/knell-auth/knell/internal/natsd"
	"github.com/knell-auth/knell/node"
)

// ErrMoved says that the log of a directory was moved elsewhere before.
var ErrMoved = errors.New("its log was moved already")

// Adopt makes a cluster of a standalone store which nobody uses, with its log as it is: epoch, sessions and tokens go on. The store is
// marked as moved, and no replica starts on it any more, before one can start on the new directories. After kill -9 at any time, the same
// call goes on where that is possible, or begins anew. ErrMoved when there is nothing left to do.
func Adopt(ctx context.Context, source, version string, t Target, step Step) error {
	if to, id, ok := natsd.MovedTo(source); ok {
		dirs := t.directories(id)
		if sealed, released := stateOf(dirs); sealed && !released {
			_, cluster, _ := strings.Cut(id, "/")
			return release(dirs, cluster)
		}
		return fmt.Errorf("%s: %w to %s", source, ErrMoved, to)
	}
	owner, err := natsd.ReadOwner(source)
	switch {
	case err != nil:
		return err
	case owner.Closed:
		return fmt.Errorf("%s: %s", source, owner.Start)
	case owner.Cluster != "":
		return fmt.Errorf("%s is the directory of a replica of cluster %s already; nothing is to be adopted there: %s", source, owner.Cluster, owner.Start)
	case !owner.Standalone:
		return fmt.Errorf("%s is the directory of a replica whose log is on NATS servers; nothing is to be adopted there: %s", source, owner.Start)
	case !natsd.HasLog(source):
		return fmt.Errorf("%s has no log yet, so that nothing is to be adopted: start the cluster with new directories", source)
	}
	s, err := natsd.Start(ctx, natsd.Config{Dir: source, Name: owner.Server, Logger: t.Logger,
		MaxStore: t.LogMaxBytes + t.LogMaxBytes/8 + events.SnapshotBytes(t.LogMaxBytes)})
	if err != nil {
		return err
	}
	dirs := t.directories(events.NewID().String() + "/" + t.Cluster)
	if err := t.copyFrom(ctx, s, version, dirs, step); err != nil {
		return errors.Join(err, servers{s}.stop())
	}
	// From here on nobody starts on the source, and from the next line on somebody may on the copies.
	if err := s.Retire(source, t.where(), dirs[0].ID); err != nil {
		return err
	}
	return release(dirs, t.Cluster)
}

// copyFrom makes the directories of the log of a server and seals them. The server keeps others from the log meanwhile.
func (t *Target) copyFrom(ctx context.Context, s *natsd.Server, version string, dirs []natsd.Making, step Step) error {
	if err := durable.MakeDir(t.Dir); err != nil {
		return err
	}
	f, err := os.CreateTemp(t.Dir, ".adopting-*")
	if err != nil {
		return err
	}
	defer f.Close()
	if err := os.Remove(f.Name()); err != nil { // it has all secrets of the log, and nobody else needs its name
		return err
	}
	step(0, "reading the store")
	if err := export(ctx, s, version, f); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return t.fill(ctx, dirs, f, info.Size(), nil, step)
}

// export writes the log of a server as a backup.
func export(ctx context.Context, s *natsd.Server, version string, f *os.File) error {
	nc, err := s.Connect(ctx)
	if err != nil {
		return err
	}
	defer nc.Close()
	log, err := events.Open(ctx, nc, events.Config{Node: s.Name()})
	if err != nil {
		return err
	}
	defer log.Close()
	return node.BackupStopped(ctx, log, s.Name(), version, f)
}
