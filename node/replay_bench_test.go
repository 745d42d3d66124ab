package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/natsd"
)

// replayed is how many logins the log of BenchmarkReplay has.
const replayed = 60_000

// BenchmarkReplay compares a replica's replay at start, fold included, with a bare ordered consumer that reads the same stream
// and looks at nothing.
func BenchmarkReplay(b *testing.B) {
	ctx := context.Background()
	dir := b.TempDir()
	srv, err := natsd.Start(ctx, natsd.Config{Dir: dir, Name: "replay", MaxStore: 4 << 30})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(srv.Kill)
	nc := must(srv.Connect(ctx))(b)
	b.Cleanup(nc.Close)
	log := must(events.Open(ctx, nc, events.Config{Replicas: 1, MaxBytes: 2 << 30, Node: "replay"}))(b)
	fill(b, log)
	last := must(log.Stat(ctx))(b).Last

	b.Run("bare", func(b *testing.B) {
		for b.Loop() {
			readBare(b, nc, last)
		}
		b.ReportMetric(float64(last)*float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	})
	b.Run("knell", func(b *testing.B) {
		for b.Loop() {
			n := must(prepare(must(Config{
				Name: "replay", Dir: b.TempDir(), Log: log, Issuer: "i", Audience: "a", Password: cheap,
			}.withDefaults())(b), events.Level))(b)
			enough := errors.New("enough")
			err := log.Follow(ctx, 0, func(batch []events.Message) error {
				if err := n.deliver(batch); err != nil {
					return err
				}
				if n.hot.applied.Load() >= last {
					return enough
				}
				return nil
			})
			if !errors.Is(err, enough) {
				b.Fatal(err)
			}
			if s := len(n.state.sessions); s != replayed {
				b.Fatalf("%d sessions, want %d", s, replayed)
			}
			n.stop()
		}
		b.ReportMetric(float64(last)*float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	})
}

// fill writes a log of logins.
func fill(b *testing.B, log *events.Log) {
	b.Helper()
	ctx := context.Background()
	epoch, user := events.NewID(), events.NewID()
	add := func(d events.Payload) (uint64, error) {
		return log.Append(ctx, &events.Event{
			ID: events.NewID(), Time: time.Now(), Subject: user.String(), Epoch: epoch, Node: "author", Actor: user.String(),
			Address: "192.0.2.1", UserAgent: "Mozilla/5.0 (X11; Linux x86_64)", Data: d,
		})
	}
	must(add(&events.LogStarted{HashKey: newKey()}))(b)
	seq := must(add(&events.SecretUser{User: user, Name: "alice", Hash: "x", Scope: []string{"profile"}}))(b)
	var next atomic.Int64
	var work sync.WaitGroup
	for range 256 {
		work.Go(func() {
			for next.Add(1) <= replayed {
				now := time.Now().Unix()
				_, err := add(&events.SessionStarted{
					Session: events.NewID(), User: user, Scope: []string{"profile"}, IssuedAt: now, AccessExpires: now + 300,
					IdleExpires: now + 86400, Expires: now + 1<<20, UserSeq: seq,
				})
				if err != nil {
					b.Error(fmt.Errorf("fill: %w", err))
					return
				}
			}
		})
	}
	work.Wait()
	if b.Failed() {
		b.FailNow()
	}
}

// readBare reads the stream up to last.
func readBare(b *testing.B, nc *nats.Conn, last uint64) {
	b.Helper()
	ctx := context.Background()
	js := must(jetstream.New(nc))(b)
	cons := must(js.OrderedConsumer(ctx, events.StreamName, jetstream.OrderedConsumerConfig{}))(b)
	done := make(chan struct{})
	var count uint64
	reading := must(cons.Consume(func(jetstream.Msg) {
		if count++; count == last {
			close(done)
		}
	}, jetstream.PullMaxMessages(5000)))(b)
	<-done
	reading.Stop()
	<-reading.Closed()
}
