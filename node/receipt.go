package node

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/fence"
	"github.com/knell-auth/knell/internal/merkle"
)

// Receipt is what somebody can show who has asked for an end and was told that it is complete. It verifies offline, with the key of
// the log (docs/verifiable.md).
type Receipt struct {
	// Proof says that the event is in the log, with the event as its extra data: a C2SP tlog-proof.
	Proof string `json:"proof" doc:"That the event is in the log: a c2sp.org/tlog-proof@v1, with the event as its extra data."`
	// Statement says of each replica how it is known that it does not decide without the event: a signed note.
	Statement string `json:"statement" doc:"Of each replica, how it is known that it does not decide without the event: a signed note."`
}

// receiptHead is the first line of a receipt's statement. No checkpoint begins so: the name of a log is knell/ and its epoch.
const receiptHead = "knell receipt v1"

// Follower is a replica that a command was complete for.
type Follower struct {
	Node        string
	Incarnation events.ID
	How         string // "applied", "lease-ended" or "left"
}

// Receipt returns the receipt of the command whose Timing this is, and nil if there is nothing to show: its event is not the one that
// did what was asked for, or somebody may still decide without it. ErrNotCurrent and the errors of ProveEvent.
func (n *Node) Receipt(ctx context.Context, t *Timing) (*Receipt, error) {
	if !t.Complete || t.Seq == 0 || len(t.Followers) == 0 {
		return nil, nil
	}
	var r *Receipt
	err := n.withTree(func(v *treeView) error {
		index, err := v.indexOf(ctx, t.Seq)
		if err != nil {
			return err
		}
		proof, leaf, err := v.prove(ctx, index, t.Seq)
		if err != nil {
			return err
		}
		key, err := logKey(v.epoch, v.hashKey)
		if err != nil {
			return err
		}
		statement, err := note.Sign(&note.Note{Text: t.statement(key.Name(), index, leaf)}, key)
		if err == nil {
			r = &Receipt{string(proof.Text()), string(statement)}
		}
		return err
	})
	return r, err
}

// statement returns the text of a receipt.
func (t *Timing) statement(log string, index uint64, leaf merkle.Hash) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nlog %s\nsequence %d\nindex %d\nleaf %s\n", receiptHead, log, t.Seq, index, leaf)
	for _, f := range t.Followers {
		fmt.Fprintf(&b, "replica %s %s %s\n", f.Node, f.Incarnation, f.How)
	}
	return b.String()
}

// noteFollowers writes down how the replicas stand that could hold a lease when the barrier of wt began. wt is complete.
func (n *Node) noteFollowers(t *Timing, wt *waiter) {
	k := &n.keeping
	k.mu.Lock()
	defer k.mu.Unlock()
	now := n.clock.read()
	t.Seq, t.Followers = wt.seq, []Follower{{n.cfg.Name, n.life.inc, fence.Applied.String()}}
	for _, h := range wt.holders {
		how := k.machine.Standing(fence.Incarnation(h.Incarnation), wt.seq, now)
		if how == fence.MayAnswer { // a build that is broken on purpose
			t.Followers = nil
			return
		}
		h.How = how.String()
		t.Followers = append(t.Followers, h)
	}
}

// holdersLocked returns the other replicas that may hold a lease now. k.mu is held.
func (n *Node) holdersLocked() []Follower {
	k := &n.keeping
	var list []Follower
	for _, h := range k.machine.Holders(n.clock.read()) {
		if inc := events.ID(h.Inc); inc != n.life.inc {
			list = append(list, Follower{Node: k.nameLocked(h.Inc), Incarnation: inc})
		}
	}
	return list
}
