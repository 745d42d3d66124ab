package natsd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// markerFile names the file that says whose store a data directory holds.
const markerFile = "mode.json"

// markerFormat is the only format of the marker so far.
const markerFormat = 1

const (
	modeStandalone = "standalone"
	modeCluster    = "cluster"
)

// marker is written before JetStream first runs and never again. A clustered server deletes streams that its cluster does
// not know, 30 seconds after the start, so a store must not be opened in another mode, cluster or role than it was made in.
type marker struct {
	Format  int       `json:"format"`
	Mode    string    `json:"mode"`
	Cluster string    `json:"cluster,omitempty"`
	Server  string    `json:"server"`
	Created time.Time `json:"created"`
}

// ErrMode is what Start's error wraps when the data directory belongs to a server of another mode, cluster or name.
var ErrMode = errors.New("data directory belongs to another server")

// checkMarker returns nil when cfg may use its directory. An empty one is claimed.
func checkMarker(cfg Config, now time.Time) error {
	want := marker{Format: markerFormat, Mode: modeStandalone, Server: cfg.Name, Created: now.UTC().Truncate(time.Second)}
	if cfg.Cluster != nil {
		want.Mode, want.Cluster = modeCluster, cfg.Cluster.Name
	}
	path := filepath.Join(cfg.Dir, markerFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return claim(cfg.Dir, want)
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
		return fmt.Errorf("natsd: %w: %s: %w", ErrMode, cfg.Dir, err)
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
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("natsd: marker: %w", err)
	}
	if err := writeSynced(dir, markerFile, append(data, '\n')); err != nil {
		return fmt.Errorf("natsd: writing the marker: %w", err)
	}
	// The directory itself may be new.
	if err := syncDir(filepath.Dir(filepath.Clean(dir))); err != nil {
		return fmt.Errorf("natsd: writing the marker: %w", err)
	}
	return nil
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
	case m.Mode != modeStandalone && m.Mode != modeCluster, !namePattern.MatchString(m.Server),
		(m.Mode == modeCluster) != namePattern.MatchString(m.Cluster):
		return marker{}, errors.New("not a marker: mode, cluster or server is missing or wrong")
	}
	return m, nil
}

// differs returns nil when both mean the same store, else an error that says how to start instead.
func (m marker) differs(want marker) error {
	switch {
	case m.Mode == modeStandalone && want.Mode == modeCluster:
		return errors.New("it holds the store of a standalone server, which a cluster would delete: " +
			"start without --cluster-listen, or start the cluster with an empty --data directory")
	case m.Mode == modeCluster && want.Mode == modeStandalone:
		return fmt.Errorf("it holds the store of a server of cluster %q: start with --cluster-listen, --routes and "+
			"--cluster-name %s, or start standalone with an empty --data directory", m.Cluster, m.Cluster)
	case m.Cluster != want.Cluster:
		return fmt.Errorf("it belongs to cluster %q, not %q: start with --cluster-name %s, or with another --data directory",
			m.Cluster, want.Cluster, m.Cluster)
	case m.Server != want.Server:
		return fmt.Errorf("it belongs to server %q, not %q: start with --name %s, or with another --data directory",
			m.Server, want.Server, m.Server)
	}
	return nil
}
