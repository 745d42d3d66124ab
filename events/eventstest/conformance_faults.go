package eventstest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/knell-auth/knell/events"
)

func checkNotices(t *testing.T, c Cluster) {
	type heard struct{ at, from, data string }
	all := make(chan heard, 1000)
	stops := map[string]func(){}
	for _, name := range []string{"a", "b", "c"} {
		stop, err := c.Node(name).Listen(func(from string, data []byte) { all <- heard{name, from, string(data)} })
		if err != nil {
			t.Fatal(err)
		}
		stops[name] = stop
	}
	defer stops["a"]()
	defer stops["c"]()
	// A notice may be lost, for instance while the servers do not know yet who listens: so it is repeated.
	hear := func(from Log, to string, want heard) {
		t.Helper()
		again, deadline := time.NewTicker(10*time.Millisecond), time.After(patience)
		defer again.Stop()
		for {
			if err := from.Tell(to, []byte(want.data)); err != nil {
				t.Fatal(err)
			}
			select {
			case got := <-all:
				if got == want {
					return
				}
				if got.at != to || got.data == want.data {
					t.Fatalf("heard %+v, want %+v", got, want)
				}
			case <-again.C:
			case <-deadline:
				t.Fatalf("%+v was not heard", want)
			}
		}
	}
	hear(c.Node("a"), "b", heard{"b", "a", "one"})
	hear(c.Node("c"), "b", heard{"b", "c", "two"})
	stops["b"]()
	if err := c.Node("a").Tell("b", []byte("three")); err != nil {
		t.Fatal(err)
	}
	// Whatever comes to b now would come before this one.
	again, deadline := time.NewTicker(10*time.Millisecond), time.After(patience)
	defer again.Stop()
	for {
		c.Node("a").Tell("c", []byte("four"))
		select {
		case got := <-all:
			if got.data == "three" {
				t.Fatal("b heard something after it had stopped to listen")
			}
			if got.at == "c" {
				if err := c.Node("a").Tell("x.>", nil); err == nil {
					t.Error("told a wildcard")
				}
				return
			}
		case <-again.C:
		case <-deadline:
			t.Fatal("c hears nothing")
		}
	}
}

func checkCut(t *testing.T, c Cluster) {
	cutter, ok := c.(Cutter)
	if !ok {
		t.Skip("the cluster cannot cut a node off")
	}
	f := follow(t, c.Node("b"), 0)
	acked := fill(t, c.Node("a"), "a", 5)
	f.reach(5)
	cutter.Cut("b")
	for seq, id := range fill(t, c.Node("a"), "a", 40) {
		acked[seq] = id
	}
	f.mu.Lock()
	last := f.last
	f.mu.Unlock()
	if last != 5 {
		t.Errorf("a node that is cut off got message %d", last)
	}
	cutter.Heal("b")
	seq := appendTo(t, c.Node("b"), newEvent("b"))
	mustHold(t, f.reach(seq), acked)
}

func checkUnknown(t *testing.T, c Cluster) {
	cutter, ok := c.(Cutter)
	if !ok {
		t.Skip("the cluster cannot cut a node off")
	}
	appendTo(t, c.Node("a"), newEvent("a"))
	f := follow(t, c.Node("b"), 0)
	cutter.Cut("a")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	e := newEvent("a")
	if seq, err := c.Node("a").Append(ctx, e); !errors.Is(err, events.ErrUnknown) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("append while cut off: %d, %v", seq, err)
	}
	cutter.Heal("a")
	seq := appendTo(t, c.Node("a"), e)
	last := appendTo(t, c.Node("a"), newEvent("a"))
	n := 0
	for at, id := range f.reach(last) {
		if id == e.ID {
			n++
			if at != seq {
				t.Errorf("acknowledged at %d, found at %d", seq, at)
			}
		}
	}
	if n != 1 {
		t.Errorf("the event is there %d times", n)
	}
}

func checkRecreated(t *testing.T, c Cluster) {
	r, ok := c.(Recreator)
	if !ok {
		t.Skip("the cluster cannot re-create its log")
	}
	fill(t, c.Node("a"), "a", 5)
	f := follow(t, c.Node("a"), 0)
	f.reach(5)
	r.Recreate()
	if err := f.end(); !errors.Is(err, events.ErrRewound) {
		t.Errorf("follow: %v", err)
	}
	// Nor can the old handle be used to go on.
	if err := c.Node("a").Follow(t.Context(), 0, func([]events.Message) error { return nil }); !errors.Is(err, events.ErrRewound) {
		t.Errorf("follow again: %v", err)
	}
}

func checkRecreatedAppend(t *testing.T, c Cluster) {
	r, ok := c.(Recreator)
	if !ok {
		t.Skip("the cluster cannot re-create its log")
	}
	fill(t, c.Node("a"), "a", 5)
	f := follow(t, c.Node("a"), 0)
	f.reach(5)
	r.Recreate()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if seq, err := c.Node("a").Append(ctx, newEvent("a")); !errors.Is(err, events.ErrRewound) {
		t.Errorf("append: %d, %v", seq, err)
	}
	if err := f.end(); !errors.Is(err, events.ErrRewound) {
		t.Errorf("follow: %v", err)
	}
}

// checkShort follows and reads at the same time, because both take their time to be sure.
func checkShort(t *testing.T, c Cluster) {
	fill(t, c.Node("a"), "a", 3)
	none := func(batch []events.Message) error {
		t.Errorf("delivered %d", batch[0].Seq)
		return nil
	}
	read := make(chan error, 1)
	go func() { read <- c.Node("b").Read(t.Context(), 0, 10, none) }()
	if err := c.Node("a").Follow(t.Context(), 10, none); !errors.Is(err, events.ErrRewound) {
		t.Errorf("follow: %v", err)
	}
	if err := <-read; !errors.Is(err, events.ErrRewound) {
		t.Errorf("read: %v", err)
	}
}
