package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/merkle"
)

// leaves appends so many events, at one replica after the other, and waits until all have applied them.
func (r *rig) leaves(count int) {
	r.t.Helper()
	names := []string{"a", "b", "c"}
	for i := range count {
		name := names[i%len(names)]
		n := r.nodes[name]
		if n == nil {
			continue
		}
		e := n.newEvent(&events.LoginFailed{Cause: "password"}, "nobody", Origin{Reason: fmt.Sprint(i)})
		must(r.links[name].Append(context.Background(), e))(r.t)
	}
	synctest.Wait()
}

// treeOf computes the tree from the log itself: all that a leaf depends on is the message, whether it is void, and the log's key.
func (r *rig) treeOf(n *Node) (leaves [][]byte, seqs []uint64, root merkle.Hash) {
	r.t.Helper()
	var tree merkle.Range
	for _, m := range r.log.Messages() {
		if strings.HasPrefix(m.Subject, "knell.node.") {
			continue
		}
		void := string(n.state.past.void(m.Seq))
		var leaf []byte
		if strings.HasPrefix(m.Subject, "knell.event.") {
			leaf = events.AppendLeaf(nil, m.Seq, void, m.Data)
		} else {
			salt := leafSalt(n.state.hashKey, m.Seq)
			leaf = events.AppendSealed(nil, m.Seq, void, salt[:], m.Data)
		}
		leaves, seqs = append(leaves, leaf), append(seqs, m.Seq)
		tree.Append(merkle.LeafHash(append([]byte{0}, leaf...)))
	}
	return leaves, seqs, tree.Root()
}

func (r *rig) verifier(n *Node) note.Verifier {
	r.t.Helper()
	return must(note.NewVerifier(must(n.LogKey())(r.t)))(r.t)
}

func (r *rig) head(n *Node) merkle.Checkpoint {
	r.t.Helper()
	return must(merkle.OpenCheckpoint(must(n.Checkpoint(context.Background(), 0))(r.t), r.verifier(n)))(r.t)
}

// TestTreeIsTheLogs: every replica signs the same head, which anybody computes from the log; each leaf is proven, and no other
// message.
func TestTreeIsTheLogs(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		r.leaves(600)
		r.login("b")
		time.Sleep(time.Second)
		leaves, seqs, root := r.treeOf(r.nodes["a"])
		var first []byte
		for name, n := range r.nodes {
			msg := must(n.Checkpoint(ctx, 0))(t)
			if first == nil {
				first = msg
			}
			if head := r.head(n); !bytes.Equal(msg, first) || head.Size != uint64(len(leaves)) || head.Root != root {
				t.Fatalf("%s signs %d leaves with %s, the log has %d with %s", name, head.Size, head.Root, len(leaves), root)
			}
		}
		n := r.nodes["c"]
		at := map[uint64]int{}
		for i, seq := range seqs {
			at[seq] = i
		}
		for seq := uint64(1); seq <= r.log.Messages()[len(r.log.Messages())-1].Seq; seq++ {
			proof, err := n.ProveEvent(ctx, seq)
			i, isLeaf := at[seq]
			if !isLeaf {
				if !errors.Is(err, ErrNoLeaf) {
					t.Fatalf("message %d is no leaf, and is proven: %v", seq, err)
				}
				continue
			}
			if err != nil {
				t.Fatalf("event %d: %v", seq, err)
			}
			p := must(merkle.ParseProof(proof))(t)
			head := must(merkle.OpenCheckpoint(p.Checkpoint, r.verifier(n)))(t)
			leaf := merkle.LeafHash(append([]byte{0}, leaves[i]...))
			if p.Index != uint64(i) || !bytes.Equal(p.Extra, leaves[i]) || !merkle.Included(leaf, p.Index, head.Size, head.Root, p.Path) {
				t.Fatalf("event %d: the proof is of leaf %d: %s", seq, p.Index, p.Extra)
			}
		}
		if _, err := n.ProveEvent(ctx, 1<<40); !errors.Is(err, ErrBadRequest) {
			t.Errorf("an event of the future: %v", err)
		}
		r.same()
	})
}

// TestTiles: tiles and bundles are those of the tree, of any width that it has, and of no other.
func TestTiles(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		r.leaves(600)
		n := r.nodes["a"]
		leaves, _, root := r.treeOf(n)
		read := func(ctx context.Context, tile merkle.Tile) ([]byte, error) { return n.TreeTile(ctx, tile.Path()) }
		size := uint64(len(leaves))
		for i := uint64(0); i < size; i += 37 {
			if _, leaf, err := merkle.Include(ctx, i, size, root, read); err != nil || leaf != merkle.LeafHash(append([]byte{0}, leaves[i]...)) {
				t.Fatalf("leaf %d by tiles: %v", i, err)
			}
		}
		for _, width := range []int{1, 7, 255, 256} {
			tile := merkle.Tile{Level: merkle.Entries, N: 1, Width: width}
			var want []byte
			for _, leaf := range leaves[256 : 256+width] {
				want = merkle.AppendEntry(want, leaf)
			}
			if got, err := n.TreeTile(ctx, tile.Path()); err != nil || !bytes.Equal(got, want) {
				t.Errorf("bundle of %d: %d bytes, want %d, %v", width, len(got), len(want), err)
			}
		}
		edge := int(size % 256)
		for path, want := range map[string]error{
			merkle.Tile{Level: 0, N: 2, Width: edge}.Path():                  nil,
			merkle.Tile{Level: 0, N: 2, Width: edge + 1}.Path():              ErrNoLeaf, // a width that the tree does not have
			merkle.Tile{Level: merkle.Entries, N: 2, Width: edge + 1}.Path(): ErrNoLeaf,
			"0/002": ErrNoLeaf, "0/003.p/1": ErrNoLeaf, "1/000.p/2": nil, "1/000.p/3": ErrNoLeaf, "2/000.p/1": ErrNoLeaf, "entries/003": ErrNoLeaf,
			"0/000.p/0": ErrBadRequest, "0/000.p/257": ErrBadRequest, "x": ErrBadRequest, "0/x999/x999/x999/999": ErrNoLeaf,
		} {
			if _, err := n.TreeTile(ctx, path); !errors.Is(err, want) || (err == nil) != (want == nil) {
				t.Errorf("tile %s: %v, want %v", path, err, want)
			}
		}
	})
}

// TestTreeGrows: heads of any size are consistent with each other.
func TestTreeGrows(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		r.leaves(300)
		n := r.nodes["b"]
		old := r.head(n)
		r.leaves(300)
		key := r.verifier(n)
		for _, from := range []uint64{0, 1, 255, 256, old.Size} {
			for _, to := range []uint64{old.Size, 512, 0} {
				text, err := n.ProveConsistency(ctx, from, to)
				if err != nil {
					t.Fatalf("from %d to %d: %v", from, to, err)
				}
				c := must(merkle.ParseConsistency(text))(t)
				head := must(merkle.OpenCheckpoint(c.Checkpoint, key))(t)
				first := must(merkle.OpenCheckpoint(must(n.Checkpoint(ctx, max(from, 1)))(t), key))(t)
				if from == 0 {
					first.Size, first.Root = 0, (&merkle.Range{}).Root()
				}
				if to != 0 && head.Size != to || !merkle.Extends(first.Size, first.Root, head.Size, head.Root, c.Path) {
					t.Errorf("from %d to %d: not proven", from, to)
				}
				if from == old.Size && first.Root != old.Root {
					t.Error("the head of a size is not what it was when the log was so large")
				}
			}
		}
		if _, err := n.ProveConsistency(ctx, 300, 200); !errors.Is(err, ErrBadRequest) {
			t.Errorf("to a smaller size: %v", err)
		}
		if _, err := n.Checkpoint(ctx, 1<<40); !errors.Is(err, ErrNoLeaf) {
			t.Errorf("of a size that the log does not have: %v", err)
		}
	})
}

// TestTreeAfterRestart: a replica that was killed at any point computes the same tree, and asks for tiles that others have stored.
func TestTreeAfterRestart(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		for round, count := range []int{100, 157, 255, 3, 256, 300} {
			r.leaves(count)
			if round%2 == 0 {
				time.Sleep(time.Duration(round) * 3 * time.Second) // tiles are stored, or not
			}
			r.kill("b")
			r.leaves(10)
			r.start("b")
			synctest.Wait()
			_, _, root := r.treeOf(r.nodes["a"])
			for name, n := range r.nodes {
				if head := r.head(n); head.Root != root {
					t.Fatalf("round %d: %s signs %s, the log has %s", round, name, head.Root, root)
				}
			}
			r.same()
		}
		time.Sleep(2 * tilePatience)
		_, seqs, _ := r.treeOf(r.nodes["a"])
		for name, n := range r.nodes {
			n.mu.RLock()
			if left := len(n.state.leaves.waiting); left > 0 {
				t.Errorf("%s keeps %d tiles that are stored", name, left)
			}
			n.mu.RUnlock()
			if proof, err := n.ProveEvent(context.Background(), seqs[5]); err != nil {
				t.Errorf("%s: %s, %v", name, proof, err)
			}
		}
	})
}

// TestTileOfTheDead: when the author of what made a tile full dies, another replica stores it.
func TestTileOfTheDead(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.links["a"].OnAppend(nil)
		for i := 0; r.head(r.nodes["b"]).Size%256 != 255; i++ {
			must(r.links["b"].Append(context.Background(), r.nodes["b"].newEvent(&events.LoginFailed{Cause: "x"}, "y", Origin{})))(t)
			synctest.Wait()
		}
		e := r.nodes["a"].newEvent(&events.LoginFailed{Cause: "x"}, "y", Origin{})
		r.kill("a")
		must(r.links["a"].Append(context.Background(), e))(t) // its last word
		synctest.Wait()
		name := tileName(r.nodes["b"].epoch(), 0, 0)
		if _, err := r.links["b"].Tile(context.Background(), name); !errors.Is(err, events.ErrNoTile) {
			t.Fatalf("stored at once: %v", err)
		}
		time.Sleep(2 * tilePatience)
		if _, err := r.links["b"].Tile(context.Background(), name); err != nil {
			t.Errorf("not stored after %v: %v", 2*tilePatience, err)
		}
	})
}

// TestForeignTile: what somebody else has put in the place of a tile gets into no proof and no head.
func TestForeignTile(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		r.leaves(600)
		time.Sleep(2 * tilePatience)
		n := r.nodes["a"]
		_, seqs, _ := r.treeOf(n)
		name := tileName(n.epoch(), 0, 0)
		good := must(r.links["a"].Tile(ctx, name))(t)
		forged := bytes.Clone(good)
		forged[32*40] ^= 1
		r.log.SetTile(name, forged)
		if _, err := n.ProveEvent(ctx, seqs[40]); !errors.Is(err, errOtherTree) {
			t.Errorf("a proof of a forged hash: %v", err)
		}
		if _, err := n.Checkpoint(ctx, 41); !errors.Is(err, errOtherTree) {
			t.Errorf("a head of forged hashes: %v", err)
		}
		if _, err := n.TreeTile(ctx, "entries/000"); !errors.Is(err, errOtherTree) {
			t.Errorf("a bundle beside forged hashes: %v", err)
		}
		r.log.SetTile(name, good[:100])
		if _, err := n.ProveEvent(ctx, seqs[40]); !errors.Is(err, errOtherTree) {
			t.Errorf("a tile that was cut: %v", err)
		}
		r.log.SetTile(name, nil)
		if _, err := n.ProveEvent(ctx, seqs[40]); !errors.Is(err, ErrNotCurrent) {
			t.Errorf("a tile that is not there: %v", err)
		}
		r.log.SetTile(name, good)
		must(n.ProveEvent(ctx, seqs[40]))(t)
	})
}

// TestTrimmedLeaves: when the log was trimmed, its leaves keep their hashes, and proofs go on.
func TestTrimmedLeaves(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		r.leaves(600)
		time.Sleep(2 * tilePatience)
		n := r.nodes["a"]
		leaves, seqs, root := r.treeOf(n)
		r.log.Trim(seqs[300])
		p := must(merkle.ParseProof(must(n.ProveEvent(ctx, seqs[7]))(t)))(t)
		if p.Extra != nil || !merkle.Included(merkle.LeafHash(append([]byte{0}, leaves[7]...)), 7, uint64(len(leaves)), root, p.Path) {
			t.Errorf("trimmed leaf: %s", p.Text())
		}
		for path, want := range map[string]error{"entries/000": ErrTrimmed, "entries/001": ErrTrimmed, "entries/002.p/9": nil, "0/000": nil} {
			if _, err := n.TreeTile(ctx, path); !errors.Is(err, want) || (err == nil) != (want == nil) {
				t.Errorf("tile %s: %v, want %v", path, err, want)
			}
		}
		front := must(n.LeavesBefore(ctx, seqs[300]))(t)
		var tree merkle.Range
		for _, leaf := range leaves[:300] {
			tree.Append(merkle.LeafHash(append([]byte{0}, leaf...)))
		}
		if front.Size != 300 || fmt.Sprint(front.Hashes) != fmt.Sprint(tree.Hashes()) {
			t.Errorf("range of %d leaves: %v, want %v", front.Size, front.Hashes, tree.Hashes())
		}
	})
}
