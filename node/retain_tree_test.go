package node

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/knell-auth/knell/events/eventstest"
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

// noTiles is a log that stores no tiles as long as it says so.
type noTiles struct {
	*eventstest.Node
	refuses *atomic.Bool
}

// PutTile implements Log.
func (l noTiles) PutTile(ctx context.Context, name string, data []byte) error {
	if l.refuses.Load() {
		return errors.New("no room for tiles")
	}
	return l.Node.PutTile(ctx, name, data)
}

// No replica stores a snapshot, nor says that it has made one, while a full tile of it is in no other place than the memory of the replicas:
// who began with it could never make that tile.
func TestNoSnapshotBeforeItsTiles(t *testing.T) {
	var refuses atomic.Bool
	refuses.Store(true)
	retained(t, func(t *testing.T, r *rig) {
		r.leaves(300)
		n := r.nodes["a"]
		n.mu.RLock()
		full := n.state.leaves.starts[1] // behind the first full tile
		n.mu.RUnlock()
		r.await("the time of twenty snapshots", func() bool { return n.hot.applied.Load() > full+20*testEvery })
		for _, s := range must(r.links["b"].Snapshots(context.Background()))(t) {
			if s.Seq >= full {
				t.Errorf("a snapshot at %d is stored, and a tile that was full before %d is not", s.Seq, full)
			}
		}
		if seq := r.verified("a"); seq >= full {
			t.Errorf("the snapshot at %d is said to be good", seq)
		}
		refuses.Store(false)
		r.await("a snapshot", func() bool { return r.verified("a") > full })
	}, func(c *Config) { c.Log = noTiles{c.Log.(*eventstest.Node), &refuses} })
}

// Tiles are waited for up to those of the snapshot, and not for ever.
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
