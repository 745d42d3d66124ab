package fault

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// store makes a data directory as a replica leaves it, each file filled with the byte 'x'.
func store(t *testing.T) string {
	dir := t.TempDir()
	for name, size := range map[string]int{
		"keys.json":                              500,
		"lock":                                   0,
		"jetstream/KNELL/streams/KNELL/meta.inf": 200,
		"jetstream/KNELL/streams/KNELL/msgs/1.blk":    4000,
		"jetstream/KNELL/streams/KNELL/msgs/2.blk":    100,
		"jetstream/KNELL/streams/KNELL/msgs/index.db": 300,
		"jetstream/SYS/_js_/S-R3F-abc/msgs/1.blk":     900,
		"jetstream/SYS/_js_/S-R3F-abc/tav.idx":        16,
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, bytes.Repeat([]byte("x"), size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestDamagesSpoilOneFileEach(t *testing.T) {
	want := map[string]string{
		"bytes of the stream flipped": "jetstream/KNELL/streams/KNELL/msgs/1.blk",
		"raft vote emptied":           "jetstream/SYS/_js_/S-R3F-abc/tav.idx",
		"own files cut in half":       "keys.json",
	}
	for _, d := range Damages() {
		t.Run(d.Name, func(t *testing.T) {
			dir := store(t)
			name, err := d.Do(dir, rand.New(rand.NewPCG(1, 2)))
			if err != nil || name == "" {
				t.Fatalf("spoiled %q: %v", name, err)
			}
			if w := want[d.Name]; w != "" && w != name {
				t.Errorf("spoiled %s, want %s", name, w)
			}
			fresh, err := os.ReadFile(filepath.Join(store(t), name))
			if err != nil {
				t.Fatal(err)
			}
			if now, err := os.ReadFile(filepath.Join(dir, name)); err == nil && bytes.Equal(now, fresh) {
				t.Errorf("%s is as it was", name)
			}
		})
	}
}

func TestDamageWithoutAFile(t *testing.T) {
	if name, err := Damages()[0].Do(t.TempDir(), nil); name != "" || err != nil {
		t.Errorf("spoiled %q in an empty directory: %v", name, err)
	}
}
