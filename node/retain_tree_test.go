package node

import (
	"context"
	"testing"

	"github.com/knell-auth/knell/internal/merkle"
)

// The tree outlives the front of the log: a replica that began with a snapshot signs the heads that all sign, and proves that what was
// signed and what was there before is still in it.
func TestTreeOutlivesTheLog(t *testing.T) {
	retained(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		r.leaves(600)
		leaves, seqs, root := r.treeOf(r.nodes["a"])
		old := r.head(r.nodes["a"])
		if int(old.Size) != len(leaves) || old.Root != root {
			t.Fatalf("the head is of %d leaves, %d are there", old.Size, len(leaves))
		}
		r.await("trimming", func() bool { return r.first() > seqs[300] })
		r.start("d")
		for _, name := range []string{"a", "b", "c"} {
			r.kill(name)
			r.start(name)
		}
		r.sameState()
		r.leaves(300) // more than a tile, by those that began with a snapshot
		r.await("tiles that are stored", func() bool {
			waiting := 0
			for _, n := range r.nodes {
				n.mu.RLock()
				waiting += len(n.state.leaves.waiting)
				n.mu.RUnlock()
			}
			return waiting == 0
		})
		head := r.head(r.nodes["d"])
		for name, n := range r.nodes {
			if h := r.head(n); h != head || h.Size < old.Size+300 {
				t.Errorf("%s signs %v, d %v", name, h, head)
			}
			c := must(merkle.ParseConsistency(must(n.ProveConsistency(ctx, old.Size, head.Size))(t)))(t)
			if !merkle.Extends(old.Size, old.Root, head.Size, head.Root, c.Path) {
				t.Errorf("%s: the old head is not proven to be in the new one", name)
			}
			p := must(merkle.ParseProof(must(n.ProveEvent(ctx, seqs[7]))(t)))(t)
			if leaf := merkle.LeafHash(append([]byte{0}, leaves[7]...)); !merkle.Included(leaf, 7, head.Size, head.Root, p.Path) {
				t.Errorf("%s does not prove a leaf that was trimmed", name)
			}
		}
	})
}

// No snapshot is taken while a full tile is in no other place than the memory of the replicas.
func TestSnapshotAwaitsTiles(t *testing.T) {
	retained(t, func(t *testing.T, r *rig) {
		r.await("a snapshot that is due", func() bool {
			n := r.nodes["a"]
			for _, other := range r.nodes {
				other.mu.RLock()
				if other.state.keeper() == other.life.inc {
					n = other
				}
				other.mu.RUnlock()
			}
			due := n.plan(false).snapshot != 0
			n.mu.Lock()
			waiting := n.state.leaves.waiting
			n.state.leaves.waiting = []fullTile{{}}
			n.mu.Unlock()
			if p := n.plan(false); p.snapshot != 0 {
				t.Errorf("a snapshot at %d", p.snapshot)
			}
			n.mu.Lock()
			n.state.leaves.waiting = waiting
			n.mu.Unlock()
			return due
		})
	}, func(c *Config) { c.Retention.Every = 1 })
}
