package node

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/merkle"
)

// ErrNoLeaf: there is no leaf, tile or tree of this kind, or not yet. It is an ErrNotFound.
var ErrNoLeaf = fmt.Errorf("%w: in the tree of the log", ErrNotFound)

// errOtherTree: what is stored does not belong to this replica's tree.
var errOtherTree = errors.New("a stored tile does not belong to the tree of the log")

// treeView is the tree of the log at one moment.
type treeView struct {
	n       *Node
	epoch   events.ID
	log     events.ID // see beginning
	hashKey []byte    // not to be written to
	edge    *merkle.Tree
	root    merkle.Hash
	seqs    []uint64
	starts  []uint64
	waiting []fullTile
}

// viewTree returns the tree as this replica has applied the log.
func (n *Node) viewTree() *treeView {
	n.mu.RLock()
	defer n.mu.RUnlock()
	t := &n.state.leaves
	return &treeView{
		n: n, epoch: n.state.epoch, log: n.state.log, hashKey: n.state.hashKey, edge: t.edge.Clone(), root: t.edge.Root(),
		seqs: slices.Clone(t.seqs), starts: t.starts[:len(t.starts):len(t.starts)], waiting: t.waiting,
	}
}

// logKey returns the key that checkpoints and receipts of a log are signed with. Every replica derives it from the secret of the
// log's first event, so there is one for each epoch, and it is nobody's to publish.
func logKey(epoch events.ID, hashKey []byte) (*merkle.Key, error) {
	mac := hmac.New(sha256.New, hashKey)
	mac.Write([]byte("knell log signing key"))
	mac.Write(epoch[:])
	return merkle.NewKey("knell/"+epoch.String(), mac.Sum(nil))
}

// LogKey returns the text of the public key by which checkpoints and receipts of this log are verified (C2SP signed-note, a vkey).
// ErrNotCurrent.
func (n *Node) LogKey() (text string, err error) {
	lease := n.hot.lease.Load()
	n.mu.RLock()
	key, err := logKey(n.state.epoch, n.state.hashKey)
	n.mu.RUnlock()
	switch {
	case err != nil:
		return "", err
	case !lease.Valid(n.clock.read()):
		return "", ErrNotCurrent
	}
	return key.Verifier(), nil
}

// withTree calls f with the tree and takes the three steps of a verification around it.
func (n *Node) withTree(f func(v *treeView) error) error {
	lease := n.hot.lease.Load()
	if !lease.Valid(n.clock.read()) {
		return ErrNotCurrent
	}
	err := f(n.viewTree())
	if !lease.Valid(n.clock.read()) {
		return ErrNotCurrent
	}
	return err
}

// Checkpoint returns the signed head (C2SP tlog-checkpoint) of the tree that the first size leaves have, or of the whole tree if
// size is 0. ErrNoLeaf: there are not so many. ErrNotCurrent.
func (n *Node) Checkpoint(ctx context.Context, size uint64) (note []byte, err error) {
	err = n.withTree(func(v *treeView) error {
		_, note, err = v.checkpoint(ctx, size)
		return err
	})
	return note, err
}

// TreeTile returns a tile of the tree by its path, as C2SP tlog-tiles has them behind "tile/": hashes, or a bundle of entries.
// ErrBadRequest: there is no such path; ErrNoLeaf: the tree is not so large; ErrTrimmed: the log does not have all entries of the
// bundle any more. ErrNotCurrent.
func (n *Node) TreeTile(ctx context.Context, path string) (data []byte, err error) {
	t, err := merkle.ParseTile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: no tile has this path", ErrBadRequest)
	}
	err = n.withTree(func(v *treeView) error {
		if t.Level == merkle.Entries {
			data, err = v.bundle(ctx, t)
		} else {
			data, err = v.tile(ctx, t)
		}
		return err
	})
	return data, err
}

// ProveEvent returns the proof (C2SP tlog-proof) that the message with a sequence is in the log. It carries the leaf, if the log
// still has the message. ErrBadRequest: the log has not reached it; ErrNoLeaf: it is none. ErrNotCurrent.
func (n *Node) ProveEvent(ctx context.Context, seq uint64) (proof []byte, err error) {
	if err := n.reach(ctx, seq); err != nil {
		return nil, err
	}
	err = n.withTree(func(v *treeView) error {
		index, err := v.indexOf(ctx, seq)
		if err != nil {
			return err
		}
		p, _, err := v.prove(ctx, index, seq)
		if err == nil {
			proof = p.Text()
		}
		return err
	})
	return proof, err
}

// ProveConsistency returns the proof (the request of C2SP tlog-witness) that the tree of size leaves, or all if that is 0, begins
// with that of old leaves. ErrBadRequest, ErrNoLeaf, ErrNotCurrent.
func (n *Node) ProveConsistency(ctx context.Context, old, size uint64) (proof []byte, err error) {
	err = n.withTree(func(v *treeView) error {
		head, note, err := v.checkpoint(ctx, size)
		switch {
		case err != nil:
			return err
		case old > head.Size:
			return fmt.Errorf("%w: the later size is smaller than the earlier one, or the tree is", ErrBadRequest)
		}
		path, err := merkle.Extend(ctx, old, head.Size, head.Root, v.tile)
		if err != nil {
			return v.failed(err)
		}
		proof = (&merkle.Consistency{Old: old, Path: path, Checkpoint: note}).Text()
		return nil
	})
	return proof, err
}

// LeafRange is the compact range of the first leaves of the log: what is needed to go on computing its tree from there.
type LeafRange struct {
	Size   uint64   `json:"size" doc:"How many leaves come before."`
	Hashes []string `json:"hashes" doc:"Roots of the perfect subtrees that they fall into, from left to right, in base64."`
}

// LeavesBefore returns the compact range of the leaves before a sequence. ErrBadRequest: the log has not reached it. ErrNotCurrent.
func (n *Node) LeavesBefore(ctx context.Context, seq uint64) (list LeafRange, err error) {
	if err := n.reach(ctx, seq); err != nil {
		return list, err
	}
	err = n.withTree(func(v *treeView) error {
		size, err := v.countBefore(ctx, seq)
		if err != nil {
			return err
		}
		r, err := merkle.RangeOf(ctx, size, v.edge.Size(), v.root, v.tile)
		if err != nil {
			return v.failed(err)
		}
		list = LeafRange{size, []string{}}
		for _, h := range r.Hashes() {
			list.Hashes = append(list.Hashes, h.String())
		}
		return nil
	})
	return list, err
}

// checkpoint returns the head of the tree of size leaves, and the note that says so.
func (v *treeView) checkpoint(ctx context.Context, size uint64) (c merkle.Checkpoint, note []byte, err error) {
	key, err := logKey(v.epoch, v.hashKey)
	if err != nil {
		return c, nil, err
	}
	c = merkle.Checkpoint{Origin: key.Name(), Size: v.edge.Size(), Root: v.root}
	switch {
	case size > c.Size:
		return c, nil, fmt.Errorf("%w: there are %d leaves", ErrNoLeaf, c.Size)
	case size != 0 && size != c.Size:
		c.Size = size
		if c.Root, err = merkle.Root(ctx, size, v.tile); err != nil {
			return c, nil, v.failed(err)
		}
		// What was read for it is proven by the proof that the tree begins so.
		path, err := merkle.Extend(ctx, size, v.edge.Size(), v.root, v.tile)
		if err == nil && !merkle.Extends(size, c.Root, v.edge.Size(), v.root, path) {
			err = errOtherTree
		}
		if err != nil {
			return c, nil, v.failed(err)
		}
	}
	note, err = c.Sign(key)
	return c, note, err
}

// prove returns the proof for a leaf in the whole tree, and its hash; seq is its sequence.
func (v *treeView) prove(ctx context.Context, index, seq uint64) (p merkle.Proof, leaf merkle.Hash, err error) {
	head, note, err := v.checkpoint(ctx, 0)
	if err != nil {
		return p, leaf, err
	}
	p.Index, p.Checkpoint = index, note
	if p.Path, leaf, err = merkle.Include(ctx, index, head.Size, head.Root, v.tile); err != nil {
		return p, leaf, v.failed(err)
	}
	err = v.leaves(ctx, []uint64{seq}, func(text []byte) error {
		if merkle.LeafHash(text) != leaf {
			return errOtherTree
		}
		p.Extra = slices.Clone(text[1:])
		return nil
	})
	if errors.Is(err, ErrTrimmed) { // it keeps its hash
		err = nil
	}
	return p, leaf, err
}

// failed returns err, or errOtherTree for what did not fit the root of the tree.
func (v *treeView) failed(err error) error {
	for _, known := range []error{
		nil, ErrNoLeaf, ErrTrimmed, ErrClosed, ErrNotCurrent, events.ErrNoTile, errOtherTree, context.Canceled, context.DeadlineExceeded,
	} {
		if errors.Is(err, known) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", errOtherTree, err)
}

// tile returns the hashes of a tile.
func (v *treeView) tile(ctx context.Context, t merkle.Tile) ([]byte, error) {
	b, err := v.whole(ctx, t.Level, t.N)
	if err != nil {
		return nil, err
	}
	if len(b) < t.Width*sha256.Size {
		return nil, fmt.Errorf("%w: the tile has not so many hashes", ErrNoLeaf)
	}
	return b[:t.Width*sha256.Size], nil
}

// whole returns all that there is of a tile: for a full one what is stored of it.
func (v *treeView) whole(ctx context.Context, level int, n uint64) ([]byte, error) {
	last, hashes := v.edge.Edge(level)
	switch {
	case level >= v.edge.Levels() || n > last || n == last && len(hashes) == 0:
		return nil, fmt.Errorf("%w: the tree is not so large", ErrNoLeaf)
	case n == last:
		return appendHashes(nil, hashes), nil
	}
	name := tileName(v.log, level, n)
	for _, t := range v.waiting {
		if t.name == name {
			return t.data, nil
		}
	}
	b, err := v.n.storedTile(ctx, name)
	switch {
	case errors.Is(err, events.ErrNoTile):
		// The server that answers may have been deposed, or somebody took it away: nobody else has it.
		return nil, fmt.Errorf("%w: tile %d of level %d: %w", ErrNotCurrent, n, level, err)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrNotCurrent, err)
	case len(b) < merkle.Width*sha256.Size:
		return nil, errOtherTree
	}
	return b, nil
}

// tileSeqs returns the sequences of the leaves of a tile at the bottom.
func (v *treeView) tileSeqs(ctx context.Context, n uint64) ([]uint64, error) {
	if n == v.edge.Size()/merkle.Width {
		return v.seqs, nil
	}
	b, err := v.whole(ctx, 0, n)
	if err != nil {
		return nil, err
	}
	seqs, ok := parseSeqs(b)
	if !ok || seqs[0] != v.starts[n] {
		return nil, errOtherTree
	}
	return seqs, nil
}

// indexOf returns the index of the leaf with a sequence; ErrNoLeaf if there is none.
func (v *treeView) indexOf(ctx context.Context, seq uint64) (uint64, error) {
	index, found, err := v.find(ctx, seq)
	if err == nil && !found {
		err = fmt.Errorf("%w: message %d is no leaf", ErrNoLeaf, seq)
	}
	return index, err
}

// countBefore returns how many leaves have lower sequences.
func (v *treeView) countBefore(ctx context.Context, seq uint64) (uint64, error) {
	index, _, err := v.find(ctx, seq)
	return index, err
}

// find returns the index of the first leaf whose sequence is not lower, and whether it is the one.
func (v *treeView) find(ctx context.Context, seq uint64) (index uint64, found bool, err error) {
	i := sort.Search(len(v.starts), func(i int) bool { return v.starts[i] > seq })
	if i == 0 {
		return 0, false, nil
	}
	seqs, err := v.tileSeqs(ctx, uint64(i-1))
	if err != nil {
		return 0, false, err
	}
	at, found := slices.BinarySearch(seqs, seq)
	return uint64(i-1)*merkle.Width + uint64(at), found, nil
}
