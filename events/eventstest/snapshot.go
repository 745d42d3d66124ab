package eventstest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/knell-auth/knell/events"
)

// stored is a snapshot that is kept.
type stored struct {
	events.Snapshot
	data []byte
}

// find returns the place of a snapshot, or -1. Called with the lock.
func (m *Memory) find(s events.Snapshot) int {
	return slices.IndexFunc(m.snapshots, func(k stored) bool { return k.Seq == s.Seq && k.Node == s.Node })
}

// OnSnapshot has f decide about each snapshot that this handle writes. nil ends it.
func (n *Node) OnSnapshot(f func(events.Snapshot) Fault) { n.m.change(func() { n.onSnapshot = f }) }

// Damage changes a byte in the middle of every snapshot of a sequence.
func (m *Memory) Damage(seq uint64) {
	m.change(func() {
		for _, k := range m.snapshots {
			if k.Seq == seq {
				k.data[len(k.data)/2] ^= 1
			}
		}
	})
}

// PutSnapshot keeps a snapshot as events.Log.PutSnapshot does.
func (n *Node) PutSnapshot(ctx context.Context, s events.Snapshot, data []byte) error {
	if err := n.reach(ctx); err != nil {
		return err
	}
	m := n.m
	s.Node, s.Size = n.name, int64(len(data))
	m.mu.Lock()
	hook := n.onSnapshot
	m.mu.Unlock()
	var fault Fault
	if hook != nil {
		fault = hook(s)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if at := m.find(s); at >= 0 {
		m.snapshots = slices.Delete(m.snapshots, at, at+1)
	}
	if fault.Before != nil { // half of it is there
		s.Size, s.Hash = 0, nil
		m.snapshots = append(m.snapshots, stored{s, nil})
		return fault.Before
	}
	m.snapshots = append(m.snapshots, stored{s, bytes.Clone(data)})
	return fault.After
}

// Snapshots returns what is kept as events.Log.Snapshots does.
func (n *Node) Snapshots(ctx context.Context) ([]events.Snapshot, error) {
	if err := n.reach(ctx); err != nil {
		return nil, err
	}
	n.m.mu.Lock()
	defer n.m.mu.Unlock()
	list := make([]events.Snapshot, len(n.m.snapshots))
	for i, k := range n.m.snapshots {
		list[i] = k.Snapshot
	}
	slices.SortFunc(list, func(a, b events.Snapshot) int {
		return cmp.Or(cmp.Compare(b.Seq, a.Seq), strings.Compare(a.Node, b.Node))
	})
	return list, nil
}

// GetSnapshot returns the bytes of a snapshot as events.Log.GetSnapshot does.
func (n *Node) GetSnapshot(ctx context.Context, s events.Snapshot) ([]byte, error) {
	if err := n.reach(ctx); err != nil {
		return nil, err
	}
	n.m.mu.Lock()
	defer n.m.mu.Unlock()
	at := n.m.find(s)
	if at < 0 || n.m.snapshots[at].Size == 0 {
		return nil, fmt.Errorf("%w: it is not there", events.ErrSnapshot)
	}
	return bytes.Clone(n.m.snapshots[at].data), nil
}

// DropSnapshot removes a snapshot as events.Log.DropSnapshot does.
func (n *Node) DropSnapshot(ctx context.Context, s events.Snapshot) error {
	if err := n.reach(ctx); err != nil {
		return err
	}
	n.m.change(func() {
		if at := n.m.find(s); at >= 0 {
			n.m.snapshots = slices.Delete(n.m.snapshots, at, at+1)
		}
	})
	return nil
}

// Trim removes the messages before first as events.Log.Trim does.
func (n *Node) Trim(ctx context.Context, first uint64) error {
	if err := n.reach(ctx); err != nil {
		return err
	}
	n.m.Trim(first)
	return nil
}
