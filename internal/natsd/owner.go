package natsd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Owner says whose store a data directory holds.
type Owner struct {
	Server     string // its name
	Cluster    string // whose it is; "" when it is alone or on NATS servers elsewhere
	Standalone bool   // it is alone: whoever has the directory has the whole log
	Closed     bool   // no server may start there
	Start      string // how a server is started on it, such as "start with --nats-url"
}

// ReadOwner returns the owner of dir. The error wraps fs.ErrNotExist when no server has run there.
func ReadOwner(dir string) (Owner, error) {
	path := filepath.Join(dir, markerFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return Owner{}, fmt.Errorf("natsd: %w", err)
	}
	m, err := parseMarker(data)
	if err != nil {
		return Owner{}, fmt.Errorf("natsd: %s: %w", path, err)
	}
	return Owner{Server: m.Server, Cluster: m.Cluster, Standalone: m.Mode == modeStandalone, Closed: m.closed(), Start: m.howToStart()}, nil
}

// ErrInUse is what Start's error wraps when another process holds the data directory.
var ErrInUse = errors.New("in use by another server")

// InUse reports whether a server holds dir at the moment. It makes nothing, and does not keep a server from
// starting (see lockDir).
func InUse(dir string) bool {
	f, err := os.Open(filepath.Join(dir, lockFile))
	if err != nil {
		return false
	}
	defer f.Close() // which unlocks
	return errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}
