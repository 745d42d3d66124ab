package node

import (
	"cmp"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/durable"
	"github.com/knell-auth/knell/internal/token"
)

// identity is what a replica keeps in its directory from one life to the next. The private keys never leave it. They are made,
// published and revoked together: who has read one of them has read both.
type identity struct {
	Format      int    `json:"format"`
	Alg         string `json:"signing_alg,omitempty"` // of access tokens; "": EdDSA
	Signing     []byte `json:"signing_seed"`          // private key of access tokens: an Ed25519 seed, or PKCS #8
	Refresh     []byte `json:"refresh_seed"`          // Ed25519 seed of refresh tokens
	Incarnation string `json:"incarnation"`           // of the newest life
	Lock        uint64 `json:"lock_inode"`            // of that life's lock file
	Checkpoint  mark   `json:"checkpoint"`
	Events      []byte `json:"event_key"` // of the ids of events, see sealer

	former []byte // Refresh of the life before, if this one has another
}

// mark is a point of the log that an earlier life has applied. The log that this life follows must lead through it.
type mark struct {
	Seq    uint64 `json:"seq"`
	Digest string `json:"digest"`
	Epoch  string `json:"epoch"`
	Log    string `json:"log"`   // its first epoch
	Level  uint32 `json:"level"` // schema level of the log there; 0: 1
}

const identityFile = "node.json"

// kept is the identity as its file has it. mu guards it and the file.
type kept struct {
	mu sync.Mutex
	identity
}

// signer is what a replica signs with.
type signer struct {
	access  *token.Signer
	refresh *token.RefreshSigner
}

// algorithm returns the algorithm of id's keys, EdDSA where it has none yet.
func (id *identity) algorithm() string { return cmp.Or(id.Alg, token.EdDSA) }

// newKeys gives id new keys, those of access tokens of the algorithm alg.
func (id *identity) newKeys(alg string) error {
	private, err := token.NewPrivate(alg)
	if err != nil {
		return fmt.Errorf("node: signing key: %w", err)
	}
	id.Alg, id.Signing, id.Refresh = alg, private, make([]byte, ed25519.SeedSize)
	rand.Read(id.Refresh)
	return nil
}

// signer returns what id signs with; an error means that its keys are none.
func (id *identity) signer() (*signer, error) {
	access, err := token.NewSigner(id.algorithm(), id.Signing)
	if err == nil && len(id.Refresh) != ed25519.SeedSize {
		err = token.ErrKey
	}
	if err != nil {
		return nil, err
	}
	return &signer{access, token.NewRefreshSigner(id.Refresh)}, nil
}

// lockDir takes the directory's lock, so that no two processes are one replica. The lock ends with the process.
func lockDir(dir string) (*os.File, error) {
	if err := durable.MakeDir(dir); err != nil {
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

// loadIdentity reads the directory's identity, or makes a new one where there is none; where its keys are of another algorithm
// than alg, they are made anew; "" is any. A damaged file is refused: making new keys would hide the damage.
func loadIdentity(dir, alg string) (identity, error) {
	path := filepath.Join(dir, identityFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		id := identity{Format: 1, Events: newKey()}
		return id, id.newKeys(cmp.Or(alg, token.EdDSA))
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
	if _, err := id.signer(); err != nil {
		return identity{}, fmt.Errorf("node: %s is damaged; move it away to join with new keys", path)
	}
	if len(id.Events) == 0 {
		id.Events = newKey()
	}
	if alg != "" && alg != id.algorithm() {
		id.former = id.Refresh
		return id, id.newKeys(alg)
	}
	return id, nil
}

// CheckDir returns an error that says so when this build is too old for a replica's directory, nil for any that it can use, an empty
// one included. It is asked before anything else looks at the directory: whoever goes back to an older version hears of it before the
// other replicas do.
func CheckDir(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, identityFile)); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	id, err := loadIdentity(dir, "")
	if err != nil {
		return err
	}
	return id.tooNew(events.Level)
}

// tooNew returns an error when the log had a schema level at id's checkpoint that a build of the given one does not know.
func (id identity) tooNew(level uint32) error {
	if at := id.Checkpoint; at.Level > level {
		return fmt.Errorf("node: this data directory: %w", tooOld(at.Seq, at.Level, level))
	}
	return nil
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
		err = durable.Rename(tmp, filepath.Join(dir, identityFile))
	}
	if err != nil {
		return fmt.Errorf("node: %w", err)
	}
	return nil
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
