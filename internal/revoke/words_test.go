package revoke

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
)

func TestWordsZeroValueIsDead(t *testing.T) {
	var w Words
	for _, i := range []uint32{0, 1, chunkBits, 1<<32 - 1} {
		if w.Live(i) {
			t.Errorf("%d is live", i)
		}
		w.Set(i, false)
		if w.Live(i) || w.chunks.Load() != nil {
			t.Errorf("setting %d dead made room or life", i)
		}
	}
}

func TestWordsAgainstMap(t *testing.T) {
	var w Words
	model := map[uint32]bool{}
	r := rand.New(rand.NewPCG(1, 2))
	pick := func() uint32 {
		switch r.IntN(3) {
		case 0: // around the borders of words and chunks
			return uint32(r.IntN(5)*chunkBits+r.IntN(3)*64+r.IntN(5)) - 2
		case 1:
			return r.Uint32N(300)
		}
		return r.Uint32N(5 * chunkBits)
	}
	for range 200_000 {
		i := pick() % (5 * chunkBits)
		if r.IntN(2) == 0 {
			live := r.IntN(2) == 0
			w.Set(i, live)
			model[i] = live
		}
		if j := pick(); w.Live(j) != model[j] {
			t.Fatalf("Live(%d) = %v", j, w.Live(j))
		}
	}
	for i := range uint32(6 * chunkBits) {
		if w.Live(i) != model[i] {
			t.Fatalf("Live(%d) = %v", i, w.Live(i))
		}
	}
}

// TestWordsConcurrently: what was set before a reader looks is seen, while the words grow.
func TestWordsConcurrently(t *testing.T) {
	var w Words
	const n = 6 * chunkBits
	var live, dead atomic.Uint32 // all below live were set; all below dead were cleared again
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for g := range 3 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 3))
			for {
				select {
				case <-stop:
					return
				default:
				}
				i := r.Uint32N(n)
				cleared, set := dead.Load(), live.Load()
				got := w.Live(i)
				switch {
				case got && i < cleared:
					t.Errorf("%d is live after it was cleared", i)
				case !got && i < set && i > dead.Load():
					t.Errorf("%d is dead before it was cleared", i)
				case got && i > live.Load():
					t.Errorf("%d is live before it was set", i)
				}
			}
		})
	}
	const lag = 1000
	for i := range uint32(n) {
		w.Set(i, true)
		live.Store(i + 1)
		if i >= lag {
			w.Set(i-lag, false)
			dead.Store(i - lag + 1)
		}
	}
	close(stop)
	wg.Wait()
}
