package node

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/fence"
	"github.com/knell-auth/knell/internal/merkle"
)

// TestTreeNeedsLease: nothing is signed or proven by a replica that cannot prove that it is current.
func TestTreeNeedsLease(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		n := r.nodes["a"]
		r.links["a"].Cut()
		time.Sleep(10 * time.Second)
		for what, ask := range map[string]func() error{
			"key":         func() error { _, err := n.LogKey(); return err },
			"checkpoint":  func() error { _, err := n.Checkpoint(ctx, 0); return err },
			"tile":        func() error { _, err := n.TreeTile(ctx, "0/000.p/1"); return err },
			"bundle":      func() error { _, err := n.TreeTile(ctx, "entries/000.p/1"); return err },
			"proof":       func() error { _, err := n.ProveEvent(ctx, 1); return err },
			"consistency": func() error { _, err := n.ProveConsistency(ctx, 1, 2); return err },
			"range":       func() error { _, err := n.LeavesBefore(ctx, 2); return err },
		} {
			if err := ask(); !errors.Is(err, ErrNotCurrent) {
				t.Errorf("%s: %v", what, err)
			}
		}
		r.links["a"].Heal()
	})
}

// TestSecretsAreSealed: what a tree, a bundle or a page says of secrets is neither their text nor the same for the same text.
func TestSecretsAreSealed(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		n := r.nodes["a"]
		if err := n.SetPassword(ctx, must(n.UserNamed("alice"))(t).ID, "another-password-1", Origin{}); err != nil {
			t.Fatal(err)
		}
		var secrets [][]byte
		for _, m := range r.log.Messages() {
			if strings.HasPrefix(m.Subject, "knell.secret.") {
				var e events.Event
				if err := events.Decode(m.Data, &e); err != nil {
					t.Fatal(err)
				}
				id := e.ID.String()
				secrets = append(secrets, []byte(id))
				if d, ok := e.Data.(*events.SecretPassword); ok {
					secrets = append(secrets, []byte(d.Hash[len(d.Hash)-20:]))
				}
			}
		}
		secrets = append(secrets, n.state.hashKey)
		head := r.head(n)
		seen := must(n.TreeTile(ctx, merkle.Tile{Level: merkle.Entries, N: 0, Width: int(head.Size)}.Path()))(t)
		sealed := 0
		_, err := n.ReadEvents(ctx, EventQuery{Sealed: true}, 1000, func(b EventBatch) error {
			for _, e := range b.Events {
				line := e.AppendJSON(nil)
				seen = append(seen, line...)
				if l := must(events.LeafOf(line))(t); l.Sealed {
					sealed++
				}
			}
			return nil
		})
		if err != nil || sealed < 3 { // log.started, the user, the password
			t.Errorf("%d sealed leaves, %v", sealed, err)
		}
		for _, secret := range secrets {
			if bytes.Contains(seen, secret) {
				t.Errorf("%q is in a leaf", secret)
			}
		}
		if _, err := n.ReadEvents(ctx, EventQuery{Sealed: true, Subject: "x"}, 1, nil); !errors.Is(err, ErrBadRequest) {
			t.Errorf("sealed leaves with a filter: %v", err)
		}
	})
}

// TestUnboundLeaves: without the sequences in the leaves, what the replicas sign is not what the log is.
func TestUnboundLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.edit = func(c *Config) { c.Break = fence.UnboundLeaf }
		for _, name := range []string{"a", "b", "c"} {
			r.start(name)
		}
		r.user("alice", alicePassword)
		synctest.Wait()
		if _, _, root := r.treeOf(r.nodes["a"]); r.head(r.nodes["a"]).Root == root {
			t.Error("the mutant was not found")
		}
	})
}
