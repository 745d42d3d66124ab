package node

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/knell-auth/knell/events"
)

// identity is what a replica keeps in its directory from one life to the next. The private keys never leave it.
type identity struct {
	Format      int    `json:"format"`
	Signing     []byte `json:"signing_seed"` // Ed25519 seed of access tokens
	Refresh     []byte `json:"refresh_seed"` // Ed25519 seed of refresh tokens
	Incarnation string `json:"incarnation"`  // of the newest life
	Lock        uint64 `json:"lock_inode"`   // of that life's lock file
	Checkpoint  mark   `json:"checkpoint"`
}

// mark is a point of the log that an earlier life has applied. The log that this life follows must lead through it.
type mark struct {
	Seq    uint64 `json:"seq"`
	Digest string `json:"digest"`
	Epoch  string `json:"epoch"`
}

const identityFile = "node.json"

// lockDir takes the directory's lock, so that no two processes are one replica. The lock ends with the process.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("node: data directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "node.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("node: data directory: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("node: data directory %s is in use by another process", dir)
	}
	return f, nil
}

// loadIdentity reads the directory's identity, or makes a new one where there is none. A damaged file is refused: making
// new keys would hide the damage.
func loadIdentity(dir string) (identity, error) {
	path := filepath.Join(dir, identityFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		id := identity{Format: 1, Signing: make([]byte, ed25519.SeedSize), Refresh: make([]byte, ed25519.SeedSize)}
		rand.Read(id.Signing)
		rand.Read(id.Refresh)
		return id, nil
	}
	if err != nil {
		return identity{}, fmt.Errorf("node: %w", err)
	}
	var id identity
	if err := json.Unmarshal(b, &id); err != nil {
		return identity{}, fmt.Errorf("node: %s is damaged; move it away to join with new keys", path)
	}
	if id.Format != 1 {
		return identity{}, fmt.Errorf("node: %s has format %d, this version reads 1", path, id.Format)
	}
	if len(id.Signing) != ed25519.SeedSize || len(id.Refresh) != ed25519.SeedSize {
		return identity{}, fmt.Errorf("node: %s is damaged; move it away to join with new keys", path)
	}
	return id, nil
}

// save writes id durably: a crash leaves the old file or the new one.
func (id identity) save(dir string) error {
	b, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return fmt.Errorf("node: %w", err)
	}
	tmp := filepath.Join(dir, identityFile+".tmp")
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("node: %w", err)
	}
	_, err = f.Write(append(b, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(tmp, filepath.Join(dir, identityFile))
	}
	if err != nil {
		return fmt.Errorf("node: %w", err)
	}
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("node: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// previous returns the incarnation of the life before, which is proven gone because this one holds its lock. It is zero when
// there was none, and when the lock is another file: then the directory is a copy, and the original may be running.
func (id identity) previous(lock *os.File) events.ID {
	prev, err := events.ParseID(id.Incarnation)
	if err != nil || id.Lock != inode(lock) {
		return events.ID{}
	}
	return prev
}

// inode returns the number that names f on its file system, 0 if there is none.
func inode(f *os.File) uint64 {
	info, err := f.Stat()
	if err != nil {
		return 0
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Ino
	}
	return 0
}
