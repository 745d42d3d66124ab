package eventstest

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/knell-auth/knell/events"
)

// read reads a part of l and returns the ids of its messages by sequence. It fails the test when a message is not the next
// one or not what it should be.
func read(t *testing.T, l Log, after, upTo uint64) map[uint64]events.ID {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	f := &tail{t: t, last: after, ids: map[uint64]events.ID{}, change: make(chan struct{})}
	if err := l.Read(ctx, after, upTo, f.take); err != nil {
		t.Errorf("read from %d to %d: %v", after, upTo, err)
	}
	return f.ids
}

func checkRead(t *testing.T, c Cluster) {
	acked := fill(t, c.Node("a"), "a", 20)
	for _, part := range []struct{ after, upTo uint64 }{{0, 20}, {3, 9}, {12, 13}, {19, 20}, {7, 7}, {9, 2}} {
		got := read(t, c.Node("b"), part.after, part.upTo)
		want := map[uint64]events.ID{}
		for seq := part.after + 1; seq <= part.upTo; seq++ {
			want[seq] = acked[seq]
		}
		mustHold(t, got, want)
		if len(got) != len(want) {
			t.Errorf("%d messages after %d up to %d", len(got), part.after, part.upTo)
		}
	}
}

// checkReads reads more than one batch several times at once, while the same handle follows the log and appends to it.
func checkReads(t *testing.T, c Cluster) {
	const n = 1200
	l := c.Node("b")
	f := follow(t, l, 0)
	acked := map[uint64]events.ID{}
	var mu sync.Mutex
	var writers sync.WaitGroup
	for range 12 {
		writers.Go(func() {
			for range n / 12 {
				e := newEvent("a")
				seq := appendTo(t, c.Node("a"), e)
				mu.Lock()
				acked[seq] = e.ID
				mu.Unlock()
			}
		})
	}
	writers.Wait()
	var readers sync.WaitGroup
	for i := range uint64(3) {
		readers.Go(func() {
			if got := read(t, l, i, n); len(got) != int(n-i) {
				t.Errorf("%d messages, want %d", len(got), n-i)
			} else {
				mustHold(t, acked, got)
			}
		})
	}
	for range 10 {
		appendTo(t, l, newEvent("b"))
	}
	readers.Wait()
	mustHold(t, f.reach(n+10), acked)
}

func checkReadError(t *testing.T, c Cluster) {
	fill(t, c.Node("a"), "a", 3)
	broken := errors.New("broken")
	calls := 0
	err := c.Node("a").Read(t.Context(), 0, 3, func([]events.Message) error {
		calls++
		return broken
	})
	if !errors.Is(err, broken) || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Node("a").Read(ctx, 0, 3, func([]events.Message) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
}

func checkReadCut(t *testing.T, c Cluster) {
	cutter, ok := c.(Cutter)
	if !ok {
		t.Skip("the cluster cannot cut a node off")
	}
	acked := fill(t, c.Node("a"), "a", 20)
	cutter.Cut("b")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	err := c.Node("b").Read(ctx, 0, 20, func(batch []events.Message) error {
		t.Errorf("a node that is cut off got message %d", batch[0].Seq)
		return nil
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while cut off: %v", err)
	}
	cutter.Heal("b")
	mustHold(t, read(t, c.Node("b"), 0, 20), acked)
}

func checkReadRecreated(t *testing.T, c Cluster) {
	r, ok := c.(Recreator)
	if !ok {
		t.Skip("the cluster cannot re-create its log")
	}
	fill(t, c.Node("a"), "a", 5)
	r.Recreate()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := c.Node("a").Read(ctx, 0, 5, func(batch []events.Message) error {
		t.Errorf("delivered %d of another log", batch[0].Seq)
		return nil
	})
	if !errors.Is(err, events.ErrRewound) {
		t.Errorf("%v", err)
	}
}

// checkTiles: a tile is stored once, whoever does it and however often, and nobody replaces it.
func checkTiles(t *testing.T, c Cluster) {
	a, b := c.Node("a"), c.Node("b")
	if err := errors.Join(a.OpenTiles(t.Context()), b.OpenTiles(t.Context())); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Tile(t.Context(), "e.0.0"); !errors.Is(err, events.ErrNoTile) {
		t.Errorf("a tile that nobody has stored: %v", err)
	}
	data := bytes.Repeat([]byte("0123456789abcdef"), 10<<10/16)
	var work sync.WaitGroup
	for range 8 {
		for _, n := range []Log{a, b} {
			work.Go(func() {
				if err := n.PutTile(t.Context(), "e.0.0", data); err != nil {
					t.Errorf("storing a tile: %v", err)
				}
			})
		}
	}
	work.Wait()
	if err := b.PutTile(t.Context(), "e.0.0", data[1:]); !errors.Is(err, events.ErrOtherTile) {
		t.Errorf("storing another tile of the same name: %v", err)
	}
	if err := b.PutTile(t.Context(), "e.0.1", data[1:]); err != nil {
		t.Error(err)
	}
	for name, want := range map[string][]byte{"e.0.0": data, "e.0.1": data[1:]} {
		if got, err := b.Tile(t.Context(), name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("tile %s: %d bytes, want %d; %v", name, len(got), len(want), err)
		}
	}
}
