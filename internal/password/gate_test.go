package password

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// slow is a Hasher whose hashes last until they are told to finish. Use it in a synctest bubble.
type slow struct {
	*Hasher
	t      *testing.T
	finish chan struct{}
	ended  []string // "name" or "name: error" in the order in which the calls returned
	mu     sync.Mutex
	calls  sync.WaitGroup
}

func newSlow(t *testing.T, cfg Config) *slow {
	s := &slow{Hasher: New(cfg), t: t, finish: make(chan struct{})}
	s.compute = func(question) answer {
		<-s.finish
		return answer{Key: make([]byte, keyBytes)}
	}
	return s
}

// start verifies against a hash with so many lanes and returns when the call runs, waits or has ended.
func (s *slow) start(ctx context.Context, name string, lanes uint8) {
	encoded := phc{Params{1024, 1, lanes}, make([]byte, 16), make([]byte, 32)}.String()
	s.calls.Go(func() {
		_, err := s.Verify(ctx, encoded, "password")
		var busy *BusyError
		switch {
		case errors.As(err, &busy) && errors.Is(err, ErrBusy) && busy.RetryAfter >= time.Second:
			name += ": busy"
		case err != nil:
			name += ": " + err.Error()
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.ended = append(s.ended, name)
	})
	synctest.Wait()
}

func (s *slow) finishOne() {
	s.finish <- struct{}{}
	synctest.Wait()
}

func (s *slow) want(running, queued int, rejected uint64, ended ...string) {
	s.t.Helper()
	got, want := s.Stats(), Stats{Running: running, Queued: queued, Rejected: rejected}
	if got.Waits, got.Waited = 0, 0; got != want {
		s.t.Errorf("Stats = %+v, want %+v", got, want)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.ended, ended) {
		s.t.Errorf("ended: %q, want %q", s.ended, ended)
	}
	s.ended = nil
}

func TestQueueIsBoundedAndInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlow(t, Config{Workers: 1, Queue: 3, MaxWait: time.Minute})
		for _, name := range strings.Fields("a b c d") {
			s.start(t.Context(), name, 1)
		}
		s.want(1, 3, 0)
		s.start(t.Context(), "e", 1)
		s.want(1, 3, 1, "e: busy") // at once: no time has passed in the bubble
		s.finishOne()
		s.want(1, 2, 1, "a")
		s.start(t.Context(), "f", 1)
		for i, name := range strings.Fields("b c d f") {
			s.finishOne()
			s.want(min(1, 3-i), max(0, 2-i), 1, name)
		}
		s.calls.Wait()
	})
}

func TestNoQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlow(t, Config{Workers: 2, Queue: -1})
		for _, name := range strings.Fields("a b c") {
			s.start(t.Context(), name, 1)
		}
		s.want(2, 0, 1, "c: busy")
		close(s.finish)
		s.calls.Wait()
	})
}

func TestWaitIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlow(t, Config{Workers: 1})
		s.start(t.Context(), "a", 1)
		s.start(t.Context(), "b", 1)
		time.Sleep(600 * time.Millisecond)
		s.start(t.Context(), "c", 1)
		time.Sleep(399 * time.Millisecond)
		synctest.Wait()
		s.want(1, 2, 0)
		time.Sleep(time.Millisecond)
		synctest.Wait()
		s.want(1, 1, 1, "b: busy")
		s.finishOne()
		s.want(1, 0, 1, "a") // c
		time.Sleep(time.Hour)
		synctest.Wait()
		s.want(1, 0, 1) // who runs is not timed
		s.finishOne()
		s.want(0, 0, 1, "c")
	})
}

func TestCancelFreesThePlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlow(t, Config{Workers: 1, Queue: 1})
		ctx, cancel := context.WithCancel(t.Context())
		s.start(t.Context(), "a", 1)
		s.start(ctx, "b", 1)
		s.start(t.Context(), "c", 1)
		s.want(1, 1, 1, "c: busy")
		cancel()
		synctest.Wait()
		s.want(1, 0, 1, "b: context canceled")
		s.start(ctx, "d", 1) // cancelled before it came
		s.want(1, 0, 1, "d: context canceled")
		s.start(t.Context(), "e", 1)
		s.want(1, 1, 1)
		s.finishOne()
		s.finishOne()
		s.want(0, 0, 1, "a", "e")
		s.calls.Wait()
	})
}

// A hash with many lanes takes many workers and is not starved by narrow ones.
func TestWideHash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlow(t, Config{Workers: 3})
		ctx, cancel := context.WithCancel(t.Context())
		s.start(t.Context(), "a", 1)
		s.start(t.Context(), "wide", 8) // more lanes than workers: it takes all
		s.start(t.Context(), "b", 1)    // two workers are free, but it is not its turn
		s.want(1, 2, 0)
		s.finishOne()
		s.want(1, 1, 0, "a")
		s.finishOne()
		s.want(1, 0, 0, "wide")
		s.start(ctx, "head", 3)
		s.start(t.Context(), "c", 2)
		s.start(t.Context(), "d", 1)
		s.want(1, 3, 0)
		cancel() // of the head of the queue lets those behind it in
		synctest.Wait()
		s.want(2, 1, 0, "head: context canceled")
		close(s.finish)
		s.calls.Wait()
		if st := s.Stats(); st.Running != 0 || st.Queued != 0 {
			t.Errorf("%+v at the end", st)
		}
	})
}

func TestPanicFreesTheWorker(t *testing.T) {
	h := New(Config{Workers: 1, Queue: -1, Params: cheap})
	h.compute = func(question) answer { panic("defect") }
	func() {
		defer func() { _ = recover() }()
		_, _ = h.Hash(t.Context(), "password")
	}()
	if s := h.Stats(); s.Running != 0 {
		t.Errorf("%+v after a panic", s)
	}
}

// Random callers, widths, durations and patience: never more lanes than workers at a time, and nothing is left behind.
func TestGateUnderLoad(t *testing.T) {
	const workers = 4
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			g := newGate(workers, 10, 50*time.Millisecond)
			rng := rand.New(rand.NewPCG(seed, 0))
			upTo := func(d time.Duration) time.Duration { return time.Duration(rng.Int64N(int64(d))) }
			var calls sync.WaitGroup
			var mu sync.Mutex
			lanesNow := 0
			add := func(n int) {
				mu.Lock()
				defer mu.Unlock()
				if lanesNow += n; lanesNow > workers {
					t.Errorf("seed %d: %d lanes at a time", seed, lanesNow)
				}
			}
			for range 200 {
				time.Sleep(upTo(6 * time.Millisecond))
				lanes, work, patience := 1+rng.IntN(5), upTo(20*time.Millisecond), upTo(100*time.Millisecond)
				calls.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					defer cancel()
					if g.enter(ctx, lanes, anybody) != nil {
						return
					}
					add(min(lanes, workers))
					time.Sleep(work)
					add(-min(lanes, workers))
					g.leave(lanes)
				})
			}
			calls.Wait()
			if s := g.stats(); s.Running != 0 || s.Queued != 0 || g.busy != 0 {
				t.Errorf("seed %d: %+v, %d workers busy at the end", seed, s, g.busy)
			}
		})
	}
}

// An administrator resets a password while logins fill the queue.
func TestKnownCallersComeFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlow(t, Config{Workers: 1, Queue: 2, MaxWait: time.Hour, Params: Params{MemoryKiB: 8, Time: 1, Lanes: 1}})
		for _, name := range []string{"a", "b", "c", "d"} {
			s.start(t.Context(), name, 1)
		}
		s.want(1, 2, 1, "d: busy")
		for _, name := range []string{"reset 1", "reset 2", "reset 3"} {
			s.calls.Go(func() {
				if _, err := s.Hash(t.Context(), "a new password"); err != nil {
					name += ": busy"
				}
				s.mu.Lock()
				defer s.mu.Unlock()
				s.ended = append(s.ended, name)
			})
			synctest.Wait()
		}
		s.want(1, 4, 2, "reset 3: busy")
		for _, name := range []string{"a", "reset 1", "reset 2", "b", "c"} {
			s.finishOne()
			if s.ended[0] != name {
				t.Errorf("%s ended, want %s", s.ended, name)
			}
			s.ended = nil
		}
		s.calls.Wait()
		s.want(0, 0, 2)
	})
}

// Work in bulk comes behind logins, takes as many workers as there are at most, and is never told to come back.
func TestBulkWaitsItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlow(t, Config{Workers: 1, Queue: 1, MaxWait: time.Second, Params: cheap})
		ctx, cancel := context.WithCancel(t.Context())
		for _, name := range []string{"bulk 1", "bulk 2", "bulk 3"} {
			s.calls.Go(func() {
				if _, err := s.HashInTurn(ctx, "a new password"); err != nil {
					name += ": " + err.Error()
				}
				s.mu.Lock()
				defer s.mu.Unlock()
				s.ended = append(s.ended, name[:4]+name[6:])
			})
		}
		synctest.Wait()
		s.want(1, 0, 0) // the others do not even take places
		s.start(t.Context(), "login 1", 1)
		s.finishOne()
		s.want(1, 1, 0, "bulk") // login 1 runs, and then the second one
		time.Sleep(time.Second)
		synctest.Wait()
		s.want(1, 0, 1) // refused, and will try again
		s.start(t.Context(), "login 2", 1)
		s.finishOne()
		s.want(1, 0, 1, "login 1")
		time.Sleep(time.Second)
		synctest.Wait()
		s.want(1, 1, 1)
		s.finishOne()
		s.want(1, 0, 1, "login 2")
		cancel() // what runs goes on, what waits ends
		synctest.Wait()
		s.want(1, 0, 1, "bulk: context canceled")
		s.finishOne()
		s.want(0, 0, 1, "bulk")
		s.calls.Wait()
	})
}
