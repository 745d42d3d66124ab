package eventstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/knell-auth/knell/events"
)

// Trimmer is a Cluster that can trim its log: nodes themselves have no right to.
type Trimmer interface{ Trim(first uint64) }

// SnapshotStore is a Log that keeps snapshots.
type SnapshotStore interface {
	Log
	PutSnapshot(ctx context.Context, s events.Snapshot, data []byte) error
	Snapshots(ctx context.Context) ([]events.Snapshot, error)
	GetSnapshot(ctx context.Context, s events.Snapshot) ([]byte, error)
	DropSnapshot(ctx context.Context, s events.Snapshot) error
}

// names returns the snapshots that are there, as text.
func names(t *testing.T, l SnapshotStore) string {
	t.Helper()
	list, err := l.Snapshots(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out := ""
	for _, s := range list {
		out += fmt.Sprintf("%d/%s ", s.Seq, s.Node)
	}
	return out
}

func checkSnapshots(t *testing.T, c Cluster) {
	a, isStore := c.Node("a").(SnapshotStore)
	if !isStore {
		t.Skip("keeps no snapshots")
	}
	b, ctx := c.Node("b").(SnapshotStore), t.Context()
	if got := names(t, a); got != "" {
		t.Errorf("an empty log has the snapshots %s", got)
	}
	small := events.Snapshot{Seq: 9, Epoch: events.NewID(), Format: 3, Level: 2, Hash: []byte("of small")}
	large := events.Snapshot{Seq: 10, Epoch: events.NewID(), Format: 1, Level: 1, Hash: []byte("of large")}
	bytesOf := map[uint64][]byte{9: []byte("small"), 10: bytes.Repeat([]byte("0123456789abcdef"), 100_001)}
	for _, put := range []struct {
		by SnapshotStore
		s  events.Snapshot
	}{{a, small}, {b, large}, {b, small}, {b, small}} { // the last one replaces what is there
		if err := put.by.PutSnapshot(ctx, put.s, bytesOf[put.s.Seq]); err != nil {
			t.Fatal(err)
		}
	}
	list, err := a.Snapshots(ctx)
	if err != nil || names(t, a) != "10/b 9/a 9/b " {
		t.Fatalf("%v, %v", list, err)
	}
	for _, s := range list {
		want := small
		if s.Seq == 10 {
			want = large
		}
		want.Node, want.Size = s.Node, int64(len(bytesOf[s.Seq]))
		if fmt.Sprint(s) != fmt.Sprint(want) {
			t.Errorf("got %v, want %v", s, want)
		}
		if data, err := a.GetSnapshot(ctx, s); err != nil || !bytes.Equal(data, bytesOf[s.Seq]) {
			t.Errorf("%d bytes of %d, %v", len(data), len(bytesOf[s.Seq]), err)
		}
	}
	if err := a.DropSnapshot(ctx, list[2]); err != nil || names(t, b) != "10/b 9/a " {
		t.Errorf("%v, left %s", err, names(t, b))
	}
	if _, err := b.GetSnapshot(ctx, list[2]); !errors.Is(err, events.ErrSnapshot) {
		t.Errorf("one that was dropped: %v, want ErrSnapshot", err)
	}
}

// What was trimmed is not delivered, and not passed over either; what was not stays.
func checkTrimmed(t *testing.T, c Cluster) {
	trimmer, isTrimmer := c.(Trimmer)
	if !isTrimmer {
		t.Skip("is not trimmed")
	}
	a := c.Node("a")
	fill(t, a, "a", 20)
	behind := follow(t, c.Node("b"), 0)
	behind.reach(20)
	trimmer.Trim(11)
	stat, err := a.Stat(t.Context())
	if err != nil || stat.First != 11 || stat.Last != 20 {
		t.Errorf("it goes from %d to %d, %v", stat.First, stat.Last, err)
	}
	appendTo(t, a, newEvent("a"))
	behind.reach(21)
	// At the same time: a log with copies has to be sure that it is not one of them that lacks its beginning.
	ahead := follow(t, c.Node("c"), 5)
	var work sync.WaitGroup
	for after, want := range map[uint64]error{0: events.ErrTrimmed, 9: events.ErrTrimmed, 10: nil, 15: nil} {
		work.Go(func() {
			count := uint64(0)
			err := a.Read(t.Context(), after, 20, func(batch []events.Message) error {
				count += uint64(len(batch))
				return nil
			})
			if !errors.Is(err, want) || want == nil && count != 20-after || want != nil && count > 0 {
				t.Errorf("after %d: %v, with %d messages", after, err, count)
			}
		})
	}
	work.Wait()
	if err := ahead.end(); !errors.Is(err, events.ErrTrimmed) {
		t.Errorf("followed from before the beginning: %v, want ErrTrimmed", err)
	}
}
