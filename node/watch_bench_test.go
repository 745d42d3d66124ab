package node

import (
	"context"
	"fmt"
	"runtime"
	"testing"
)

// BenchmarkWatch measures what watched requests cost: to begin and stop one among many, to check before a write beside the
// verification of a known token, and to apply a logout of another session.
func BenchmarkWatch(b *testing.B) {
	n := benchNode(b)
	list := tokens(b, n, 100)
	ids := make([]Identity, len(list))
	for i, tok := range list {
		id, err := n.Verify(b.Context(), tok)
		if err != nil {
			b.Fatal(err)
		}
		ids[i] = id
	}
	for _, count := range []int{0, 10_000} {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		routines := runtime.NumGoroutine()
		watches := make([]*Watch, count)
		for i := range watches {
			watches[i] = n.Watch(b.Context(), ids[i%len(ids)])
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		grown := runtime.NumGoroutine() - routines
		b.Run(fmt.Sprintf("begin and stop/among %d", count), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				n.Watch(b.Context(), ids[i%len(ids)]).Stop()
			}
			if count > 0 {
				b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(count), "heap-B/watch")
				b.ReportMetric(float64(grown), "goroutines")
			}
		})
		b.Run(fmt.Sprintf("logout of another/among %d", count), func(b *testing.B) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.state.freeWord.dead = []liveFlag{1 << 20}
			b.ReportAllocs()
			for b.Loop() {
				n.endDead()
			}
		})
		for _, w := range watches {
			w.Stop()
		}
	}
	b.Run("check", func(b *testing.B) {
		w := n.Watch(b.Context(), ids[0])
		defer w.Stop()
		b.ReportAllocs()
		for b.Loop() {
			if err := w.Check(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("verify", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := n.Verify(context.Background(), list[0]); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkWatchEnds measures the end of 10,000 watches of one session, which happens while its logout is applied.
func BenchmarkWatchEnds(b *testing.B) {
	n := benchNode(b)
	id, err := n.Verify(b.Context(), tokens(b, n, 1)[0])
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		b.StopTimer()
		list := make([]*Watch, 10_000)
		for i := range list {
			list[i] = n.Watch(b.Context(), id)
		}
		b.StartTimer()
		n.hot.watches.endAll(ErrRevoked)
	}
}
