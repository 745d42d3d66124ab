package fence

import (
	"fmt"
	"testing"
	"time"
)

// clusterOf returns a machine that knows n other replicas by fresh beats.
func clusterOf(n int) (*Machine, []Incarnation) {
	m := New(Config{Length: time.Hour}, at(0), nil)
	incs := make([]Incarnation, n)
	for i := range incs {
		incs[i] = Incarnation{1, byte(i), byte(i >> 8)}
		m.Beat(uint64(i+1), Ping{Inc: incs[i]}, at(0))
	}
	return m, incs
}

// One logout at a time: a barrier, a report of each other replica, and the question what is complete after each report.
func BenchmarkBarrier(b *testing.B) {
	for _, n := range []int{2, 29, 299} {
		b.Run(fmt.Sprintf("replicas=%d", n+1), func(b *testing.B) {
			m, incs := clusterOf(n)
			seq := uint64(n)
			var done []uint64
			b.ReportAllocs()
			for b.Loop() {
				seq++
				m.Barrier(seq, at(0), seq)
				for _, inc := range incs {
					m.Report(inc, seq)
					done = m.Completed(done[:0], at(0))
				}
				if len(done) != 1 {
					b.Fatal("not complete")
				}
			}
		})
	}
}

// A thousand logouts wait at a time; each round of reports completes them all. One operation is one logout.
func BenchmarkBarrierBatched(b *testing.B) {
	const batch = 1000
	for _, n := range []int{2, 29, 299} {
		b.Run(fmt.Sprintf("replicas=%d", n+1), func(b *testing.B) {
			m, incs := clusterOf(n)
			seq := uint64(n)
			var done []uint64
			b.ReportAllocs()
			for i := 0; i < b.N; i += batch {
				for range batch {
					seq++
					m.Barrier(seq, at(0), seq)
				}
				for _, inc := range incs {
					m.Report(inc, seq)
					done = m.Completed(done[:0], at(0))
				}
				if len(done) != batch {
					b.Fatal("not complete")
				}
			}
		})
	}
}

// One replica is silent, and 10,000 logouts wait for its horizon while the others report each.
func BenchmarkBarrierBehindSilence(b *testing.B) {
	for _, n := range []int{2, 29, 299} {
		b.Run(fmt.Sprintf("replicas=%d", n+1), func(b *testing.B) {
			m, incs := clusterOf(n)
			seq := uint64(n)
			for range 10_000 {
				seq++
				m.Barrier(seq, at(0), seq)
			}
			b.ReportAllocs()
			for b.Loop() {
				seq++
				for _, inc := range incs[1:] {
					m.Report(inc, seq)
					if len(m.Completed(nil, at(0))) != 0 {
						b.Fatal("complete")
					}
				}
			}
		})
	}
}

func BenchmarkBeat(b *testing.B) {
	for _, n := range []int{2, 29, 299} {
		b.Run(fmt.Sprintf("replicas=%d", n+1), func(b *testing.B) {
			m, incs := clusterOf(n)
			seq := uint64(n)
			b.ReportAllocs()
			for b.Loop() {
				seq++
				m.Beat(seq, Ping{Inc: incs[seq%uint64(n)], Counter: seq, Applied: seq - 1}, at(time.Duration(seq)))
			}
		})
	}
}

func BenchmarkLeaseValid(b *testing.B) {
	l := &Lease{sent: at(1), length: uint64(time.Hour)}
	now := at(2)
	for b.Loop() {
		if now.Mono++; !l.Valid(now) {
			b.Fatal("invalid")
		}
	}
}
