package natsd

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMaking: no server starts on a directory before it is released, whatever was done to it before.
func TestMaking(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "r1")
	m := Making{dir, "r1", "of-1"}
	start := func(cfg Config) error {
		cfg.Dir, cfg.Name = dir, "r1"
		s, err := Start(testContext(t), cfg)
		if err == nil {
			s.Kill()
		}
		return err
	}
	refused := func(when string) {
		t.Helper()
		if err := start(Config{}); !errors.Is(err, ErrMode) || !strings.Contains(err.Error(), "knell restore") {
			t.Errorf("%s: %v", when, err)
		}
	}
	is := func(sealed, released bool) {
		t.Helper()
		if s, r := m.Sealed(); s != sealed || r != released {
			t.Errorf("sealed %t, released %t; want %t, %t", s, r, sealed, released)
		}
	}
	if err := m.Make(); err != nil {
		t.Fatal(err)
	}
	refused("nothing is there yet")
	if err := start(Config{Making: "of-2"}); !errors.Is(err, ErrMode) {
		t.Errorf("made of something else: %v", err)
	}
	if err := start(Config{Making: m.ID}); err != nil {
		t.Fatal(err)
	}
	refused("half of it is there")
	is(false, false)
	if err := m.Make(); err != nil { // again
		t.Fatal(err)
	}
	if _, err := os.Stat(storeDir(dir)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what was there is still there: %v", err)
	}
	if err := start(Config{Making: m.ID}); err != nil {
		t.Fatal(err)
	}
	if err := m.Seal(); err != nil {
		t.Fatal(err)
	}
	refused("sealed")
	is(true, false)
	if s, _ := (Making{dir, "r1", "of-2"}).Sealed(); s {
		t.Error("sealed for something else")
	}
	if err := m.Release(""); err != nil {
		t.Fatal(err)
	}
	is(true, true)
	if err := m.Make(); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("made over one that is in use: %v", err)
	}
	if err := start(Config{Making: m.ID}); !errors.Is(err, ErrMode) {
		t.Errorf("made on in one that is in use: %v", err)
	}
	if err := start(Config{}); err != nil {
		t.Error(err)
	}
}

// TestMakingForeign: nothing that somebody else has put into a directory is thrown away.
func TestMakingForeign(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "notes"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (Making{dir, "r1", "x"}).Make(); !errors.Is(err, ErrNotEmpty) || !strings.Contains(err.Error(), "notes") {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, markerFile)); err == nil {
		t.Error("it was claimed")
	}
}

// TestMakingHalfClaimed: whoever was killed while it claimed a directory does not keep it from being claimed again.
func TestMakingHalfClaimed(t *testing.T) {
	dir := t.TempDir()
	half := filepath.Join(dir, markerFile+".tmp-1")
	if err := os.WriteFile(half, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (Making{dir, "r1", "x"}).Make(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(half); err == nil {
		t.Error("the rest of it is still there")
	}
}

// TestRetire: a store whose log has moved says where it went.
func TestRetire(t *testing.T) {
	dir := t.TempDir()
	s := startTest(t, Config{Dir: dir, Name: "n1"})
	if err := s.Retire(dir, "cluster c in /somewhere", "id"); err != nil {
		t.Fatal(err)
	}
	if to, id, ok := MovedTo(dir); to != "cluster c in /somewhere" || id != "id" || !ok {
		t.Errorf("moved to %q, %q, %t", to, id, ok)
	}
	if _, err := Start(testContext(t), Config{Dir: dir, Name: "n1"}); !errors.Is(err, ErrMode) || !strings.Contains(err.Error(), "moved to cluster c in /somewhere") {
		t.Error(err)
	}
	if o, err := ReadOwner(dir); err != nil || !o.Closed || o.Standalone {
		t.Errorf("%+v, %v", o, err)
	}
	if err := s.Retire(dir, "elsewhere", "other"); err == nil {
		t.Error("retired twice")
	}
}
