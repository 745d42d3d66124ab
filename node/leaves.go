package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/merkle"
)

// bundle returns the entries of a tile of entries.
func (v *treeView) bundle(ctx context.Context, t merkle.Tile) ([]byte, error) {
	hashes, err := v.tile(ctx, merkle.Tile{Level: 0, N: t.N, Width: t.Width})
	if err != nil {
		return nil, err
	}
	seqs, err := v.tileSeqs(ctx, t.N)
	if err != nil {
		return nil, err
	}
	var b []byte
	err = v.leaves(ctx, seqs[:t.Width], func(text []byte) error {
		if leaf := merkle.LeafHash(text); string(leaf[:]) != string(hashes[:len(leaf)]) {
			return errOtherTree
		}
		hashes = hashes[len(merkle.Hash{}):]
		b = merkle.AppendEntry(b, text[1:])
		return nil
	})
	return b, err
}

// leaves reads the messages with these ascending sequences, all of them leaves, and calls each with their leaves, behind one byte.
// The text is each's for the time of the call.
func (v *treeView) leaves(ctx context.Context, seqs []uint64, each func(text []byte) error) error {
	n := v.n
	done, err := n.acquire(ctx, pageTime, func() error { return nil })
	if err != nil {
		return err
	}
	defer done()
	var text []byte
	err = n.readPart(ctx, seqs[0]-1, seqs[len(seqs)-1], func(batch []events.Message) (err error) {
		for i := range batch {
			m := &batch[i]
			if m.Seq != seqs[0] {
				continue
			}
			seqs = seqs[1:]
			if text, err = n.leafText(text[:0], m); err == nil {
				err = each(text)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && len(seqs) > 0 {
		err = errOtherTree
	}
	return err
}

// leafText appends the leaf of a message that was applied, behind one byte.
func (n *Node) leafText(buf []byte, m *events.Message) ([]byte, error) {
	var f events.Facts
	if err := events.Look(m.Data, &f); err != nil {
		return buf, fmt.Errorf("message %d: %w", m.Seq, err)
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	seq := m.Seq
	if n.state.leaves.unbound {
		seq = 0
	}
	return n.state.appendLeaf(append(buf, 0), m, seq, n.state.past.void(m.Seq), events.Type(f.Type)), nil
}

// readPart calls deliver with the messages after a sequence up to another one, which was applied. It ends with the node. The error is
// deliver's, the cause of ctx's end, ErrTrimmed, ErrClosed or the log's.
func (n *Node) readPart(ctx context.Context, after, upTo uint64, deliver func([]events.Message) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(n.ctx, func() { cancel(ErrClosed) })()
	err := n.cfg.Log.Read(ctx, after, upTo, deliver)
	switch {
	case err != nil && ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, events.ErrTrimmed):
		return fmt.Errorf("%w: %w", ErrTrimmed, err)
	}
	return err
}

// lookSealed puts the leaf of a message that nobody may read into r.out, if that is asked for.
func (r *reading) lookSealed(m *events.Message) error {
	if !r.sealed || !events.Durable(m.Subject) || m.Seq <= r.after {
		return nil
	}
	from := len(r.heads)
	var err error
	if r.heads, err = r.n.leafText(r.heads, m); err == nil {
		r.out = append(r.out, FoundEvent{m.Seq, r.heads[from+1 : len(r.heads) : len(r.heads)], nil})
	}
	return err
}
