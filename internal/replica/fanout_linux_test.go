package replica

import (
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// BenchmarkEventFanOut measures 1,000 clients of one replica, in a process of their own: what the replica takes of memory for each, how late
// events are at 200/s, counted from before they are appended, and how many are delivered when all are saturated.
func BenchmarkEventFanOut(b *testing.B) {
	const clients = 1000
	a := newBenchAudit(b)
	b.Run("memory", func(b *testing.B) {
		for b.Loop() {
			before := inUse()
			f := a.crowd(clients, false)
			a.append(100, 100)
			f.await(100)
			b.ReportMetric((inUse()-before)/1024/1024, "MiB")
			f.end()
		}
	})
	bare := newBareFan(b)
	for _, crowd := range []int{1, clients} {
		b.Run(fmt.Sprintf("200 events a second/%d clients/bare", crowd), func(b *testing.B) {
			for b.Loop() {
				paced(b, a.crowdAt(bare.address, crowd, true), crowd, bare.send)
			}
		})
		b.Run(fmt.Sprintf("200 events a second/%d clients/knell", crowd), func(b *testing.B) {
			for b.Loop() {
				paced(b, a.crowd(crowd, true), crowd, func() { a.append(1, 1) })
			}
		})
	}
	b.Run("saturated", func(b *testing.B) {
		f := a.crowd(clients, false)
		const ahead, burst = 6000, 2000 // the ring has room for more
		before, used := inUse(), processorTime()
		var sent int64
		for b.Loop() {
			a.append(burst, 512)
			sent += burst
			f.await(sent - ahead)
		}
		f.await(sent)
		b.ReportMetric(float64(sent)*clients/b.Elapsed().Seconds(), "deliveries/s")
		b.ReportMetric(float64(processorTime()-used)/float64(sent)/clients, "cpu-ns/delivery")
		b.ReportMetric((inUse()-before)/1024/1024, "MiB-more")
		b.ReportMetric(float64(f.end().CPU)/float64(sent)/clients, "crowd-cpu-ns/delivery")
	})
}

// paced sends 200 events a second to some clients, for five seconds, and reports how late they are.
func paced(b *testing.B, f *following, clients int, send func()) {
	const rate, count = 200, 1000
	used := processorTime()
	tick := time.NewTicker(time.Second / rate)
	defer tick.Stop()
	var sending sync.WaitGroup
	for range count {
		<-tick.C
		sending.Go(send)
	}
	sending.Wait()
	f.await(count)
	used = processorTime() - used
	s := f.end()
	b.ReportMetric(s.P50, "p50-ms")
	b.ReportMetric(s.P99, "p99-ms")
	b.ReportMetric(s.Max, "max-ms")
	b.ReportMetric(float64(used)/count/float64(clients), "cpu-ns/delivery")
	b.ReportMetric(float64(s.CPU)/count/float64(clients), "crowd-cpu-ns/delivery")
	b.ReportMetric(count*float64(clients)/float64(s.Reads), "deliveries/read")
}

// bareFan is a server of events that does nothing else, as the limit to compare with: no log, no commit, no token, no filter. What is
// sent is the same text for all; a client's goroutine takes all that waits for it, and writes it with one flush.
type bareFan struct {
	address string
	text    []byte // of an event, but for its time

	mu      sync.Mutex
	clients map[chan []byte]bool
}

func newBareFan(b *testing.B) *bareFan {
	f := &bareFan{clients: map[chan []byte]bool{}, text: fmt.Appendf(nil, "%0640d", 0)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	f.address = l.Addr().String()
	server := &http.Server{Handler: f}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	b.Cleanup(func() {
		server.Close()
		<-done
	})
	return f
}

func (f *bareFan) send() {
	at := time.Now()
	text := fmt.Appendf(nil, "id: 1000\ndata: {\"time\":%q,\"text\":\"%s\"}\n\n", at.Format(time.RFC3339Nano), f.text)
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.clients {
		c <- text
	}
}

func (f *bareFan) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	queue := make(chan []byte, 1000)
	f.mu.Lock()
	f.clients[queue] = true
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.clients, queue)
		f.mu.Unlock()
	}()
	flush := http.NewResponseController(w).Flush
	buf := make([]byte, 0, eventBytes)
	for err := flush(); err == nil; err = flush() {
		select {
		case text := <-queue:
			buf = append(buf[:0], text...)
		case <-r.Context().Done():
			return
		}
		for len(queue) > 0 && len(buf) < cap(buf)/2 {
			buf = append(buf, <-queue...)
		}
		_, _ = w.Write(buf)
	}
}

// eventBytes is what the bare server writes at once, at most.
const eventBytes = 32 << 10
