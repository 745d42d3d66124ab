package replica

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"
)

// BenchmarkPublishToStream measures how long it takes from before an event is appended at one replica of three until a client of another
// one has read it, while nothing else happens.
func BenchmarkPublishToStream(b *testing.B) {
	a := newBenchCluster(b)
	conn := a.open("")
	defer conn.Close()
	c := &eventCounter{data: make([]byte, 64<<10)}
	if err := c.read(conn); err != nil { // the head of the answer
		b.Fatal(err)
	}
	var late []time.Duration
	for b.Loop() {
		began := time.Now()
		want := c.count + 1
		a.append(1, 1)
		for c.count < want {
			if err := c.read(conn); err != nil {
				b.Fatal(err)
			}
		}
		late = append(late, time.Since(began))
	}
	slices.Sort(late)
	at := func(share float64) float64 {
		return float64(late[int(share*float64(len(late)-1))].Microseconds()) / 1000
	}
	b.ReportMetric(at(0.5), "p50-ms")
	b.ReportMetric(at(0.99), "p99-ms")
	b.ReportMetric(at(1), "max-ms")
}

// newBenchCluster is three replicas on this machine: events are appended by the first one, and read at the last.
func newBenchCluster(b *testing.B) *benchAudit {
	routes := routesFor(b, 3)
	var all []*Replica
	var last net.Listener
	for i := range routes {
		cfg := standalone(b, b.TempDir())
		cfg.Name, cfg.Copies, cfg.NATS.Cluster = fmt.Sprintf("r%d", i), 3, clusterOf(routes, i)
		cfg.Node.Lease = time.Minute
		last = cfg.Listener
		all = append(all, Start(cfg))
	}
	b.Cleanup(func() {
		var leaving sync.WaitGroup
		for _, r := range all { // each waits for the others
			leaving.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
				defer cancel()
				if err := r.Leave(ctx); err != nil {
					b.Error(err)
				}
			})
		}
		leaving.Wait()
		for _, r := range all {
			stop(b, r)
		}
	})
	for _, r := range all {
		select {
		case <-r.Ready():
		case <-r.Failed():
			b.Fatal(r.Err())
		case <-time.After(time.Minute):
			b.Fatal("not ready in time")
		}
	}
	a := &benchAudit{b: b, address: last.Addr().String(), Replica: all[0]}
	a.auditor()
	return a
}
