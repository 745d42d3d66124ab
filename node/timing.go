package node

import (
	"context"
	"slices"
	"strings"
	"time"
)

// Timing says where the time of a command went that every replica has to follow.
type Timing struct {
	Applied  bool          // by this replica's own apply loop
	Commit   time.Duration // until then; 0: the event lay in the log already
	Complete bool          // no other replica can decide without it any more
	Barrier  time.Duration // from own apply until then
	Last     string        // the replica that was waited for last; "": nobody had to be waited for

	// Receipt says that a receipt is wanted; it is to be set before the command runs. Seq and Followers are what it needs: the
	// sequence of the event that did what was asked for, and the replicas that follow it.
	Receipt   bool
	Seq       uint64
	Followers []Follower
}

type timingKey struct{}

// WithTiming returns a context whose command notes in the Timing where its time goes. It is for one command, and to be read
// when that has returned.
func WithTiming(ctx context.Context) (context.Context, *Timing) {
	t := &Timing{}
	return context.WithValue(ctx, timingKey{}, t), t
}

// timingOf returns the Timing of a command, nil if nobody wants one.
func timingOf(ctx context.Context) *Timing {
	t, _ := ctx.Value(timingKey{}).(*Timing)
	return t
}

// wantsReceipt reports whether a receipt of a command is wanted.
func wantsReceipt(ctx context.Context) bool {
	t := timingOf(ctx)
	return t != nil && t.Receipt
}

// noteTiming writes down what is known of a command that began then. wt is final, or removed.
func (n *Node) noteTiming(ctx context.Context, wt *waiter, began time.Time) {
	t := timingOf(ctx)
	if t == nil || wt.applied.IsZero() {
		return
	}
	t.Applied = true
	t.Commit += wt.applied.Sub(began) // of an event that lost a race, and then of the one that it lost against
	if !wt.complete.IsZero() {
		t.Complete, t.Barrier, t.Last = true, wt.complete.Sub(wt.applied), wt.last
		if wt.receipt {
			n.noteFollowers(t, wt)
		}
	}
}

// oldest returns the lowest sequence that a barrier waits for, 0 when none waits.
func (w *waiters) oldest() (seq uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, wt := range w.byTag {
		if seq == 0 || wt.seq < seq {
			seq = wt.seq
		}
	}
	return seq
}

// noteSilent notes whom the oldest barrier waits for. Barriers end in the order of their sequences, so all of them do.
// When a horizon passes nobody says anything: then it was one of these that was waited for.
func (n *Node) noteSilent() {
	seq := n.wait.oldest()
	k := &n.keeping
	k.mu.Lock()
	defer k.mu.Unlock()
	k.silent = k.silent[:0]
	if seq == 0 {
		return
	}
	who, _ := k.machine.Pending(seq, n.clock.read())
	for _, inc := range who {
		k.silent = append(k.silent, k.nameLocked(inc))
	}
}

// lastLocked returns whom the barriers waited for last that end now that something was heard of from ("": time has passed).
func (k *keeping) lastLocked(from string) string {
	last := from
	if len(k.silent) > 0 && !slices.Contains(k.silent, from) {
		last = strings.Join(k.silent, " ")
	}
	k.silent = k.silent[:0]
	return last
}
