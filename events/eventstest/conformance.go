package eventstest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/knell-auth/knell/events"
)

// Log is what the suite checks.
type Log interface {
	Append(ctx context.Context, e *events.Event) (uint64, error)
	Follow(ctx context.Context, after uint64, deliver func([]events.Message) error) error
	Read(ctx context.Context, after, upTo uint64, deliver func([]events.Message) error) error
	Stat(ctx context.Context) (events.Stat, error)
	Tell(to string, data []byte) error
	Listen(deliver func(from string, data []byte)) (stop func(), err error)
	Created() time.Time
	OpenTiles(ctx context.Context) error
	PutTile(ctx context.Context, name string, data []byte) error
	Tile(ctx context.Context, name string) ([]byte, error)
}

// Cluster is one empty log, and the handles of the nodes that use it.
type Cluster interface {
	// Node returns the handle of a node, the same one each time.
	Node(name string) Log
}

// Cutter is a Cluster that can take a node off the network.
type Cutter interface {
	Cut(name string)
	Heal(name string)
}

// Recreator is a Cluster that can replace its log by a new, empty one.
type Recreator interface{ Recreate() }

// patience is how long the suite waits for what must happen.
const patience = 30 * time.Second

// Run checks that what open returns is a log as package events describes it. Checks that need a fault which the cluster
// cannot bring about are skipped.
func Run(t *testing.T, open func(t *testing.T) Cluster) {
	for _, check := range []struct {
		name string
		run  func(t *testing.T, c Cluster)
	}{
		{"order", checkOrder},
		{"idempotence", checkIdempotence},
		{"concurrent appends", checkConcurrency},
		{"follow from the middle", checkMiddle},
		{"follow again", checkAgain},
		{"deliver's error", checkDeliverError},
		{"end of the context", checkContext},
		{"read a part", checkRead},
		{"reads beside each other", checkReads},
		{"read's deliver's error", checkReadError},
		{"stat", checkStat},
		{"notices", checkNotices},
		{"tiles", checkTiles},
		{"invalid events", checkInvalid},
		{"cut off and back", checkCut},
		{"unknown while cut off", checkUnknown},
		{"re-created log", checkRecreated},
		{"append to a re-created log", checkRecreatedAppend},
		{"log shorter than the position", checkShort},
		{"read while cut off", checkReadCut},
		{"read a re-created log", checkReadRecreated},
		{"snapshots", checkSnapshots},
		{"trimmed log", checkTrimmed},
	} {
		t.Run(check.name, func(t *testing.T) { check.run(t, open(t)) })
	}
}

// newEvent returns an event of its own.
func newEvent(node string) *events.Event {
	id := events.NewID()
	return &events.Event{ID: id, Time: time.Now(), Node: node, Actor: "system", Data: &events.SessionRevoked{Session: id}}
}

func appendTo(t *testing.T, l Log, e *events.Event) uint64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	seq, err := l.Append(ctx, e)
	if err != nil {
		t.Fatalf("append: %v", err)
	}
	return seq
}

// fill appends n events of a node and returns their ids by sequence.
func fill(t *testing.T, l Log, node string, n int) map[uint64]events.ID {
	t.Helper()
	ids := map[uint64]events.ID{}
	for range n {
		e := newEvent(node)
		ids[appendTo(t, l, e)] = e.ID
	}
	return ids
}

// tail follows a log and remembers what it gets. It fails the test when a message is not the next one.
type tail struct {
	t      *testing.T
	cancel context.CancelFunc
	ended  chan error // gets what Follow has returned

	mu     sync.Mutex
	last   uint64
	ids    map[uint64]events.ID
	change chan struct{} // closed and replaced with each batch
}

// follow starts to follow l. The test ends it at the latest.
func follow(t *testing.T, l Log, after uint64) *tail {
	ctx, cancel := context.WithCancel(context.Background())
	f := &tail{t: t, cancel: cancel, ended: make(chan error, 1), last: after, ids: map[uint64]events.ID{}, change: make(chan struct{})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.ended <- l.Follow(ctx, after, f.take)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return f
}

func (f *tail) take(batch []events.Message) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range batch {
		if m.Seq != f.last+1 {
			f.t.Errorf("message %d came after %d", m.Seq, f.last)
		}
		f.last = m.Seq
		var e events.Event
		if err := events.Decode(m.Data, &e); err != nil {
			f.t.Errorf("message %d: %v", m.Seq, err)
		} else if want := events.Subject(&e); m.Subject != want {
			f.t.Errorf("message %d is on %s, want %s", m.Seq, m.Subject, want)
		}
		f.ids[m.Seq] = e.ID
	}
	close(f.change)
	f.change = make(chan struct{})
	return nil
}

// reach waits until the message seq has come, and returns the ids of all that came, by sequence.
func (f *tail) reach(seq uint64) map[uint64]events.ID {
	f.t.Helper()
	deadline := time.After(patience)
	for {
		f.mu.Lock()
		last, change := f.last, f.change
		ids := make(map[uint64]events.ID, len(f.ids))
		for k, v := range f.ids {
			ids[k] = v
		}
		f.mu.Unlock()
		if last >= seq {
			return ids
		}
		select {
		case <-change:
		case err := <-f.ended:
			f.t.Fatalf("follow ended at %d, before %d: %v", last, seq, err)
		case <-deadline:
			f.t.Fatalf("message %d has not come; the last one was %d", seq, last)
		}
	}
}

// end waits until Follow returns.
func (f *tail) end() error {
	f.t.Helper()
	select {
	case err := <-f.ended:
		return err
	case <-time.After(patience):
		f.t.Fatal("follow does not end")
		return nil
	}
}

// mustHold fails the test unless all that was acknowledged is in got.
func mustHold(t *testing.T, got, acked map[uint64]events.ID) {
	t.Helper()
	for seq, id := range acked {
		if got[seq] != id {
			t.Errorf("message %d is %s, but %s was acknowledged there", seq, got[seq], id)
		}
	}
}

func checkOrder(t *testing.T, c Cluster) {
	early := follow(t, c.Node("b"), 0)
	acked := fill(t, c.Node("a"), "a", 50)
	for seq := uint64(1); seq <= 50; seq++ {
		if _, ok := acked[seq]; !ok {
			t.Errorf("no append got %d", seq)
		}
	}
	late := follow(t, c.Node("c"), 0)
	mustHold(t, early.reach(50), acked)
	mustHold(t, late.reach(50), acked)
}

func checkIdempotence(t *testing.T, c Cluster) {
	e := newEvent("a")
	first := appendTo(t, c.Node("a"), e)
	if again := appendTo(t, c.Node("a"), e); again != first {
		t.Errorf("again: %d, want %d", again, first)
	}
	if elsewhere := appendTo(t, c.Node("b"), e); elsewhere != first {
		t.Errorf("by another node: %d, want %d", elsewhere, first)
	}
	e = newEvent("a")
	var wg sync.WaitGroup
	seqs := make([]uint64, 8)
	for i := range seqs {
		wg.Go(func() { seqs[i], _ = c.Node([]string{"a", "b"}[i%2]).Append(t.Context(), e) })
	}
	wg.Wait()
	for _, seq := range seqs {
		if seq != first+1 {
			t.Errorf("all at once: %v, want %d", seqs, first+1)
			break
		}
	}
	if next := appendTo(t, c.Node("a"), newEvent("a")); next != first+2 {
		t.Errorf("next: %d, want %d", next, first+2)
	}
}

func checkConcurrency(t *testing.T, c Cluster) {
	names := []string{"a", "b", "c"}
	var tails []*tail
	for _, name := range names {
		tails = append(tails, follow(t, c.Node(name), 0))
	}
	var mu sync.Mutex
	acked := map[uint64]events.ID{}
	var wg sync.WaitGroup
	for i := range 12 {
		name := names[i%len(names)]
		l := c.Node(name)
		wg.Go(func() {
			for range 25 {
				e := newEvent(name)
				seq, err := l.Append(t.Context(), e)
				mu.Lock()
				if acked[seq] = e.ID; err != nil {
					t.Errorf("append: %v", err)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(acked) != 300 {
		t.Errorf("%d sequences for 300 events", len(acked))
	}
	for _, f := range tails {
		mustHold(t, f.reach(300), acked)
	}
}

func checkMiddle(t *testing.T, c Cluster) {
	acked := fill(t, c.Node("a"), "a", 20)
	f := follow(t, c.Node("b"), 12)
	if got := f.reach(20); len(got) != 8 || got[13] != acked[13] {
		t.Errorf("got %d messages after 12 of 20", len(got))
	}
	end := follow(t, c.Node("c"), 20)
	seq := appendTo(t, c.Node("a"), newEvent("a"))
	if got := end.reach(seq); len(got) != 1 {
		t.Errorf("got %d messages after the last one", len(got))
	}
}

func checkAgain(t *testing.T, c Cluster) {
	fill(t, c.Node("a"), "a", 5)
	f := follow(t, c.Node("a"), 0)
	f.reach(5)
	f.cancel()
	if err := f.end(); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	acked := fill(t, c.Node("a"), "a", 5)
	mustHold(t, follow(t, c.Node("a"), 5).reach(10), acked)
}

func checkDeliverError(t *testing.T, c Cluster) {
	fill(t, c.Node("a"), "a", 3)
	broken := errors.New("broken")
	calls := 0
	err := c.Node("a").Follow(t.Context(), 0, func([]events.Message) error {
		calls++
		return broken
	})
	if !errors.Is(err, broken) || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
}

func checkContext(t *testing.T, c Cluster) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Node("a").Follow(ctx, 0, func([]events.Message) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("follow: %v", err)
	}
	if _, err := c.Node("a").Append(ctx, newEvent("a")); !errors.Is(err, context.Canceled) {
		t.Errorf("append: %v", err)
	}
	// It was never sent, so it is not there later either.
	if seq := appendTo(t, c.Node("a"), newEvent("a")); seq != 1 {
		t.Errorf("first event got %d", seq)
	}
}

func checkStat(t *testing.T, c Cluster) {
	empty, err := c.Node("a").Stat(t.Context())
	if err != nil || empty.Last != 0 || empty.Messages != 0 || empty.MaxBytes == 0 {
		t.Fatalf("empty: %+v, %v", empty, err)
	}
	fill(t, c.Node("a"), "a", 7)
	st, err := c.Node("b").Stat(t.Context())
	if err != nil || st.First != 1 || st.Last != 7 || st.Messages != 7 || st.Bytes == 0 || st.Leader == "" || st.Replicas == 0 {
		t.Errorf("%+v, %v", st, err)
	}
	if !st.Created.Equal(empty.Created) || !st.Created.Equal(c.Node("a").Created()) || !st.Created.Equal(c.Node("c").Created()) {
		t.Errorf("created at %v, %v, %v", st.Created, empty.Created, c.Node("a").Created())
	}
}

func checkInvalid(t *testing.T, c Cluster) {
	e := newEvent("a")
	e.Actor = "\xff"
	if _, err := c.Node("a").Append(t.Context(), e); !errors.Is(err, events.ErrInvalid) {
		t.Errorf("%v", err)
	}
}
