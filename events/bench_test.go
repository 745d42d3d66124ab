package events_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/knell-auth/knell/events"
)

// openBench opens a log on one server (R1) that does not sync, so that what is measured is this package.
func openBench(b *testing.B) *jetStream {
	return newJetStream(b, []*server.Server{startServer(b, nil)}, events.Config{MaxBytes: 1 << 30})
}

// BenchmarkAppend compares a closed loop of appends with bare asynchronous publishing from as many goroutines.
func BenchmarkAppend(b *testing.B) {
	b.Run("knell", func(b *testing.B) {
		j := openBench(b)
		b.SetParallelism(64)
		b.ReportAllocs()
		b.RunParallel(func(p *testing.PB) {
			for p.Next() {
				if _, err := j.logs["a"].Append(context.Background(), newEvent("a")); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
	b.Run("bare", func(b *testing.B) {
		j := openBench(b)
		b.SetParallelism(64)
		b.ReportAllocs()
		b.RunParallel(func(p *testing.PB) {
			for p.Next() {
				e := newEvent("a")
				raw := encode(b, e)
				if _, err := j.admin.Publish(context.Background(), "knell.event.revoked.session", raw, jetstream.WithMsgID(e.ID.String())); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
}

// BenchmarkLatency compares the way of an event into the log and back with the bare acknowledgement of one.
func BenchmarkLatency(b *testing.B) {
	b.Run("there and back", func(b *testing.B) {
		j := openBench(b)
		back := make(chan uint64, 16)
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() {
			ended <- j.logs["a"].Follow(ctx, 0, func(batch []events.Message) error {
				back <- batch[len(batch)-1].Seq
				return nil
			})
		}()
		for b.Loop() {
			seq := mustAppend(b, j.logs["a"], "a")
			for <-back < seq {
			}
		}
		cancel()
		<-ended
	})
	b.Run("bare acknowledgement", func(b *testing.B) {
		j := openBench(b)
		for b.Loop() {
			e := newEvent("a")
			raw := encode(b, e)
			if _, err := j.admin.Publish(context.Background(), "knell.event.revoked.session", raw, jetstream.WithMsgID(e.ID.String())); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkReplay compares Follow over a stored log with a bare ordered consumer.
func BenchmarkReplay(b *testing.B) {
	const n = 100_000
	j := openBench(b)
	raw := encode(b, example(events.Types()[1].Example))
	for range n {
		if _, err := j.admin.PublishAsync("knell.event.session.000", raw, jetstream.WithStallWait(10*time.Second)); err != nil {
			b.Fatal(err)
		}
	}
	<-j.admin.PublishAsyncComplete()
	done := errors.New("done")
	perMessage := func(b *testing.B) { b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/msg") }
	follow := func(b *testing.B, each func(m *events.Message)) {
		for b.Loop() {
			last := uint64(0)
			err := j.logs["a"].Follow(context.Background(), 0, func(batch []events.Message) error {
				for i := range batch {
					each(&batch[i])
				}
				if last = batch[len(batch)-1].Seq; last >= n {
					return done
				}
				return nil
			})
			if err != done {
				b.Fatal(err)
			}
		}
		perMessage(b)
	}
	b.Run("knell", func(b *testing.B) { follow(b, func(*events.Message) {}) })
	b.Run("knell decoded", func(b *testing.B) {
		var e events.Event
		follow(b, func(m *events.Message) {
			if err := events.Decode(m.Data, &e); err != nil {
				b.Fatal(err)
			}
		})
	})
	b.Run("bare", func(b *testing.B) {
		for b.Loop() {
			c, err := j.admin.OrderedConsumer(context.Background(), events.StreamName, jetstream.OrderedConsumerConfig{})
			if err != nil {
				b.Fatal(err)
			}
			var got atomic.Uint64
			end := make(chan struct{})
			cc, err := c.Consume(func(jetstream.Msg) {
				if got.Add(1) == n {
					close(end)
				}
			}, jetstream.PullMaxMessages(5000))
			if err != nil {
				b.Fatal(err)
			}
			<-end
			cc.Stop()
		}
		perMessage(b)
	})
}
