package replica

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// BenchmarkReaderReplay compares a reader of a whole log, over TCP with its own consumer and acknowledgements, with a bare ordered
// consumer of it in the process.
func BenchmarkReaderReplay(b *testing.B) {
	const n = 100_000
	a := newBenchAudit(b, withReaders)
	last := a.append(n, 512)
	b.Run("bare", func(b *testing.B) {
		used := processorTime()
		for b.Loop() {
			a.readBare(b, last)
		}
		b.ReportMetric(float64(last)*float64(b.N)/b.Elapsed().Seconds(), "messages/s")
		b.ReportMetric(float64(processorTime()-used)/float64(b.N)/float64(last), "cpu-ns/message")
	})
	b.Run("reader", func(b *testing.B) {
		used, total := processorTime(), 0
		for b.Loop() {
			b.StopTimer()
			rd := grantTo(b, a.Replica, "bench", 0)
			nc, err := rd.connect(b, a.ClientURL())
			if err != nil {
				b.Fatal(err)
			}
			c := rd.consumer(b, nc)
			b.StartTimer()
			total += readAll(b, c, n)
			b.StopTimer()
			nc.Close()
			if err := a.Node().RevokeGrant(b.Context(), "bench", atHand); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
		b.ReportMetric(float64(total)/b.Elapsed().Seconds(), "messages/s")
		b.ReportMetric(float64(processorTime()-used)/float64(total), "cpu-ns/message")
	})
}

// readAll reads at least n events and acknowledges every thousandth, which stands for those before it.
func readAll(b *testing.B, c jetstream.Consumer, n int) (count int) {
	done := make(chan struct{})
	reading, err := c.Consume(func(m jetstream.Msg) {
		if count++; count%1000 == 0 {
			if err := m.Ack(); err != nil {
				b.Error(err)
			}
		}
		if count == n {
			close(done)
		}
	}, jetstream.PullMaxMessages(5000))
	if err != nil {
		b.Fatal(err)
	}
	<-done
	reading.Stop()
	<-reading.Closed()
	return count
}
