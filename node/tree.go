package node

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"sort"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/merkle"
)

// leafTree is the Merkle tree over the durable messages of the log. It follows from the log's prefix like the rest of the state.
type leafTree struct {
	edge   merkle.Tree
	seqs   []uint64 // sequences of the leaves in the partial tile at the bottom
	starts []uint64 // sequence of the first leaf of each tile at the bottom, the partial one included
	tiles  uint64   // full tiles so far, of all levels

	// Not part of the state: what is not known to be stored.
	stored  uint64 // so many tiles are, in the order in which they get full
	waiting []fullTile

	hand    *events.Message // the one that is applied; nil: it is no leaf
	text    []byte          // scratch: a leaf, behind one byte
	ahead   *leafAhead      // of the batch in hand; nil: none
	unbound bool            // mutation: leaves do not have their sequences
}

// fullTile is a tile that is to be stored.
type fullTile struct {
	order  uint64 // among all full tiles, from 1 on
	name   string
	data   []byte
	author string // replica whose event made it full
}

// tileName is how a tile is called where tiles are stored. Another first epoch is another log; one that was restored goes on with its
// tree.
func tileName(log events.ID, level int, n uint64) string {
	return fmt.Sprintf("%s.%d.%d", log, level, n)
}

// tileOrder returns the order of a tile at the bottom among all full tiles.
func tileOrder(n uint64) uint64 {
	order := n + 1
	for n >>= merkle.Height; n > 0; n >>= merkle.Height {
		order += n
	}
	return order
}

// applyMessage is apply for a message as the log has it.
func (s *state) applyMessage(m *events.Message, e *events.Event) outcome {
	s.leaves.hand = m
	out := s.apply(m.Seq, e)
	s.leaves.hand = nil
	return out
}

// addLeaf adds the message in hand to the tree, and what it added to the digest: who computes another tree has another state.
func (s *state) addLeaf(e *events.Event, void voidReason) {
	t := &s.leaves
	m := t.hand
	if m == nil || !events.Durable(m.Subject) {
		return
	}
	leaf := s.hashLeaf(m, void, typeOf(m, e))
	s.touched = append(s.touched, leaf[:]...)
	if len(t.seqs) == 0 {
		t.starts = append(t.starts, m.Seq)
	}
	t.seqs = append(t.seqs, m.Seq)
	t.edge.Append(leaf, func(level int, n uint64, hashes []merkle.Hash, root merkle.Hash) {
		t.tiles++
		if t.tiles > t.stored {
			data := appendHashes(make([]byte, 0, len(hashes)*len(leaf)), hashes)
			if level == 0 {
				data = appendSeqs(data, t.seqs)
			}
			t.waiting = append(t.waiting, fullTile{t.tiles, tileName(s.log, level, n), data, e.Node})
		}
		s.touched = append(s.touched, root[:]...)
		if level == 0 {
			t.seqs = t.seqs[:0]
		}
	})
}

// hashLeaf returns the hash of the leaf of the message in hand.
func (s *state) hashLeaf(m *events.Message, void voidReason, typ events.Type) merkle.Hash {
	t := &s.leaves
	seq := m.Seq
	switch {
	case t.unbound:
		seq = 0
	case void == "" && events.Shown(m.Subject, typ):
		if leaf, ok := t.ahead.find(seq); ok {
			return leaf
		}
	}
	t.text = s.appendLeaf(append(t.text[:0], 0), m, seq, void, typ)
	return merkle.LeafHash(t.text)
}

// appendLeaf appends the leaf of a message of type t.
func (s *state) appendLeaf(buf []byte, m *events.Message, seq uint64, void voidReason, t events.Type) []byte {
	if events.Shown(m.Subject, t) {
		return events.AppendLeaf(buf, seq, string(void), m.Data)
	}
	salt := leafSalt(s.hashKey, m.Seq)
	return events.AppendSealed(buf, seq, string(void), salt[:], m.Data)
}

// typeOf returns the type of a message, also of one of a later version, whose data was not decoded.
func typeOf(m *events.Message, e *events.Event) events.Type {
	if e.Data != nil {
		return e.Data.Type()
	}
	var f events.Facts
	if events.Look(m.Data, &f) != nil {
		return events.TypeLogStarted // nobody sees what cannot be read
	}
	return events.Type(f.Type)
}

// leafSalt returns the salt of a sealed leaf. Who gets to know one of them, to open one leaf, knows no other.
func leafSalt(key []byte, seq uint64) (salt [events.SaltSize]byte) {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("knell leaf salt"))
	mac.Write(binary.BigEndian.AppendUint64(nil, seq))
	mac.Sum(salt[:0])
	return salt
}

func appendHashes(b []byte, hashes []merkle.Hash) []byte {
	for i := range hashes {
		b = append(b, hashes[i][:]...)
	}
	return b
}

// appendSeqs appends ascending sequences: the first one, and then how much greater each is than the one before it.
func appendSeqs(b []byte, seqs []uint64) []byte {
	before := uint64(0)
	for _, seq := range seqs {
		b = binary.AppendUvarint(b, seq-before)
		before = seq
	}
	return b
}

// parseSeqs reads what appendSeqs has written behind the hashes of a full tile.
func parseSeqs(tile []byte) ([]uint64, bool) {
	const hashes = merkle.Width * sha256.Size
	if len(tile) < hashes {
		return nil, false
	}
	seqs, rest, seq := make([]uint64, 0, merkle.Width), tile[hashes:], uint64(0)
	for range merkle.Width {
		step, n := binary.Uvarint(rest)
		if n <= 0 || step == 0 {
			return nil, false
		}
		seq, rest = seq+step, rest[n:]
		seqs = append(seqs, seq)
	}
	return seqs, len(rest) == 0
}

// storeNothing is for a state that nobody is served from: whoever applies the log for good stores the tiles.
func (t *leafTree) storeNothing() { t.stored, t.waiting = math.MaxUint64, nil }

// code takes the tree. Snapshots are taken when all full tiles are stored.
func (t *leafTree) code(c *coder) {
	size, levels := t.edge.Size(), c.count(t.edge.Levels())
	c.uint(&size)
	edge := make([][]merkle.Hash, levels)
	for level := range edge {
		if _, edge[level] = t.edge.Edge(level); c.reading {
			edge[level] = make([]merkle.Hash, size>>(merkle.Height*level)%merkle.Width)
		}
		for i := range edge[level] {
			c.fixed(edge[level][i][:])
		}
	}
	c.uint(&t.tiles)
	for _, list := range []*[]uint64{&t.seqs, &t.starts} {
		n := c.count(len(*list))
		if c.reading {
			*list = make([]uint64, n)
		}
		before := uint64(0)
		for i := range *list {
			step := (*list)[i] - before
			c.uint(&step)
			before += step
			(*list)[i] = before
		}
	}
	if !c.reading || c.err != nil {
		return
	}
	tree, ok := merkle.Restore(size, edge)
	if !ok || uint64(len(t.seqs)) != size%merkle.Width || uint64(len(t.starts)) != (size+merkle.Width-1)/merkle.Width {
		c.fail(errCut)
		return
	}
	t.edge, t.stored = *tree, t.tiles
}

// drop forgets the tiles up to an order, which are stored.
func (t *leafTree) drop(order uint64) {
	t.stored = max(t.stored, order)
	i := sort.Search(len(t.waiting), func(i int) bool { return t.waiting[i].order > t.stored })
	t.waiting = append([]fullTile(nil), t.waiting[i:]...)
}
