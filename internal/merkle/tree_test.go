package merkle

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"
)

// mth is the Merkle Tree Hash as RFC 6962 section 2.1 writes it down.
func mth(leaves [][]byte) Hash {
	switch len(leaves) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return sha256.Sum256(append([]byte{0}, leaves[0]...))
	}
	k := 1
	for 2*k < len(leaves) {
		k *= 2
	}
	left, right := mth(leaves[:k]), mth(leaves[k:])
	return sha256.Sum256(append(append([]byte{1}, left[:]...), right[:]...))
}

// store keeps the tiles of a tree as they get full.
type store struct {
	Tree
	leaves [][]byte
	tiles  map[string][]byte
}

func newStore(n int) *store {
	s := &store{tiles: map[string][]byte{}}
	for range n {
		s.add()
	}
	return s
}

func (s *store) add() {
	leaf := binary.BigEndian.AppendUint64([]byte("leaf"), uint64(len(s.leaves)))
	s.leaves = append(s.leaves, leaf)
	s.Append(LeafHash(append([]byte{9}, leaf...)), func(level int, n uint64, hashes []Hash, root Hash) {
		if root != mth(s.leaves[n<<(Height*(level+1)):]) {
			panic("root of a full tile")
		}
		s.tiles[Tile{level, n, Width}.Path()] = joined(hashes)
	})
}

func joined(hashes []Hash) (b []byte) {
	for _, h := range hashes {
		b = append(b, h[:]...)
	}
	return b
}

var errNone = errors.New("no such tile")

func (s *store) read(_ context.Context, t Tile) ([]byte, error) {
	b := s.tiles[Tile{t.Level, t.N, Width}.Path()]
	if n, hashes := s.Edge(t.Level); n == t.N {
		b = joined(hashes)
	}
	if len(b) < t.Width*sha256.Size {
		return nil, errNone
	}
	return b[:t.Width*sha256.Size], nil
}

// TestTree: roots, ranges, clones and what is restored of a tree are those of RFC 6962, at every size up to some tiles.
func TestTree(t *testing.T) {
	s := newStore(0)
	var r Range
	for size := 0; size <= 3*Width+5; size++ {
		want := mth(s.leaves)
		var edge [][]Hash
		for level := range s.Levels() {
			_, hashes := s.Edge(level)
			edge = append(edge, hashes)
		}
		back, ok := Restore(s.Size(), edge)
		if !ok {
			t.Fatalf("%d leaves: not restored", size)
		}
		again, ok := NewRange(r.Size(), r.Hashes())
		if !ok || s.Root() != want || r.Root() != want || s.Clone().Root() != want || back.Root() != want || again.Root() != want {
			t.Fatalf("%d leaves: a root is not that of RFC 6962", size)
		}
		if !slices.Equal(s.Range().Hashes(), r.Hashes()) {
			t.Fatalf("%d leaves: compact ranges differ", size)
		}
		s.add()
		r.Append(LeafHash(append([]byte{0}, s.leaves[size]...)))
	}
	if _, ok := Restore(5, [][]Hash{make([]Hash, 4)}); ok {
		t.Error("restored with too few hashes")
	}
	if _, ok := Restore(300, [][]Hash{make([]Hash, 44)}); ok {
		t.Error("restored without a level")
	}
	if _, ok := NewRange(5, make([]Hash, 3)); ok {
		t.Error("a range with too many hashes")
	}
}

// TestProofs: for leaves and sizes at the borders of tiles, every proof verifies and no other root, index or hash does.
func TestProofs(t *testing.T) {
	ctx := t.Context()
	s := newStore(2*Width + 77)
	sizes := []uint64{1, 2, 3, 7, 255, 256, 257, 300, 511, 512, 513, s.Size()}
	for _, size := range sizes {
		root, err := Root(ctx, size, s.read)
		if err != nil || root != mth(s.leaves[:size]) {
			t.Fatalf("root of %d leaves: %v", size, err)
		}
		for _, index := range []uint64{0, 1, 255, 256, size / 2, size - 1} {
			if index >= size {
				continue
			}
			path, leaf, err := Include(ctx, index, size, root, s.read)
			if err != nil || !Included(leaf, index, size, root, path) || leaf != mth(s.leaves[index:index+1]) {
				t.Fatalf("leaf %d of %d: %v", index, size, err)
			}
			other := leaf
			other[3] ^= 1
			if Included(other, index, size, root, path) || Included(leaf, index, size, other, path) || size > 1 && Included(leaf, (index+1)%size, size, root, path) {
				t.Fatalf("leaf %d of %d: something else is proven, too", index, size)
			}
		}
		for _, old := range sizes {
			if old > size {
				continue
			}
			oldRoot := mth(s.leaves[:old])
			path, err := Extend(ctx, old, size, root, s.read)
			if err != nil || !Extends(old, oldRoot, size, root, path) {
				t.Fatalf("from %d to %d: %v", old, size, err)
			}
			oldRoot[0] ^= 1
			if Extends(old, oldRoot, size, root, path) {
				t.Fatalf("from %d to %d: another root is proven, too", old, size)
			}
			r, err := RangeOf(ctx, old, size, root, s.read)
			if err != nil || r.Root() != mth(s.leaves[:old]) {
				t.Fatalf("range of %d of %d: %v", old, size, err)
			}
		}
	}
	if Included(Hash{}, 0, 1<<63, Hash{}, nil) || Extends(5, Hash{}, 4, Hash{}, nil) || Extends(0, Hash{}, 4, Hash{}, nil) {
		t.Error("nonsense is proven")
	}
}

// TestForgedTile: nothing that does not fit the root gets into a proof.
func TestForgedTile(t *testing.T) {
	s := newStore(2*Width + 77)
	root := s.Root()
	for _, forge := range []struct {
		tile string
		at   int
	}{{"0/000", 17 * 32}, {"0/001", 255 * 32}} {
		b := slices.Clone(s.tiles[forge.tile])
		s.tiles[forge.tile][forge.at] ^= 1
		index := uint64(forge.at / 32)
		if forge.tile == "0/001" {
			index += Width
		}
		if _, _, err := Include(t.Context(), index, s.Size(), root, s.read); err == nil {
			t.Errorf("tile %s: a proof was made of a forged hash", forge.tile)
		}
		s.tiles[forge.tile] = b
	}
	if _, _, err := Include(t.Context(), 5, s.Size(), root, func(context.Context, Tile) ([]byte, error) { return nil, errNone }); !errors.Is(err, errNone) {
		t.Errorf("a tile that cannot be read: %v", err)
	}
}

// TestTilePaths: each tile has one path, as tlog-tiles writes it down.
func TestTilePaths(t *testing.T) {
	for path, want := range map[string]Tile{
		"0/000":                       {0, 0, 256},
		"0/x001/x234/067":             {0, 1234067, 256},
		"3/017.p/1":                   {3, 17, 1},
		"63/000.p/255":                {63, 0, 255},
		"entries/x001/000":            {Entries, 1000, 256},
		"entries/x001/x234/067.p/112": {Entries, 1234067, 112},
	} {
		got, err := ParseTile(path)
		if err != nil || got != want || got.Path() != path {
			t.Errorf("%s: %+v (%s), %v", path, got, got.Path(), err)
		}
	}
	for _, path := range []string{
		"", "0", "0/", "0/0", "0/0000", "00/000", "64/000", "-1/000", "data/000", "0/000.p", "0/000.p/", "0/000.p/0", "0/000.p/256", "0/000.p/01",
		"0/000.p/-1", "0/000.p/1/2", "0/x000/001", "0/001/002", "0/x001/x002", "0/+01", "0/ 01", "x/000", "0/000/", "/0/000", "entries", "entries/",
		"entries/000.q/5", "0/x999/x999/x999/x999/x999/x999/x999/999", "Entries/000", "0/%30%30%30",
	} {
		if got, err := ParseTile(path); !errors.Is(err, ErrText) {
			t.Errorf("%q is taken for %+v, %v", path, got, err)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	var t Tree
	h := sha256.Sum256([]byte("x"))
	b.ReportAllocs()
	for b.Loop() {
		t.Append(h, func(int, uint64, []Hash, Hash) {})
	}
}

func BenchmarkRoot(b *testing.B) {
	s := newStore(2*Width + 255)
	for b.Loop() {
		s.Root()
	}
}

func ExampleTile_Path() {
	fmt.Println(Tile{Level: 0, N: 1234067, Width: 112}.Path())
	// Output: 0/x001/x234/067.p/112
}
