package node

import (
	"context"
	"strings"
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

// A snapshot is not stored while a full tile of it is in no other place than the memory of the replicas.
func TestSnapshotAwaitsTiles(t *testing.T) {
	retained(t, func(t *testing.T, r *rig) {
		n := r.nodes["a"]
		put := func(waiting []fullTile) {
			n.mu.Lock()
			n.state.leaves.waiting = waiting
			n.mu.Unlock()
		}
		r.links["a"].Cut() // nothing can be stored
		put([]fullTile{{order: 7, name: "x"}})
		if err := n.awaitTiles(context.Background(), 7); err == nil || !strings.Contains(err.Error(), "not stored yet") {
			t.Errorf("the newest tile is not stored: %v", err)
		}
		for _, order := range []uint64{0, 6} {
			if err := n.awaitTiles(context.Background(), order); err != nil {
				t.Errorf("up to %d all are stored: %v", order, err)
			}
		}
		put(nil)
		r.links["a"].Heal()
	})
}
