// Package merkle owns the right edge of a Merkle tree (RFC 6962 section 2.1) in the tiles of C2SP tlog-tiles, and the texts that
// are made of such a tree: paths of tiles, bundles of entries, signed checkpoints (tlog-checkpoint) and proofs (tlog-proof,
// tlog-witness). The mathematics of proofs is golang.org/x/mod's. It knows nothing of events, and does no I/O.
package merkle

import (
	"context"
	"crypto/sha256"

	"golang.org/x/mod/sumdb/tlog"
)

// A tile is a subtree of this height, with so many hashes.
const (
	Height = 8
	Width  = 1 << Height
)

// Hash is a hash of the tree, SHA-256.
type Hash = tlog.Hash

// LeafHash returns the hash of a leaf (RFC 6962 section 2.1). The leaf is text[1:]; text[0] is overwritten, so that nothing has to
// be copied.
func LeafHash(text []byte) Hash {
	text[0] = 0
	return sha256.Sum256(text)
}

// Tree is what is needed of a tree to add leaves to it: the partial tile of each level. The zero value is the empty tree.
type Tree struct {
	size uint64
	edge [][]Hash
}

// Size returns the number of leaves.
func (t *Tree) Size() uint64 { return t.size }

// Append adds a leaf. It calls full for each tile that this completes, from the bottom up, with the tile's level and number, its
// hashes, which are full's for the time of the call, and its root.
func (t *Tree) Append(leaf Hash, full func(level int, n uint64, hashes []Hash, root Hash)) {
	h := leaf
	for level := 0; ; level++ {
		if level == len(t.edge) {
			t.edge = append(t.edge, make([]Hash, 0, Width))
		}
		t.edge[level] = append(t.edge[level], h)
		if len(t.edge[level]) < Width {
			break
		}
		h = perfect(t.edge[level])
		full(level, t.size>>(Height*(level+1)), t.edge[level], h)
		t.edge[level] = t.edge[level][:0]
	}
	t.size++
}

// Clone returns a copy that shares nothing with t.
func (t *Tree) Clone() *Tree {
	c := &Tree{size: t.size, edge: make([][]Hash, len(t.edge))}
	for i, level := range t.edge {
		c.edge[i] = append(make([]Hash, 0, Width), level...)
	}
	return c
}

// Edge returns the hashes of the partial tile of a level, and its number. It is empty where the newest tile is full.
func (t *Tree) Edge(level int) (n uint64, hashes []Hash) {
	if level >= len(t.edge) {
		return 0, nil
	}
	return t.size >> (Height * (level + 1)), t.edge[level]
}

// Levels returns how many levels of tiles there are.
func (t *Tree) Levels() int { return len(t.edge) }

// Restore returns the tree of so many leaves with these partial tiles, one for each level from the bottom up. ok is false if a
// tree of that size has others.
func Restore(size uint64, edge [][]Hash) (t *Tree, ok bool) {
	t = &Tree{size: size}
	for level, hashes := range edge {
		if uint64(len(hashes)) != size>>(Height*level)%Width {
			return nil, false
		}
		t.edge = append(t.edge, append(make([]Hash, 0, Width), hashes...))
	}
	return t, size>>(Height*len(edge)) == 0
}

// Root returns the hash of the tree.
func (t *Tree) Root() Hash { return t.Range().Root() }

// Range returns the compact range of all leaves.
func (t *Tree) Range() *Range {
	r := &Range{size: t.size}
	for level := len(t.edge) - 1; level >= 0; level-- {
		h := t.edge[level]
		for bit := Width / 2; bit > 0; bit /= 2 {
			if len(t.edge[level])&bit != 0 {
				r.hashes = append(r.hashes, perfect(h[:bit]))
				h = h[bit:]
			}
		}
	}
	return r
}

// perfect returns the root over hashes, whose number is a power of two up to Width.
func perfect(hashes []Hash) Hash {
	if len(hashes) == 1 {
		return hashes[0]
	}
	var row [Width / 2]Hash
	n := len(hashes) / 2
	for i := range n {
		row[i] = tlog.NodeHash(hashes[2*i], hashes[2*i+1])
	}
	for n /= 2; n > 0; n /= 2 {
		for i := range n {
			row[i] = tlog.NodeHash(row[2*i], row[2*i+1])
		}
	}
	return row[0]
}

// Range is the compact range of the first leaves of a tree: the roots of the perfect subtrees that they fall into, from left to
// right. It is all that is needed to add leaves and to compute the root. The zero value is that of no leaves.
type Range struct {
	size   uint64
	hashes []Hash
}

// NewRange returns the range of the first size leaves with these hashes; ok is false if there have to be more or fewer.
func NewRange(size uint64, hashes []Hash) (r *Range, ok bool) {
	ones := 0
	for n := size; n > 0; n &= n - 1 {
		ones++
	}
	return &Range{size, append([]Hash(nil), hashes...)}, ones == len(hashes)
}

// Size returns the number of leaves.
func (r *Range) Size() uint64 { return r.size }

// Hashes returns the hashes of the range. Read only.
func (r *Range) Hashes() []Hash { return r.hashes }

// Append adds a leaf.
func (r *Range) Append(leaf Hash) {
	for n := r.size; n&1 == 1; n >>= 1 {
		last := len(r.hashes) - 1
		leaf = tlog.NodeHash(r.hashes[last], leaf)
		r.hashes = r.hashes[:last]
	}
	r.hashes = append(r.hashes, leaf)
	r.size++
}

// Root returns the hash of the tree of these leaves.
func (r *Range) Root() Hash {
	if len(r.hashes) == 0 {
		return sha256.Sum256(nil)
	}
	h := r.hashes[len(r.hashes)-1]
	for i := len(r.hashes) - 2; i >= 0; i-- {
		h = tlog.NodeHash(r.hashes[i], h)
	}
	return h
}

// Read returns the hashes of a tile, 32 bytes each.
type Read func(ctx context.Context, t Tile) ([]byte, error)

// Root returns the root of the first size leaves of the tree whose tiles read gives. Nothing that read gives is proven by it.
func Root(ctx context.Context, size uint64, read Read) (Hash, error) {
	return tlog.TreeHash(int64(size), unproven{ctx, read})
}

// unproven reads hashes from tiles as they are.
type unproven struct {
	ctx  context.Context
	read Read
}

// ReadHashes implements tlog.HashReader.
func (u unproven) ReadHashes(indexes []int64) ([]Hash, error) {
	hashes := make([]Hash, len(indexes))
	for i, x := range indexes {
		t := tlog.TileForIndex(Height, x)
		data, err := u.read(u.ctx, Tile{t.L, uint64(t.N), t.W})
		if err != nil {
			return nil, err
		}
		if hashes[i], err = tlog.HashFromTile(t, data, x); err != nil {
			return nil, err
		}
	}
	return hashes, nil
}

// proven is the tiles of a tree; what is read of them is compared with the root.
func proven(ctx context.Context, size uint64, root Hash, read Read) tlog.HashReader {
	return tlog.TileHashReader(tlog.Tree{N: int64(size), Hash: root}, tiles{ctx, read})
}

// tiles implements tlog.TileReader.
type tiles struct {
	ctx  context.Context
	read Read
}

// Height implements tlog.TileReader.
func (tiles) Height() int { return Height }

// ReadTiles implements tlog.TileReader.
func (r tiles) ReadTiles(list []tlog.Tile) ([][]byte, error) {
	all := make([][]byte, len(list))
	for i, t := range list {
		var err error
		if all[i], err = r.read(r.ctx, Tile{t.L, uint64(t.N), t.W}); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// SaveTiles implements tlog.TileReader.
func (tiles) SaveTiles([]tlog.Tile, [][]byte) {}

// Include returns the inclusion proof of the leaf with this index in the tree of size leaves, and the leaf's hash. Every hash that
// is read is compared with root.
func Include(ctx context.Context, index, size uint64, root Hash, read Read) (path []Hash, leaf Hash, err error) {
	r := proven(ctx, size, root, read)
	path, err = tlog.ProveRecord(int64(size), int64(index), r)
	if err != nil {
		return nil, Hash{}, err
	}
	hashes, err := r.ReadHashes([]int64{tlog.StoredHashIndex(0, int64(index))})
	if err != nil {
		return nil, Hash{}, err
	}
	return path, hashes[0], nil
}

// Extend returns the proof that the tree of size leaves begins with the tree of old leaves.
func Extend(ctx context.Context, old, size uint64, root Hash, read Read) ([]Hash, error) {
	if old == 0 || old == size {
		return nil, nil
	}
	return tlog.ProveTree(int64(size), int64(old), proven(ctx, size, root, read))
}

// Included reports whether path proves that leaf is the one with this index in the tree of size leaves with this root.
func Included(leaf Hash, index, size uint64, root Hash, path []Hash) bool {
	const limit = 1 << 62
	return size < limit && index < size && tlog.CheckRecord(path, int64(size), root, int64(index), leaf) == nil
}

// Extends reports whether path proves that the tree of size leaves begins with that of old leaves.
func Extends(old uint64, oldRoot Hash, size uint64, root Hash, path []Hash) bool {
	const limit = 1 << 62
	switch {
	case size >= limit || old > size:
		return false
	case old == 0:
		return len(path) == 0 && oldRoot == sha256.Sum256(nil)
	case old == size:
		return len(path) == 0 && oldRoot == root
	}
	return tlog.CheckTree(path, int64(size), root, int64(old), oldRoot) == nil
}

// RangeOf returns the compact range of the first leaves of a tree of size leaves. Every hash that is read is compared with root.
func RangeOf(ctx context.Context, leaves, size uint64, root Hash, read Read) (*Range, error) {
	var indexes []int64
	for at, level := uint64(0), 62; level >= 0; level-- {
		if leaves&(1<<level) != 0 {
			indexes = append(indexes, tlog.StoredHashIndex(level, int64(at>>level)))
			at += 1 << level
		}
	}
	if len(indexes) == 0 {
		return &Range{}, nil
	}
	hashes, err := proven(ctx, size, root, read).ReadHashes(indexes)
	return &Range{leaves, hashes}, err
}
