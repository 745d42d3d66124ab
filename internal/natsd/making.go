package natsd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/knell-auth/knell/internal/durable"
)

// Making is a data directory in which a store is being made by something else than a replica. No replica starts on it before Release. After
// kill -9 at any time, Make begins it anew, or finds it sealed.
type Making struct {
	Dir    string
	Server string // whose store it will be
	ID     string // of what it is made of; the same for all directories of one cluster
}

// ErrNotEmpty says that there is something in a directory in which a store is to be made.
var ErrNotEmpty = errors.New("directory is not empty")

// Make claims the directory for m. It makes it if it is not there, and throws away what an attempt to make a store there has left.
// Anything else in it is ErrNotEmpty.
func (m Making) Make() error {
	lock, err := lockDir(m.Dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	have, err := readMarker(m.Dir)
	begun := err == nil && have.Mode == modeUnfinished
	if !begun {
		if err := checkEmpty(m.Dir); err != nil {
			return err
		}
	}
	// Before anything is thrown away: what is left of it must not be taken for a store that was sealed.
	if err := m.mark(marker{Mode: modeUnfinished, Server: m.Server}); err != nil || !begun {
		return err
	}
	if err := os.RemoveAll(storeDir(m.Dir)); err != nil {
		return fmt.Errorf("natsd: %w", err)
	}
	return nil
}

// checkEmpty returns an ErrNotEmpty unless there is nothing in the directory but its lock. A marker that was not written to its end, by
// who was killed, is removed.
func checkEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("natsd: %w", err)
	}
	for _, e := range entries {
		switch name := e.Name(); {
		case name == lockFile || name == "lost+found":
		case strings.HasPrefix(name, markerFile+".tmp-"):
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				return fmt.Errorf("natsd: %w", err)
			}
		default:
			return fmt.Errorf("natsd: %w: %s has %s", ErrNotEmpty, dir, name)
		}
	}
	return nil
}

// Seal notes that the store is whole, when all of it is on disk. The server that made it has ended.
func (m Making) Seal() error {
	err := filepath.WalkDir(storeDir(m.Dir), func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() && !e.Type().IsRegular() {
			return err
		}
		return durable.SyncDir(path)
	})
	if err == nil {
		err = durable.SyncDir(m.Dir)
	}
	if err != nil {
		return fmt.Errorf("natsd: writing the store to the disk: %w", err)
	}
	return m.mark(marker{Mode: modeUnfinished, Server: m.Server, Sealed: true})
}

// Release lets a replica start on the directory, which was sealed: a member of the cluster with this name, or one alone if that is "".
func (m Making) Release(cluster string) error {
	if cluster == "" {
		return m.mark(marker{Mode: modeStandalone, Server: m.Server})
	}
	return m.mark(marker{Mode: modeCluster, Server: m.Server, Cluster: cluster})
}

// Sealed reports whether m was sealed, and Released whether it was released, by this attempt or an earlier one with its ID.
func (m Making) Sealed() (sealed, released bool) {
	have, err := readMarker(m.Dir)
	if err != nil || have.Made != m.ID || have.Server != m.Server {
		return false, false
	}
	return have.Mode != modeUnfinished || have.Sealed, have.Mode != modeUnfinished
}

// mark writes the marker of the directory.
func (m Making) mark(k marker) error {
	k.Made = m.ID
	return writeMarker(m.Dir, k)
}

// writeMarker replaces the marker of a directory.
func writeMarker(dir string, m marker) error {
	m.Format, m.Created = markerFormat, time.Now().UTC().Truncate(time.Second)
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("natsd: marker: %w", err)
	}
	if err := durable.WriteFile(filepath.Join(dir, markerFile), append(data, '\n')); err != nil {
		return fmt.Errorf("natsd: writing the marker: %w", err)
	}
	// The directory may be new, and who made it been killed.
	if err := durable.SyncDir(filepath.Dir(filepath.Clean(dir))); err != nil {
		return fmt.Errorf("natsd: writing the marker: %w", err)
	}
	return nil
}

// readMarker returns the marker of a directory.
func readMarker(dir string) (marker, error) {
	data, err := os.ReadFile(filepath.Join(dir, markerFile))
	if err != nil {
		return marker{}, fmt.Errorf("natsd: %w", err)
	}
	m, err := parseMarker(data)
	if err != nil {
		return marker{}, fmt.Errorf("natsd: %s: %w", filepath.Join(dir, markerFile), err)
	}
	return m, nil
}

// Retire is Stop of a standalone server whose log goes on elsewhere: no server starts on its directory any more, and whoever tries is told
// where the log went. id is that of the directories that it was moved to.
func (s *Server) Retire(dir, to, id string) error {
	err := errors.New("natsd: the server has been stopped already")
	s.stopOnce.Do(func() {
		s.end(func() {}, func() { // under the lock of the directory
			err = writeMarker(dir, marker{Mode: modeMoved, Server: s.name, Made: id, MovedTo: to})
		})
	})
	return err
}

// MovedTo says where the log of a directory was moved to, with the id of the directories there; ok is false if it was not.
func MovedTo(dir string) (to, id string, ok bool) {
	m, err := readMarker(dir)
	if err != nil || m.Mode != modeMoved {
		return "", "", false
	}
	return m.MovedTo, m.Made, true
}
