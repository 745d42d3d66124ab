package revoke

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
)

var sink uint64

// benchID returns the nth random id in a few nanoseconds.
func benchID(n uint64) (id [16]byte) {
	a := (n + 1) * 0x9e3779b97f4a7c15
	a = (a ^ a>>30) * 0xbf58476d1ce4e5b9
	binary.LittleEndian.PutUint64(id[:8], a)
	binary.LittleEndian.PutUint64(id[8:], (a^a>>27)*0x94d049bb133111eb)
	return id
}

// BenchmarkSetLookup reports what the set takes an entry, by its own account and by the heap's. The map is the measure in
// the same run: it may be read only while nobody writes.
func BenchmarkSetLookup(b *testing.B) {
	for _, n := range []uint64{10_000, 1_000_000} {
		before := heap()
		s := NewSet()
		for i := range n {
			s.Insert(benchID(i), i+1, now)
		}
		after := heap()
		m := make(map[[16]byte]uint64, n)
		for i := range n {
			m[benchID(i)] = i + 1
		}
		for _, c := range []struct {
			name string
			from uint64
		}{{"hit", 0}, {"miss", n}} {
			b.Run(fmt.Sprintf("%s/%d", c.name, n), func(b *testing.B) {
				b.ReportAllocs()
				r := rand.NewPCG(1, 1)
				for b.Loop() {
					seq, _ := s.Lookup(benchID(c.from + r.Uint64()%n))
					sink += seq
				}
				b.ReportMetric(float64(s.Bytes())/float64(n), "B/entry")
				b.ReportMetric(float64(after-before)/float64(n), "heap-B/entry")
			})
			b.Run(fmt.Sprintf("map-%s/%d", c.name, n), func(b *testing.B) {
				r := rand.NewPCG(1, 1)
				for b.Loop() {
					sink += m[benchID(c.from+r.Uint64()%n)]
				}
			})
		}
	}
}

// heap returns the bytes of live objects.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func BenchmarkSetInsert(b *testing.B) {
	s := NewSet()
	b.ReportAllocs()
	n := uint64(0)
	for b.Loop() {
		s.Insert(benchID(n), n+1, now)
		n++
	}
}

// BenchmarkSetPurge purges a million entries, a quarter of which expired.
func BenchmarkSetPurge(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		s := NewSet()
		for i := range uint64(1_000_000) {
			s.Insert(benchID(i), i+1, now+int64(i%4+1)*1000)
		}
		b.StartTimer()
		s.Purge(now + 1100)
	}
}

func BenchmarkWordsLive(b *testing.B) {
	for _, n := range []uint32{1, 10_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var w Words
			for i := range n {
				w.Set(i, true)
			}
			x := uint32(1)
			for b.Loop() {
				x = x*1664525 + 1013904223
				if w.Live(x % n) {
					sink++
				}
			}
		})
	}
}
