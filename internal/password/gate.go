package password

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// ErrBusy says that a hash was not computed because too many are wanted at a time. It is what errors.Is finds in a
// *BusyError.
var ErrBusy = errors.New("password: too many hashes wanted at a time")

// BusyError is the refusal of a call for which there was no place in the queue, or which waited in it for too long.
type BusyError struct {
	RetryAfter time.Duration // when the calls that wait now are served or refused; at least 1 s
}

// Error returns the refusal with the time after which to try again.
func (e *BusyError) Error() string { return fmt.Sprintf("%v; retry after %v", ErrBusy, e.RetryAfter) }

// Is reports whether target is ErrBusy.
func (e *BusyError) Is(target error) bool { return target == ErrBusy }

// Stats is the load of a Hasher.
type Stats struct {
	Running  int           // calls that hash now
	Queued   int           // calls that wait for a worker now
	Rejected uint64        // calls refused with a *BusyError since New; calls whose context ended are not among them
	Waits    uint64        // calls that have waited in a queue since New, whatever came of them
	Waited   time.Duration // all of them together
}

// gate is a weighted semaphore with a bounded queue, first in, first out. Calls that nobody makes without being known come
// first and have as many places again, so that a flood of logins does not keep an administrator from resetting a password. A hash with n lanes keeps n processors busy and
// therefore takes n workers; one with more lanes than there are workers takes all of them, so that it can run at all.
type gate struct {
	workers int
	places  int // in the queue
	maxWait time.Duration
	checks  atomic.Uint64 // hashes computed to compare with

	mu       sync.Mutex // guards all below; held for a few instructions
	busy     int        // workers taken
	running  int
	queue    list.List // of *waiter: the known ones, then the others
	known    int       // how many of the former
	rejected uint64
	waits    uint64 // calls that have left the queue
	waited   time.Duration
}

// waiter is a call in the queue. Whoever takes it out of the queue decides its fate: grant closes ready, giveUp does not.
type waiter struct {
	weight int
	known  bool
	ready  chan struct{}
}

// caller says who wants a hash.
type caller bool

const (
	anybody caller = false
	known   caller = true // an administrator, or a user who has just logged in
)

func newGate(workers, places int, maxWait time.Duration) *gate {
	return &gate{workers: workers, places: places, maxWait: maxWait}
}

// enter waits for workers for a hash with so many lanes. After nil the caller owes a leave with the same lanes.
func (g *gate) enter(ctx context.Context, lanes int, who caller) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w := &waiter{weight: min(lanes, g.workers), known: who == known, ready: make(chan struct{})}
	g.mu.Lock()
	// Even if workers are free, nobody overtakes a wide hash at the head of the queue.
	if g.queue.Len() == 0 && g.busy+w.weight <= g.workers {
		g.take(w)
		g.mu.Unlock()
		return nil
	}
	if waiting := g.queue.Len() - g.known; w.known && g.known >= g.places || !w.known && waiting >= g.places {
		defer g.mu.Unlock()
		return g.reject()
	}
	e := g.push(w)
	g.mu.Unlock()
	defer g.waitedSince(time.Now())

	timer := time.NewTimer(g.maxWait)
	defer timer.Stop()
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
		return g.giveUp(e, func() error { return ctx.Err() })
	case <-timer.C:
		return g.giveUp(e, g.reject)
	}
}

// enterPatiently is enter for anybody who tries again after each refusal, until ctx ends.
func (g *gate) enterPatiently(ctx context.Context, lanes int) error {
	for {
		err := g.enter(ctx, lanes, anybody)
		var busy *BusyError
		if !errors.As(err, &busy) {
			return err
		}
		timer := time.NewTimer(busy.RetryAfter)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// push puts w into the queue, behind those of its kind. mu is held.
func (g *gate) push(w *waiter) *list.Element {
	if !w.known {
		return g.queue.PushBack(w)
	}
	g.known++
	at := g.queue.Front()
	for at != nil && at.Value.(*waiter).known {
		at = at.Next()
	}
	if at == nil {
		return g.queue.PushBack(w)
	}
	return g.queue.InsertBefore(w, at)
}

// remove takes e out of the queue. mu is held.
func (g *gate) remove(e *list.Element) {
	if g.queue.Remove(e).(*waiter).known {
		g.known--
	}
}

// giveUp takes e out of the queue and returns why, or returns nil if workers were granted at the same moment.
func (g *gate) giveUp(e *list.Element, why func() error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-e.Value.(*waiter).ready:
		return nil
	default:
	}
	g.remove(e)
	g.grant() // those behind a wide hash may fit where it did not
	return why()
}

func (g *gate) leave(lanes int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.busy -= min(lanes, g.workers)
	g.running--
	g.grant()
}

// grant lets in from the head of the queue whoever fits. mu is held.
func (g *gate) grant() {
	for e := g.queue.Front(); e != nil; e = g.queue.Front() {
		w := e.Value.(*waiter)
		if g.busy+w.weight > g.workers {
			return
		}
		g.remove(e)
		g.take(w)
		close(w.ready)
	}
}

// take counts w in. mu is held.
func (g *gate) take(w *waiter) {
	g.busy += w.weight
	g.running++
}

// reject counts and returns a refusal. mu is held.
func (g *gate) reject() error {
	g.rejected++
	return &BusyError{RetryAfter: max(g.maxWait, time.Second)}
}

func (g *gate) stats() Stats {
	g.mu.Lock()
	defer g.mu.Unlock()
	return Stats{Running: g.running, Queued: g.queue.Len(), Rejected: g.rejected, Waits: g.waits, Waited: g.waited}
}

// waitedSince counts a call that has been in the queue since began.
func (g *gate) waitedSince(began time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waits++
	g.waited += time.Since(began)
}
