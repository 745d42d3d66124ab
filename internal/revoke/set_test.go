package revoke

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// now is a time of day for tests, Unix seconds.
const now = 1_800_000_000

// idOf returns the nth id: spread like a random one, or the small numbers that nobody should choose.
func idOf(n uint64, spread bool) (id [16]byte) {
	if spread {
		return benchID(n)
	}
	binary.LittleEndian.PutUint64(id[:8], n)
	return id
}

func TestSetEmpty(t *testing.T) {
	s := NewSet()
	if _, ok := s.Lookup([16]byte{}); ok {
		t.Error("an empty set knows the zero id")
	}
	if _, ok := s.Lookup([16]byte{1}); ok {
		t.Error("an empty set knows an id")
	}
	s.Purge(now)
	if s.Len() != 0 || s.Bytes() != 0 {
		t.Errorf("Len %d, Bytes %d", s.Len(), s.Bytes())
	}
}

func TestSetFirstRevocationWins(t *testing.T) {
	s := NewSet()
	id := [16]byte{} // the zero id is an id like others
	s.Insert(id, 7, now)
	s.Insert(id, 9, now+1000)
	s.Insert(id, 11, now+500)
	if seq, ok := s.Lookup(id); seq != 7 || !ok || s.Len() != 1 {
		t.Errorf("Lookup = %d, %v, Len = %d", seq, ok, s.Len())
	}
	s.Purge(now + 900)
	if _, ok := s.Lookup(id); !ok {
		t.Error("forgotten before its latest expiry")
	}
	s.Purge(now + 1000 + 2*expiryUnit)
	if _, ok := s.Lookup(id); ok || s.Len() != 0 || s.Bytes() != 0 {
		t.Errorf("kept after its latest expiry: Len %d, Bytes %d", s.Len(), s.Bytes())
	}
}

func TestSetSequences(t *testing.T) {
	s := NewSet()
	for i, seq := range []uint64{1, 2, 1 << 32, maxSeq} {
		s.Insert(idOf(uint64(i), true), seq, now)
		if got, ok := s.Lookup(idOf(uint64(i), true)); got != seq || !ok {
			t.Errorf("Lookup = %d, %v, want %d", got, ok, seq)
		}
	}
	for _, seq := range []uint64{0, maxSeq + 1} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Insert took sequence %d", seq)
				}
			}()
			s.Insert(idOf(99, true), seq, now)
		}()
	}
}

// TestSetGrows checks each entry at each size, and that the load stays within its bounds.
func TestSetGrows(t *testing.T) {
	for _, spread := range []bool{true, false} {
		s := NewSet()
		const n = 8000
		for i := range uint64(n) {
			s.Insert(idOf(i, spread), i+1, now)
			if i%499 == 0 {
				for j := range i + 1 {
					if seq, ok := s.Lookup(idOf(j, spread)); seq != j+1 || !ok {
						t.Fatalf("entry %d of %d: %d, %v", j, i, seq, ok)
					}
				}
			}
			if _, ok := s.Lookup(idOf(n+i, spread)); ok {
				t.Fatalf("an id that was not inserted is in the set")
			}
		}
		if s.Len() != n {
			t.Errorf("Len = %d", s.Len())
		}
		if per := float64(s.Bytes()) / n; per < 32 || per > 40 {
			t.Errorf("%.1f bytes an entry", per)
		}
	}
}

// TestSetSteadyFlow: with a constant flow of revocations and purges the set stays as large as what is alive, whatever the
// lifetimes are, over years.
func TestSetSteadyFlow(t *testing.T) {
	s := NewSet()
	const life, step = 900, 100
	n := uint64(0)
	for clock := int64(now); clock < now+400*86400; {
		s.Insert(idOf(1<<40+n, true), n+1, clock+90*86400) // a few live long
		for round := range 200 {
			for range 10 {
				n++
				s.Insert(idOf(n, true), n, clock+life)
			}
			clock += step
			s.Purge(clock)
			if round < life/step {
				continue
			}
			// The oldest that is still alive.
			if _, ok := s.Lookup(idOf(n-(life/step-1)*10, true)); !ok {
				t.Fatal("a live entry is gone")
			}
		}
		if s.Len() > 1000 {
			t.Fatalf("%d entries", s.Len())
		}
		clock += 20 * 86400
	}
}

// TestSetFarExpiry: what expires outside the range of a table is kept too long rather than too short.
func TestSetFarExpiry(t *testing.T) {
	s := NewSet()
	s.Insert([16]byte{1}, 1, now)
	for i, expires := range []int64{0, -5, now + 10*expiryRange, 1<<63 - 1, now - expiryRange} {
		s.Insert(idOf(uint64(i), true), 5, expires)
	}
	s.Purge(now)
	for i := range uint64(5) {
		if _, ok := s.Lookup(idOf(i, true)); !ok && i != 0 && i != 1 && i != 4 {
			t.Errorf("entry %d is gone", i)
		}
	}
	s.Purge(now + 5*expiryRange)
	for _, i := range []uint64{2, 3} {
		if _, ok := s.Lookup(idOf(i, true)); !ok {
			t.Errorf("entry %d is gone", i)
		}
	}
}

// TestSetConcurrently: readers run while one writer inserts and purges. What was inserted before a Lookup began is found
// with its own sequence; what was not is not.
func TestSetConcurrently(t *testing.T) {
	s := NewSet()
	const n = 10_000
	ids := make([][16]byte, n)
	for i := range ids {
		ids[i] = idOf(uint64(i), true)
	}
	var inserted atomic.Uint64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for g := range 3 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 2))
			for {
				select {
				case <-stop:
					return
				default:
				}
				before := inserted.Load()
				i := r.Uint64N(n)
				seq, ok := s.Lookup(ids[i])
				// Every third one expires, and may be gone.
				if ok && seq != i+1 || !ok && i < before && i%3 != 0 || ok && i > inserted.Load() {
					t.Errorf("entry %d, %d inserted: %d, %v", i, before, seq, ok)
					return
				}
				if s.Len() < 0 || s.Bytes() < 0 {
					t.Error("negative size")
				}
			}
		})
	}
	for i := range uint64(n) {
		expires := int64(now + 1<<30)
		if i%3 == 0 {
			expires = now + int64(i)
		}
		s.Insert(ids[i], i+1, expires)
		inserted.Store(i + 1)
		if i%500 == 0 {
			s.Purge(now + int64(i))
		}
	}
	close(stop)
	wg.Wait()
}

// Sets that were given the same have the same entries, whenever their tables were made, and another one can be made of them.
func TestSetEntries(t *testing.T) {
	a, b := NewSet(), NewSet()
	b.Insert(idOf(1<<40, true), 1, now-7777) // its tables have other bases
	b.Purge(now)
	for i := range uint64(5000) {
		expires := now + int64(i*i%86400)
		a.Insert(idOf(i, true), i+1, expires)
		b.Insert(idOf(i, true), i+1, expires)
		if i == 2500 {
			a.Purge(now + 20000)
		}
	}
	list, c := a.Entries(now+20000), NewSet()
	for _, e := range list {
		c.Insert(e.ID, e.Seq, e.Expires)
	}
	for _, other := range []*Set{b, c} {
		if got := other.Entries(now + 20000); len(list) == 0 || !slices.Equal(got, list) {
			t.Errorf("%d entries, want %d equal ones", len(got), len(list))
		}
	}
}
