package natsd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// markerFile names the file that says whose store a data directory holds.
const markerFile = "mode.json"

// markerFormat is the only format of the marker so far.
const markerFormat = 1

const (
	modeStandalone = "standalone"
	modeCluster    = "cluster"
	modeJoined     = "joined"     // keys and checkpoint only; the log is the cluster's
	modeExternal   = "external"   // keys and checkpoint only; the log is on servers that somebody else runs
	modeUnfinished = "unfinished" // a store is being made here, see Making
	modeMoved      = "moved"      // of a standalone store whose log goes on elsewhere
)

// marker is written before JetStream first runs and, but for Making and Retire, never again. A clustered server deletes streams
// that its cluster does not know, 30 seconds after the start, so a store must not be opened in another mode, cluster or role than it
// was made in.
type marker struct {
	Format  int       `json:"format"`
	Mode    string    `json:"mode"`
	Cluster string    `json:"cluster,omitempty"`
	Server  string    `json:"server"`
	Created time.Time `json:"created"`
	Made    string    `json:"made,omitempty"`     // ID of a Making
	Sealed  bool      `json:"sealed,omitempty"`   // of one that is unfinished: it is whole
	MovedTo string    `json:"moved_to,omitempty"` // where a log went, for people
}

// ErrMode is what Start's error wraps when the data directory belongs to a server of another mode, cluster or name.
var ErrMode = errors.New("data directory belongs to another server")

// checkMarker returns nil when cfg may use its directory. An empty one is claimed.
func checkMarker(cfg Config) error {
	want := marker{Mode: modeStandalone, Server: cfg.Name}
	switch {
	case cfg.Making != "":
		want.Mode, want.Made = modeUnfinished, cfg.Making
	case cfg.Cluster != nil:
		want.Mode, want.Cluster = modeCluster, cfg.Cluster.Name
	case cfg.Join != nil:
		want.Mode, want.Cluster = modeJoined, cfg.Join.Name
	}
	return checkDir(cfg.Dir, want)
}

// checkDir returns nil when the directory is what want says. An empty one is claimed.
func checkDir(dir string, want marker) error {
	path := filepath.Join(dir, markerFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return claim(dir, want)
	}
	if err != nil {
		return fmt.Errorf("natsd: %w", err)
	}
	have, err := parseMarker(data)
	if err != nil {
		return fmt.Errorf("natsd: %s: %w; it says whose store this is, so restore it from a backup, "+
			"or start with another --data directory", path, err)
	}
	if err := have.differs(want); err != nil {
		return fmt.Errorf("natsd: %w: %s: %w", ErrMode, dir, err)
	}
	return nil
}

// claim writes the first marker of a directory.
func claim(dir string, m marker) error {
	entries, err := os.ReadDir(storeDir(dir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("natsd: %w", err)
	}
	if len(entries) > 0 {
		return fmt.Errorf("natsd: %s holds a store but no %s, which says whose it is: restore it from a backup, "+
			"or start with another --data directory", dir, markerFile)
	}
	return writeMarker(dir, m)
}

func parseMarker(data []byte) (marker, error) {
	var m marker
	d := json.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&m); err != nil {
		return marker{}, fmt.Errorf("not a marker: %w", err)
	}
	switch {
	case m.Format > markerFormat:
		return marker{}, fmt.Errorf("format %d is newer than this program", m.Format)
	case m.Format != markerFormat || d.More():
		return marker{}, errors.New("not a marker")
	case !slices.Contains([]string{modeStandalone, modeCluster, modeJoined, modeExternal, modeUnfinished, modeMoved}, m.Mode),
		!namePattern.MatchString(m.Server), m.inCluster() != namePattern.MatchString(m.Cluster):
		return marker{}, errors.New("not a marker: mode, cluster or server is missing or wrong")
	}
	return m, nil
}

// inCluster reports whether the marker names a cluster.
func (m marker) inCluster() bool { return m.Mode == modeCluster || m.Mode == modeJoined }

// closed reports whether no server may start on the directory.
func (m marker) closed() bool { return m.Mode == modeUnfinished || m.Mode == modeMoved }

// howToStart says with which flags a directory of this marker is opened.
func (m marker) howToStart() string {
	switch m.Mode {
	case modeCluster:
		return "start with --cluster-listen, --routes and --cluster-name " + m.Cluster
	case modeJoined:
		return "start with --join and --cluster-name " + m.Cluster
	case modeExternal:
		return "start with --nats-url"
	case modeUnfinished:
		return "a store is being made here, or that was broken off: give the command again (knell restore, knell cluster adopt)"
	case modeMoved:
		return "its log was moved to " + m.MovedTo + ", and goes on there"
	}
	return "start without --cluster-listen, --join and --nats-url"
}

// differs returns nil when both mean the same store, else an error that says how to start instead.
func (m marker) differs(want marker) error {
	switch {
	case m.Mode == modeUnfinished && want.Mode == modeUnfinished && m.Made == want.Made:
		return nil
	case m.closed() || want.Mode == modeUnfinished:
		return errors.New(m.howToStart())
	case m.Mode == modeStandalone && want.Mode == modeCluster:
		return errors.New("it holds the store of a standalone server, which a cluster would delete: " +
			"start without --cluster-listen, or start the cluster with an empty --data directory; knell cluster adopt makes a cluster of it")
	case m.Mode == modeCluster && want.Mode == modeStandalone:
		return fmt.Errorf("it holds the store of a server of cluster %q: %s, or start standalone with an empty --data directory",
			m.Cluster, m.howToStart())
	case m.Mode != want.Mode:
		return fmt.Errorf("it belongs to a replica of another kind (%s): %s, or with another --data directory", m.Mode, m.howToStart())
	case m.Cluster != want.Cluster:
		return fmt.Errorf("it belongs to cluster %q, not %q: start with --cluster-name %s, or with another --data directory",
			m.Cluster, want.Cluster, m.Cluster)
	case m.Server != want.Server:
		return fmt.Errorf("it belongs to server %q, not %q: start with --name %s, or with another --data directory",
			m.Server, want.Server, m.Server)
	}
	return nil
}
