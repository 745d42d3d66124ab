package replica

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/node"
)

// benchAudit is a replica that is alone, over HTTP on loopback, and a user who may read events.
type benchAudit struct {
	*Replica
	b        *testing.B
	address  string
	token    string
	template events.Event
}

func newBenchAudit(b *testing.B, change ...func(testing.TB, Config) Config) *benchAudit {
	cfg := standalone(b, b.TempDir())
	for _, c := range change {
		cfg = c(b, cfg)
	}
	cfg.LogMaxBytes, cfg.Node.AccessTTL, cfg.Node.Lease = 4<<30, time.Hour, time.Minute // whatever else the machine has to do
	a := &benchAudit{b: b, address: cfg.Listener.Addr().String(), Replica: start(b, cfg)}
	a.auditor()
	return a
}

// auditor makes the user, and the event of which more are appended.
func (a *benchAudit) auditor() {
	b, ctx, n := a.b, context.Background(), a.Node()
	user, err := n.CreateUser(ctx, node.NewUser{Name: "auditor", Password: "a long enough one", Scope: []string{"audit"}}, node.Origin{Actor: "local"})
	if err != nil {
		b.Fatal(err)
	}
	tokens, err := n.Login(ctx, node.LoginRequest{Name: "auditor", Password: "a long enough one"})
	if err != nil {
		b.Fatal(err)
	}
	epoch, err := events.ParseID(n.Status().Epoch)
	if err != nil {
		b.Fatal(err)
	}
	a.token = tokens.AccessToken
	a.template = events.Event{
		Subject: user.ID.String(), Epoch: epoch, Node: "author", Actor: user.ID.String(), Address: "192.0.2.1",
		UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", RequestID: "k6q7r3m2x5v4n7p2w3z5y6t4ue",
		Data: &events.SessionRefreshed{Session: tokens.Session, Generation: 1, IssuedAt: time.Now().Unix()},
	}
}

// append adds n events with as many writers, and returns the sequence of the last one.
func (a *benchAudit) append(n, writers int) uint64 {
	var last atomic.Uint64
	var next atomic.Int64
	var work sync.WaitGroup
	for range min(n, writers) {
		work.Go(func() {
			for next.Add(1) <= int64(n) {
				e := a.template
				e.ID, e.Time = events.NewID(), time.Now()
				seq, err := a.events.Append(context.Background(), &e)
				if err != nil {
					a.b.Error(err)
					return
				}
				for old := last.Load(); seq > old && !last.CompareAndSwap(old, seq); old = last.Load() {
				}
			}
		})
	}
	work.Wait()
	return last.Load()
}

// open begins a stream.
func (a *benchAudit) open(query string) net.Conn {
	conn, err := net.Dial("tcp", a.address)
	if err != nil {
		a.b.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "GET /events%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nAccept: text/event-stream\r\n\r\n", query, a.token); err != nil {
		a.b.Fatal(err)
	}
	return conn
}

// eventCounter counts events in what a stream sends.
type eventCounter struct {
	data  []byte // read last, behind the end of what was read before
	kept  int
	count int64
}

var dataMark = []byte("\ndata: {")

func (c *eventCounter) read(r io.Reader) error {
	n, err := r.Read(c.data[c.kept:])
	if err != nil {
		return err
	}
	all := c.data[:c.kept+n]
	c.count += int64(bytes.Count(all, dataMark))
	// A mark may be cut in two; one that is whole must not be seen twice.
	c.kept = copy(c.data, all[max(0, len(all)-len(dataMark)+1):])
	return nil
}

// BenchmarkEventReplay compares a stream of a whole log with a bare ordered consumer of it.
func BenchmarkEventReplay(b *testing.B) {
	const n = 50_000
	a := newBenchAudit(b)
	last := a.append(n, 512)
	b.Run("bare", func(b *testing.B) {
		used := processorTime()
		for b.Loop() {
			a.readBare(b, last)
		}
		b.ReportMetric(float64(last)*float64(b.N)/b.Elapsed().Seconds(), "messages/s")
		b.ReportMetric(float64(processorTime()-used)/float64(b.N)/float64(last), "cpu-ns/message")
	})
	b.Run("sse", func(b *testing.B) {
		used := processorTime()
		for b.Loop() {
			conn := a.open("?after=0")
			c := &eventCounter{data: make([]byte, 256<<10)}
			for c.count < n {
				if err := c.read(conn); err != nil {
					b.Fatal(err)
				}
			}
			conn.Close()
		}
		b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "messages/s")
		b.ReportMetric(float64(processorTime()-used)/float64(b.N)/n, "cpu-ns/message")
	})
}

// readBare reads the stream up to last and looks at nothing.
func (a *benchAudit) readBare(b *testing.B, last uint64) {
	js, err := jetstream.New(a.conn)
	if err != nil {
		b.Fatal(err)
	}
	c, err := js.OrderedConsumer(context.Background(), events.StreamName, jetstream.OrderedConsumerConfig{})
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{})
	var count uint64
	reading, err := c.Consume(func(jetstream.Msg) {
		if count++; count == last {
			close(done)
		}
	}, jetstream.PullMaxMessages(5000))
	if err != nil {
		b.Fatal(err)
	}
	<-done
	reading.Stop()
	<-reading.Closed()
}

// inUse returns the bytes of heap and stacks that are in use.
func inUse() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc + m.StackInuse)
}

// processorTime returns what this process has used of the processors: on a machine that has other work to do, it says more than the
// time that passed.
func processorTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // cannot fail
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
