package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/events/eventstest"
	"github.com/knell-auth/knell/internal/merkle"
)

// receiptOf runs a command that a receipt is wanted of.
func receiptOf(t *testing.T, n *Node, command func(context.Context) error) (*Receipt, *Timing) {
	t.Helper()
	ctx, timing := WithTiming(context.Background())
	timing.Receipt = true
	if err := command(ctx); err != nil {
		t.Fatal(err)
	}
	return must(n.Receipt(context.Background(), timing))(t), timing
}

// check opens a receipt and returns its event, and what it says of the replicas: name and how.
func (r *rig) check(n *Node, got *Receipt) (event string, replicas []string) {
	r.t.Helper()
	if got == nil {
		r.t.Fatal("no receipt")
	}
	key := r.verifier(n)
	p := must(merkle.ParseProof([]byte(got.Proof)))(r.t)
	head := must(merkle.OpenCheckpoint(p.Checkpoint, key))(r.t)
	leaf := merkle.LeafHash(append([]byte{0}, p.Extra...))
	if !merkle.Included(leaf, p.Index, head.Size, head.Root, p.Path) {
		r.t.Error("the event of the receipt is not in the log")
	}
	text := must(merkle.OpenNote([]byte(got.Statement), key))(r.t)
	line := must(events.LeafOf(p.Extra))(r.t)
	want := fmt.Sprintf("knell receipt v1\nlog %s\nsequence %d\nindex %d\nleaf %s\n", key.Name(), line.Seq, p.Index, leaf)
	rest, ok := strings.CutPrefix(text, want)
	if !ok {
		r.t.Errorf("the statement is\n%swant\n%s", text, want)
	}
	for line := range strings.Lines(rest) {
		words := strings.Fields(line)
		replicas = append(replicas, words[1]+" "+words[3])
	}
	slices.Sort(replicas)
	return string(p.Extra), replicas
}

func same(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("the receipt says %q, want %q", got, want)
	}
}

// TestReceipt: a receipt has the event, and every replica that could hold a lease, with what is known of it.
func TestReceipt(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		a, b := r.nodes["a"], r.nodes["b"]
		tok := r.login("a")
		got, _ := receiptOf(t, a, func(ctx context.Context) error { return a.Logout(ctx, tok.AccessToken, Origin{Reason: "bye"}) })
		event, replicas := r.check(a, got)
		if !strings.Contains(event, `"type":"knell.revoked.session"`) || !strings.Contains(event, tok.Session.String()) || !strings.Contains(event, "bye") {
			t.Errorf("it is about %s", event)
		}
		same(t, replicas, "a applied", "b applied", "c applied")

		// Whoever repeats a logout, elsewhere, is shown the event that did it.
		again, _ := receiptOf(t, b, func(ctx context.Context) error { return b.Logout(ctx, tok.AccessToken, Origin{}) })
		if other, _ := r.check(b, again); other != event {
			t.Errorf("the repeated logout shows %s", other)
		}

		// What is cut off is shown to have no lease, and what is gone too.
		tok = r.login("a")
		r.accepted(tok)
		r.links["c"].Cut()
		got, _ = receiptOf(t, a, func(ctx context.Context) error { return a.Logout(ctx, tok.AccessToken, Origin{}) })
		_, replicas = r.check(a, got)
		same(t, replicas, "a applied", "b applied", "c lease-ended")
		r.refusedOrSilent(tok)
		r.links["c"].Heal()
	})
}

// TestReceiptOfWhatLeft: a replica that says goodbye while it is waited for.
func TestReceiptOfWhatLeft(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		a := r.nodes["a"]
		tok := r.login("a")
		r.accepted(tok)
		r.links["c"].DropNotices(func(string, []byte) bool { return true }) // no report
		r.links["c"].SetDelays(eventstest.Delays{Deliver: 200 * time.Millisecond})
		done := make(chan []string)
		go func() {
			got, _ := receiptOf(t, a, func(ctx context.Context) error { return a.Logout(ctx, tok.AccessToken, Origin{}) })
			_, replicas := r.check(a, got)
			done <- replicas
		}()
		synctest.Wait()
		c := r.nodes["c"]
		delete(r.nodes, "c")
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := c.Close(ctx); err != nil {
			t.Fatal(err)
		}
		same(t, <-done, "a applied", "b applied", "c left")
	})
}

// TestNoReceipt: there is none of what was not asked for, did not happen, or is not complete.
func TestNoReceipt(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		a := r.nodes["a"]
		tok := r.login("a")
		ctx, timing := WithTiming(context.Background())
		if err := a.Logout(ctx, tok.AccessToken, Origin{}); err != nil {
			t.Fatal(err)
		}
		if got, err := a.Receipt(ctx, timing); got != nil || err != nil {
			t.Errorf("of what nobody wanted one: %+v, %v", got, err)
		}
		id := must(a.UserNamed("alice"))(t).ID
		if err := a.DisableUser(context.Background(), id, Origin{Actor: "x"}); err != nil {
			t.Fatal(err)
		}
		// Disabled already: what is in the log for it is void.
		got, timing := receiptOf(t, a, func(ctx context.Context) error { return a.DisableUser(ctx, id, Origin{Actor: "x"}) })
		if got != nil {
			t.Errorf("of what changed nothing: %+v", timing)
		}
		if err := a.EnableUser(context.Background(), id, Origin{Actor: "x"}); err != nil {
			t.Fatal(err)
		}
		tok = r.login("a")
		r.accepted(tok)
		r.links["c"].Cut()
		ctx, timing = WithTiming(context.Background())
		timing.Receipt = true
		short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		defer cancel()
		var pending *PendingError
		if err := a.Logout(short, tok.AccessToken, Origin{}); !errors.As(err, &pending) {
			t.Fatal(err)
		}
		if got, err := a.Receipt(context.Background(), timing); got != nil || err != nil {
			t.Errorf("of what is pending: %+v, %v", got, err)
		}
		r.links["c"].Heal()
	})
}
