//go:build knell_next

package node

import (
	"context"
	"errors"
	"testing"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/fence"
)

// A command whose event older replicas cannot read is refused as long as one of them is there, in every way in which a node appends;
// one whose event they may pass over is not.
func TestNextVersion(t *testing.T) {
	mixedAt(t, events.Level, func(t *testing.T, r *rig) {
		ctx, a := context.Background(), r.nodes["a"]
		for range 2 {
			var older *OlderError
			if err := a.Next(ctx, false, Origin{}); !errors.As(err, &older) {
				t.Errorf("got %v, want an OlderError", err)
			}
			if _, err := a.write(ctx, a.newEvent(&events.Next{}, "a", Origin{})); !errors.As(err, &older) {
				t.Errorf("in the background: got %v, want an OlderError", err)
			}
			if err := a.Next(ctx, true, Origin{}); err != nil {
				t.Error(err)
			}
		}
		if n := r.count(events.TypeNext); n != 0 {
			t.Errorf("%d events were written", n)
		}
		r.edit = func(c *Config) { c.Break = fence.NoLevels }
		if err := must(r.startAt("d", events.Level))(t).Next(ctx, false, Origin{}); err != nil || r.count(events.TypeNext) != 1 {
			t.Errorf("one that does not wait: %v", err)
		}
		r.leave("d")
		r.leave("c")
		for _, n := range r.nodes {
			if err := n.Next(ctx, false, Origin{}); err != nil {
				t.Error(err)
			}
		}
		if n := r.count(events.TypeNext); n != 3 {
			t.Errorf("%d events were written, want 3", n)
		}
		r.accepted(r.login("b"))
		r.same()
	})
}

// A replica that reads an optional event and one that passes over it come to the same digest.
func TestOptionalEventLeavesNoTrace(t *testing.T) {
	reads, passes := newState(), newState()
	for seq, d := range []events.Payload{&events.LogStarted{HashKey: make([]byte, 32)}, &events.NextHint{}} {
		e := &events.Event{ID: events.NewID(), Epoch: testID("epoch"), Data: d}
		one := reads.apply(uint64(seq+1), e)
		if seq > 0 {
			e.Data = nil // as Decode of an older version leaves it
		}
		if other := passes.apply(uint64(seq+1), e); one.void != "" || one != other || reads.digest != passes.digest {
			t.Errorf("%+v and %+v", one, other)
		}
	}
}
