package replica

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// counter counts what is written, a line at a time.
type counter struct{ n *atomic.Int64 }

// Write implements io.Writer.
func (c counter) Write(p []byte) (int, error) {
	c.n.Add(1)
	return len(p), nil
}

// TestWaiting: what a start waits for is known at once, and said to people after a while and again each minute.
func TestWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines, connected atomic.Int64
		var state atomic.Value
		connected.Store(1)
		w := &waiting{
			log:   slog.New(slog.NewTextHandler(counter{&lines}, nil)),
			peers: func() (int, int) { return int(connected.Load()), 2 },
			first: true, open: make(chan struct{}), tell: func(s string) { state.Store(s) },
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.watch(ctx)
		}()
		expect := func(after time.Duration, want int64, text string) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			if got := lines.Load(); got != want || state.Load() != text {
				t.Errorf("%d lines, want %d; state %q, want %q", got, want, state.Load(), text)
			}
		}
		const some = "waiting for the log: connected to 1 of 2 other replicas; the first start needs all of them"
		expect(patience-time.Second, 0, some)
		expect(2*time.Second, 1, some)
		expect(30*time.Second, 1, some)
		expect(31*time.Second, 2, some)
		connected.Store(2)
		expect(time.Second, 2, "waiting for the log: connected to 2 of 2 other replicas")
		close(w.open)
		expect(10*time.Minute, 2, waitsForNode)
		connected.Store(0)
		expect(time.Second, 3, "waiting for the log: connected to 0 of 2 other replicas; the first start needs all of them")
		cancel()
		<-done
	})
}

// A replica that has a copy of the log waits for a majority only; one that is alone or has no server waits for the log.
func TestWaitingReason(t *testing.T) {
	for _, c := range []struct {
		connected, others int
		want              string
	}{
		{0, 0, "waiting for the log"},
		{0, 2, "waiting for the log: connected to 0 of 2 other replicas; no majority"},
		{1, 2, "waiting for the log: connected to 1 of 2 other replicas"},
		{1, 4, "waiting for the log: connected to 1 of 4 other replicas; no majority"},
	} {
		w := &waiting{peers: func() (int, int) { return c.connected, c.others }}
		if got, outside := w.reason(); got != c.want || !outside {
			t.Errorf("%+v: got %q", c, got)
		}
	}
}
