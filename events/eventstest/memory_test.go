package eventstest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/events/eventstest"
)

// memory is a Memory as the suite wants it: with handles that stay the same when the log is replaced.
type memory struct {
	*eventstest.Memory
	nodes map[string]*eventstest.Node
}

func open(t *testing.T) eventstest.Cluster {
	m := memory{Memory: eventstest.New(t), nodes: map[string]*eventstest.Node{}}
	for _, name := range []string{"a", "b", "c"} {
		m.nodes[name] = m.Memory.Node(name)
	}
	return m
}

func (m memory) Node(name string) eventstest.Log { return m.nodes[name] }
func (m memory) Cut(name string)                 { m.nodes[name].Cut() }
func (m memory) Heal(name string)                { m.nodes[name].Heal() }

func TestConformance(t *testing.T) { eventstest.Run(t, open) }

func event() *events.Event {
	return &events.Event{ID: events.NewID(), Time: time.Now(), Node: "a", Data: &events.AllRevoked{}}
}

// collect follows n in a goroutine that ends with the log, and sends what arrives.
func collect(n *eventstest.Node, after uint64) (<-chan uint64, <-chan error) {
	seqs, ended := make(chan uint64, 100), make(chan error, 1)
	go func() {
		ended <- n.Follow(context.Background(), after, func(batch []events.Message) error {
			for _, m := range batch {
				seqs <- m.Seq
			}
			return nil
		})
	}()
	return seqs, ended
}

func TestFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := eventstest.New(t)
		a := m.Node("a")
		broken := errors.New("broken")
		fault := eventstest.Fault{Before: broken}
		a.OnAppend(func(*events.Event) eventstest.Fault { return fault })
		e := event()
		if _, err := a.Append(t.Context(), e); err != broken || len(m.Messages()) != 0 {
			t.Errorf("before: %v, %d messages", err, len(m.Messages()))
		}
		fault = eventstest.Fault{After: events.ErrUnknown}
		if _, err := a.Append(t.Context(), e); err != events.ErrUnknown || len(m.Messages()) != 1 {
			t.Errorf("after: %v, %d messages", err, len(m.Messages()))
		}
		a.OnAppend(nil)
		if seq, err := a.Append(t.Context(), e); err != nil || seq != 1 {
			t.Errorf("%d, %v", seq, err)
		}
		time.Sleep(2 * time.Minute)
		if seq, err := a.Append(t.Context(), e); err != nil || seq != 2 {
			t.Errorf("after the window: %d, %v", seq, err)
		}
		m.SetMaxBytes(10)
		if _, err := a.Append(t.Context(), event()); !errors.Is(err, events.ErrFull) {
			t.Errorf("full: %v", err)
		}
	})
}

func TestDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := eventstest.New(t)
		a := m.Node("a")
		a.SetDelays(eventstest.Delays{Deliver: 3 * time.Second, Ack: time.Second, Notice: 5 * time.Second})
		seqs, _ := collect(a, 0)
		heard := make(chan string, 10)
		if _, err := a.Listen(func(from string, data []byte) { heard <- from + string(data) }); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if _, err := a.Append(t.Context(), event()); err != nil || time.Since(start) != time.Second {
			t.Errorf("append took %v, %v", time.Since(start), err)
		}
		a.Tell("a", []byte("!"))
		if <-seqs; time.Since(start) != 3*time.Second {
			t.Errorf("delivery took %v", time.Since(start))
		}
		if s := <-heard; s != "a!" || time.Since(start) != 6*time.Second {
			t.Errorf("heard %q after %v", s, time.Since(start))
		}
		a.SetDelays(eventstest.Delays{Deliver: time.Hour})
		a.DropNotices(func(to string, data []byte) bool { return string(data) == "drop" })
		a.Append(t.Context(), event())
		a.Tell("a", []byte("drop"))
		a.Tell("a", []byte("keep"))
		synctest.Wait()
		if len(seqs) != 0 || len(heard) != 1 {
			t.Errorf("%d messages and %d notices", len(seqs), len(heard))
		}
		start = time.Now()
		a.SetDelays(eventstest.Delays{})
		if <-seqs; time.Since(start) != 0 {
			t.Errorf("delivery took %v", time.Since(start))
		}
	})
}

func TestCutIsUnknownInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := eventstest.New(t)
		a := m.Node("a")
		a.Cut()
		start := time.Now()
		if _, err := a.Append(t.Context(), event()); !errors.Is(err, events.ErrUnknown) || time.Since(start) != 30*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		// Cut between the effect and the acknowledgement: tried again, and found to be there.
		a.Heal()
		a.SetDelays(eventstest.Delays{Ack: time.Second})
		time.AfterFunc(time.Second/2, a.Cut)
		time.AfterFunc(10*time.Second, a.Heal)
		if seq, err := a.Append(t.Context(), event()); err != nil || seq != 1 || len(m.Messages()) != 1 {
			t.Errorf("%d, %v, %d messages", seq, err, len(m.Messages()))
		}
	})
}

func TestRewindAndTrim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := eventstest.New(t)
		a, b := m.Node("a"), m.Node("b")
		for range 10 {
			a.Append(t.Context(), event())
		}
		seqs, ended := collect(a, 0)
		for range 10 {
			<-seqs
		}
		m.Rewind(8)
		if err := <-ended; !errors.Is(err, events.ErrRewound) {
			t.Errorf("rewound: %v", err)
		}
		if m.Node("a") == a || m.Node("b") != b {
			t.Error("the handle that delivered too much stays, or the other one does not")
		}
		m.Trim(6)
		if _, ended = collect(b, 4); !errors.Is(<-ended, events.ErrTrimmed) {
			t.Error("followed from before the first message")
		}
		if seqs, _ = collect(b, 5); <-seqs != 6 {
			t.Error("did not follow from the first message")
		}
		if seq, err := b.Append(t.Context(), event()); err != nil || seq != 9 {
			t.Errorf("%d, %v", seq, err)
		}
	})
}
