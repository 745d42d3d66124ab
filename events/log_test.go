package events_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/knell-auth/knell/events"
)

func openOne(t testing.TB, cfg events.Config) *jetStream {
	t.Helper()
	return newJetStream(t, []*server.Server{startServer(t, nil)}, cfg)
}

// updateStream changes the stream's configuration behind the log's back.
func (j *jetStream) updateStream(change func(*jetstream.StreamConfig)) {
	j.t.Helper()
	s, err := j.admin.Stream(j.t.Context(), events.StreamName)
	if err != nil {
		j.t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	change(&cfg)
	if _, err := j.admin.UpdateStream(j.t.Context(), cfg); err != nil {
		j.t.Fatal(err)
	}
}

func TestOpenNamesWhatDiffers(t *testing.T) {
	j := openOne(t, events.Config{})
	for _, c := range []struct {
		change func(*jetstream.StreamConfig)
		want   string
	}{
		{func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }, "max_age is 3600000000000, want 0"},
		{func(c *jetstream.StreamConfig) { c.MaxAge, c.MaxMsgsPerSubject = 0, 7 }, "max_msgs_per_subject is 7, want -1"},
		{func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject, c.Discard = -1, jetstream.DiscardOld }, `discard is "old", want "new"`},
		{func(c *jetstream.StreamConfig) { c.Discard, c.AllowDirect = jetstream.DiscardNew, true }, "allow_direct is true, want false"},
		{func(c *jetstream.StreamConfig) { c.AllowDirect, c.RePublish = false, nil }, "republish is not set, want {"},
		{func(c *jetstream.StreamConfig) { c.Subjects = c.Subjects[:1] }, "subjects is "},
	} {
		j.updateStream(c.change)
		_, err := events.Open(t.Context(), j.conns["b"], events.Config{Node: "b", MaxBytes: maxBytes})
		if !errors.Is(err, events.ErrStreamConfig) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
	_, err := events.Open(t.Context(), j.conns["b"], events.Config{Node: "b", MaxBytes: 1 << 20, DuplicateWindow: time.Second})
	for _, name := range []string{"duplicate_window", "republish", "subjects"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v does not name %s", err, name)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	s := startServer(t, nil)
	nc := connect(t, &link{to: s})
	if _, err := events.Open(t.Context(), nc, events.Config{Node: "A"}); err == nil {
		t.Error("took a bad node name")
	}
	if _, err := events.Open(t.Context(), nc, events.Config{Node: "a", MaxBytes: maxBytes, Replicas: 3}); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("three copies on one server: %v", err)
	}
	buffering, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		t.Fatal(err)
	}
	defer buffering.Close()
	if _, err := events.Open(t.Context(), buffering, events.Config{Node: "a"}); err == nil || !strings.Contains(err.Error(), "ReconnectBufSize") {
		t.Errorf("a connection that keeps messages: %v", err)
	}
}

func TestOpenWaits(t *testing.T) {
	l := &link{to: startServer(t, func(o *server.Options) { o.JetStream = false })}
	nc := connect(t, l)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := events.Open(ctx, nc, events.Config{Node: "a", MaxBytes: maxBytes}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without JetStream: %v", err)
	}
	opened := make(chan error, 1)
	go func() {
		_, err := events.Open(t.Context(), nc, events.Config{Node: "a", MaxBytes: maxBytes})
		opened <- err
	}()
	l.set(false, startServer(t, nil))
	if err := <-opened; err != nil {
		t.Error(err)
	}
}

func TestFull(t *testing.T) {
	j := openOne(t, events.Config{MaxBytes: 16 << 10})
	var err error
	n := 0
	for ; err == nil; n++ {
		_, err = j.logs["a"].Append(t.Context(), newEvent("a"))
	}
	if !errors.Is(err, events.ErrFull) || errors.Is(err, events.ErrUnknown) || n < 10 {
		t.Errorf("after %d events: %v", n, err)
	}
	if _, err := j.logs["b"].Append(t.Context(), newEvent("b")); !errors.Is(err, events.ErrFull) {
		t.Error(err)
	}
}

// Without a stream nobody answers: the append is given up when half the duplicate window is over.
func TestAppendGivesUp(t *testing.T) {
	j := openOne(t, events.Config{DuplicateWindow: time.Second})
	if err := j.admin.DeleteStream(t.Context(), events.StreamName); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	_, err := j.logs["a"].Append(t.Context(), newEvent("a"))
	if d := time.Since(start); !errors.Is(err, events.ErrUnknown) || !errors.Is(err, nats.ErrNoResponders) || d < time.Second/2 {
		t.Errorf("%v after %v", err, d)
	}
	j.conns["a"].Close()
	if _, err := j.logs["a"].Append(t.Context(), newEvent("a")); !errors.Is(err, events.ErrUnknown) {
		t.Error(err)
	}
	if err := j.logs["a"].Follow(t.Context(), 0, func([]events.Message) error { return nil }); !errors.Is(err, nats.ErrConnectionClosed) {
		t.Error(err)
	}
}

func TestTrimmed(t *testing.T) {
	j := openOne(t, events.Config{})
	for range 9 {
		mustAppend(t, j.logs["a"], "a")
	}
	s, err := j.admin.Stream(t.Context(), events.StreamName)
	if err == nil {
		err = s.Purge(t.Context(), jetstream.WithPurgeSequence(6))
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := startCollect(t, j.logs["a"], 4).end(10 * time.Second); !errors.Is(err, events.ErrTrimmed) {
		t.Error(err)
	}
	startCollect(t, j.logs["b"], 5).reach(9, 10*time.Second)
}

// What was acknowledged but never sent on, as when a leader dies in between, is read.
func TestAcknowledgedButNotSentOn(t *testing.T) {
	j := openOne(t, events.Config{})
	own, other := startCollect(t, j.logs["a"], 0), startCollect(t, j.logs["b"], 0)
	seq := mustAppend(t, j.logs["a"], "a")
	own.reach(seq, 10*time.Second)
	other.reach(seq, 10*time.Second)
	j.updateStream(func(c *jetstream.StreamConfig) { c.RePublish = nil })
	start := time.Now()
	seq = mustAppend(t, j.logs["a"], "a")
	own.reach(seq, 10*time.Second)
	if d := time.Since(start); d > 1500*time.Millisecond {
		t.Errorf("the acknowledgement was of no use: %v", d)
	}
	other.reach(seq, 10*time.Second) // by polling
}

// A node that is slow loses live messages, and reads them again.
func TestSlowDeliver(t *testing.T) {
	j := openOne(t, events.Config{})
	const n = 40000 // more than fit between
	release, first := make(chan struct{}), make(chan struct{})
	got, done := uint64(0), errors.New("done")
	ended := make(chan error, 1)
	go func() {
		ended <- j.logs["a"].Follow(t.Context(), 0, func(batch []events.Message) error {
			if got == 0 {
				close(first)
				<-release
			}
			for _, m := range batch {
				if m.Seq != got+1 {
					t.Errorf("%d after %d", m.Seq, got)
				}
				got = m.Seq
			}
			if got >= n {
				return done
			}
			return nil
		})
	}()
	e := newEvent("b")
	raw := encode(t, e)
	for i := range n {
		if _, err := j.admin.PublishAsync("knell.event.revoked.session", raw, jetstream.WithStallWait(10*time.Second)); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			<-first
		}
	}
	<-j.admin.PublishAsyncComplete()
	close(release)
	if err := <-ended; err != done || got < n {
		t.Errorf("%v at %d", err, got)
	}
	if s, err := j.admin.Stream(t.Context(), events.StreamName); err != nil || s.CachedInfo().State.Consumers > 1 {
		t.Errorf("consumers are left: %+v, %v", s.CachedInfo().State, err)
	}
}

func TestServerRestart(t *testing.T) {
	dir := t.TempDir()
	in := func(o *server.Options) { o.StoreDir = dir }
	s := startServer(t, in)
	j := newJetStream(t, []*server.Server{s}, events.Config{})
	c := startCollect(t, j.logs["a"], 0)
	c.reach(mustAppend(t, j.logs["a"], "a"), 10*time.Second)
	s.Shutdown()
	s.WaitForShutdown()
	appended := make(chan uint64)
	go func() { appended <- mustAppend(t, j.logs["a"], "a") }()
	j.links["a"].set(false, startServer(t, in))
	c.reach(<-appended, 10*time.Second)
	c.reach(mustAppend(t, j.logs["a"], "a"), 10*time.Second)
}

// A server that comes back with an older state of the same stream, as after a restored file system.
func TestRolledBack(t *testing.T) {
	t.Parallel()
	for name, appends := range map[string]int{"shorter": 0, "as long": 3, "longer": 9} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, old := t.TempDir(), t.TempDir()
			s := startServer(t, func(o *server.Options) { o.StoreDir = dir })
			j := newJetStream(t, []*server.Server{s}, events.Config{})
			for range 3 {
				mustAppend(t, j.logs["a"], "a")
			}
			s.Shutdown()
			s.WaitForShutdown()
			if err := os.CopyFS(old, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			s = startServer(t, func(o *server.Options) { o.StoreDir = dir })
			j.links["a"].set(false, s)
			c := startCollect(t, j.logs["a"], 0)
			for range 3 {
				c.reach(mustAppend(t, j.logs["a"], "a"), 10*time.Second)
			}
			s.Shutdown()
			s.WaitForShutdown()
			s = startServer(t, func(o *server.Options) { o.StoreDir = old })
			j.links["b"].set(false, s)
			for range appends {
				mustAppend(t, j.logs["b"], "b")
			}
			j.links["a"].set(false, s)
			if err := c.end(20 * time.Second); !errors.Is(err, events.ErrRewound) {
				t.Error(err)
			}
		})
	}
}
