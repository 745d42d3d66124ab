package fault

import (
	"cmp"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Damage is one way to spoil the data directory of a replica that does not run.
type Damage struct {
	Name string
	// match says which files are concerned, by their path inside the directory. The largest of them is spoiled.
	match func(path string) bool
	spoil func(path string, size int64, rng *rand.Rand) error
}

// Damages returns every damage that is known.
func Damages() []Damage {
	return []Damage{
		{"bytes of the stream flipped", streamBlock, flip},
		{"stream cut in half", streamBlock, truncate},
		{"stream file missing", streamBlock, remove},
		{"description of the stream flipped", named("/streams/KNELL/meta.inf"), flip},
		{"index of the stream flipped", named("/streams/KNELL/msgs/index.db"), flip},
		{"raft log flipped", raftBlock, flip},
		{"raft log cut in half", raftBlock, truncate},
		{"raft vote emptied", named("tav.idx"), empty},
		{"own files flipped", own, flip},
		{"own files emptied", own, empty},
		{"own files cut in half", own, truncate},
	}
}

func streamBlock(path string) bool {
	return strings.Contains(path, "/streams/KNELL/msgs/") && strings.HasSuffix(path, ".blk")
}

func raftBlock(path string) bool {
	return strings.Contains(path, "/_js_/") && strings.HasSuffix(path, ".blk")
}

func named(suffix string) func(string) bool {
	return func(path string) bool { return strings.HasSuffix(path, suffix) }
}

// own matches what Knell itself writes beside the server's store.
func own(path string) bool { return !strings.Contains(path, "jetstream/") }

// Do spoils one file below dir and returns which. It returns "" when no file matches.
func (d Damage) Do(dir string, rng *rand.Rand) (string, error) {
	type file struct {
		path string
		size int64
	}
	var files []file
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if info.Size() > 0 && d.match(strings.TrimPrefix(path, dir+"/")) {
			files = append(files, file{path, info.Size()})
		}
		return nil
	})
	if err != nil || len(files) == 0 {
		return "", err
	}
	largest := slices.MaxFunc(files, func(a, b file) int { return cmp.Compare(a.size, b.size) })
	if err := d.spoil(largest.path, largest.size, rng); err != nil {
		return "", fmt.Errorf("fault: %s: %w", d.Name, err)
	}
	return strings.TrimPrefix(largest.path, dir+"/"), nil
}

// flips is how many bytes flip changes: enough that some hit records and not only padding.
const flips = 16

func flip(path string, size int64, rng *rand.Rand) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for range flips {
		data[rng.Int64N(size)] ^= byte(1 + rng.IntN(255))
	}
	return os.WriteFile(path, data, 0o600)
}

func truncate(path string, size int64, _ *rand.Rand) error { return os.Truncate(path, size/2) }

func empty(path string, _ int64, _ *rand.Rand) error { return os.Truncate(path, 0) }

func remove(path string, _ int64, _ *rand.Rand) error { return os.Remove(path) }
