package natsd

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/knell-auth/knell/internal/durable"
)

// lockFile is the file whose lock says that a server has the directory.
const lockFile = "lock"

// InUse holds the lock for an instant, which must not keep a server from starting: a lock that is taken is asked for again.
const (
	lockTries = 10
	lockPause = 10 * time.Millisecond
)

// lockDir makes the data directory and takes its lock, which lasts as long as the file is open: it ends with the process.
func lockDir(dir string) (*os.File, error) {
	if err := durable.MakeDir(dir); err != nil {
		return nil, fmt.Errorf("natsd: data directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("natsd: data directory %s is not writable: %w", dir, err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	for try := 1; errors.Is(err, unix.EWOULDBLOCK) && try < lockTries; try++ {
		time.Sleep(lockPause)
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("natsd: data directory %s is %w", dir, ErrInUse)
		}
		return nil, fmt.Errorf("natsd: locking data directory %s: %w", dir, err)
	}
	return f, nil
}

// defaultMaxStore is what JetStream may use when nothing was said and the disk is large enough, in bytes.
const defaultMaxStore = 16 << 30

// maxStore returns the number of bytes that JetStream may use. What it has already counts as available.
func maxStore(cfg Config) (int64, error) {
	if cfg.MaxStore > 0 {
		return cfg.MaxStore, nil
	}
	var st unix.Statfs_t
	if err := unix.Statfs(cfg.Dir, &st); err != nil {
		return 0, fmt.Errorf("natsd: data directory %s: %w", cfg.Dir, err)
	}
	var used int64
	err := filepath.WalkDir(storeDir(cfg.Dir), func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			used += info.Size()
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("natsd: reading the store: %w", err)
	}
	free := int64(min(st.Bavail, math.MaxInt64/uint64(st.Bsize)/2) * uint64(st.Bsize))
	return min(defaultMaxStore, (free+used)/4*3), nil
}
