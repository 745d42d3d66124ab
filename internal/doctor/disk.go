package doctor

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

const (
	syncs     = 24   // writes that are timed
	syncBytes = 4096 // of each

	// noSync is the median that no disk reaches: a write and its sync, with the system's own work.
	noSync = 10 * time.Microsecond
	// slowSync is the median from which on it is what users wait for; a stall is long enough to be noticed by itself.
	slowSync  = 20 * time.Millisecond
	syncStall = time.Second
)

// Disk writes to a directory, syncs and measures: every acknowledgement waits for such a sync. kept: the log is kept here.
func (r *Report) Disk(dir string, kept bool) {
	const check = "disk"
	took, err := timeSyncs(dir)
	if err != nil {
		do := "let the replica's user write there"
		if errors.Is(err, unix.EROFS) {
			do = "mount it for writing"
		} else if errors.Is(err, unix.ENOSPC) {
			do = "free space"
		}
		r.Bad(check, do, "%v", err)
		return
	}
	slices.Sort(took)
	median, longest := took[len(took)/2], took[len(took)-1]
	text := fmt.Sprintf("a synced write takes %v at the median, %v at most", short(median), short(longest))
	switch {
	case longest > syncStall:
		r.Bad(check, "use a disk of its own; other work on this one holds the log up", "%s", text)
	case median > slowSync:
		r.Warn(check, "use a faster disk, or one of its own: every login and logout waits for it", "%s", text)
	case median < noSync:
		r.Warn(check, "use a file system that syncs: what was acknowledged is gone after a power failure", "%s: it does not reach a disk", text)
	default:
		r.OK(check, "%s", text)
	}
	r.fileSystem(dir, kept)
}

// timeSyncs returns how long each of some synced writes in dir took.
func timeSyncs(dir string) (took []time.Duration, err error) {
	f, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	page := bytes.Repeat([]byte("knell"), syncBytes)[:syncBytes]
	for range syncs {
		began := time.Now()
		if _, err = f.Write(page); err == nil {
			err = f.Sync()
		}
		if err != nil {
			return nil, err
		}
		took = append(took, time.Since(began))
	}
	return took, nil
}

// short rounds d to what matters.
func short(d time.Duration) time.Duration {
	for _, unit := range []time.Duration{time.Second, time.Millisecond, time.Microsecond} {
		if d >= unit {
			return d.Round(unit / 100)
		}
	}
	return d
}

// Kinds of file systems that are no place for a log, and why.
const (
	memory  = "memory"
	network = "network"
	layer   = "layer"
)

// fileSystem says what dir lies on.
func (r *Report) fileSystem(dir string, kept bool) {
	const check = "file system"
	name, kind, err := fileSystemOf(dir)
	switch {
	case err != nil:
		r.Warn(check, "", "%v", err)
	case kind == memory && kept:
		r.Bad(check, "put it on a disk", "%s: what was acknowledged is gone when the machine stops", name)
	case kind == memory:
		r.Warn(check, "put it on a disk", "%s: the replica makes new keys after each start of the machine", name)
	case kind == network:
		r.Warn(check, "use a local disk", "%s: its server has to sync before it answers, and nobody can see from here whether it does", name)
	case kind == layer:
		r.Warn(check, "mount a volume there", "%s: the layer of a container goes with the container", name)
	default:
		r.OK(check, "%s", name)
	}
}

// leastFree is how much is to be left for everything else.
const leastFree = 64 << 20

// Space checks that dir has room for what is still to be written there: so many bytes.
func (r *Report) Space(dir string, need int64) {
	const check = "space"
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		r.Bad(check, "", "%s: %v", dir, err)
		return
	}
	free := int64(float64(st.Bavail) * float64(st.Bsize))
	switch {
	case free < leastFree:
		r.Bad(check, "free space: a replica that cannot write ends", "%s free", size(free))
	case free < need:
		r.Warn(check, "free space, or give the log a lower --log-max-bytes before it is made",
			"%s free, but the log and its snapshots may grow by %s", size(free), size(need))
	default:
		r.OK(check, "%s free; the log and its snapshots may grow by %s", size(free), size(max(need, 0)))
	}
}

// size returns a number of bytes for people.
func size(n int64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= 10<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d KiB", n>>10)
}
