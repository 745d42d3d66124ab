package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/fence"
)

// effect says what a command waits for.
type effect bool

const (
	plain     effect = false // own apply
	narrowing effect = true  // and the barrier: no replica decides without it any more
)

// waiter is a command that waits for its own event to come back through the log.
type waiter struct {
	effect effect
	done   chan struct{} // closed when out is final
	seq    uint64        // 0 until applied; guarded by waiters.mu
	out    outcome       // valid once done is closed
	tag    uint64        // of its barrier
	early  time.Duration // when a mutation ends the barrier; 0: never

	receipt bool       // holders is wanted
	holders []Follower // who could hold a lease when the barrier began; set before, or valid once done is closed

	parent string // traceparent of the command; "": it is not traced

	applied, complete time.Time // own apply, end of the barrier; guarded by waiters.mu until done is closed
	last              string    // who was waited for last
}

// waiters finds the command of an event id, and of a barrier.
type waiters struct {
	mu      sync.Mutex
	byID    map[events.ID]*waiter
	byTag   map[uint64]*waiter
	tag     uint64
	bySeq   []seqWaiter
	waiting atomic.Bool // bySeq may not be empty

	traces  map[uint64]*barrierTrace // of open barriers, by tag
	tracing atomic.Bool              // traces is not empty
}

// seqWaiter is a verification that waits for a sequence.
type seqWaiter struct {
	seq uint64
	c   chan struct{}
}

func (w *waiters) init() {
	w.byID = map[events.ID]*waiter{}
	w.byTag = map[uint64]*waiter{}
}

// add registers a command before its event is appended.
func (w *waiters) add(id events.ID, e effect) *waiter {
	wt := &waiter{effect: e, done: make(chan struct{})}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.byID[id] = wt
	return wt
}

// await returns a channel that is closed when seq has been applied.
func (w *waiters) await(seq uint64, applied func() uint64) <-chan struct{} {
	c := make(chan struct{})
	w.mu.Lock()
	defer w.mu.Unlock()
	// The apply loop stores the sequence and then loads waiting; here it is the other way round, so one sees the other.
	w.waiting.Store(true)
	if applied() >= seq {
		close(c)
		return c
	}
	w.bySeq = append(w.bySeq, seqWaiter{seq, c})
	return c
}

// reached lets those go on that wait for a sequence up to applied.
func (w *waiters) reached(applied uint64) {
	if !w.waiting.Load() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bySeq = slices.DeleteFunc(w.bySeq, func(s seqWaiter) bool {
		if s.seq <= applied {
			close(s.c)
		}
		return s.seq <= applied
	})
	w.waiting.Store(len(w.bySeq) > 0)
}

// remove forgets a command. It returns the sequence at which its event was applied, 0 if it was not.
func (w *waiters) remove(id events.ID, wt *waiter) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.byID, id)
	delete(w.byTag, wt.tag)
	w.unfollow(wt.tag)
	return wt.seq
}

// applied is called by the apply loop when readers see the effect of the event. It returns a barrier's tag when the command
// waits for one; otherwise the command goes on.
func (w *waiters) applied(id events.ID, out outcome) (tag uint64, barrier bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	wt := w.byID[id]
	if wt == nil || wt.seq != 0 {
		return 0, false
	}
	wt.seq, wt.out, wt.applied = out.seq, out, time.Now()
	if wt.effect == plain || out.void != "" {
		close(wt.done)
		return 0, false
	}
	return w.tagLocked(wt), true
}

// tagLocked gives wt a barrier's tag.
func (w *waiters) tagLocked(wt *waiter) uint64 {
	w.tag++
	wt.tag = w.tag
	w.byTag[wt.tag] = wt
	return wt.tag
}

// complete lets the command of a barrier go on, which waited for last in the end.
func (w *waiters) complete(tag uint64, last string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if wt := w.byTag[tag]; wt != nil {
		delete(w.byTag, tag)
		w.unfollow(tag)
		wt.complete, wt.last = time.Now(), last
		close(wt.done)
	}
}

// receipt returns the command of a barrier, if a receipt of it is wanted.
func (w *waiters) receipt(tag uint64) *waiter {
	w.mu.Lock()
	defer w.mu.Unlock()
	if wt := w.byTag[tag]; wt != nil && wt.receipt {
		return wt
	}
	return nil
}

// pending returns how many barriers are open.
func (w *waiters) pending() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.byTag)
}

// newEvent returns an event about subject, with a fresh id, in the epoch of the log.
func (n *Node) newEvent(data events.Payload, subject string, o Origin) *events.Event {
	actor := o.Actor
	if actor == "" {
		actor = subject
	}
	e := &events.Event{
		ID: events.NewID(), Time: n.clock.now(), Subject: subject, Node: n.cfg.Name, Actor: actor,
		RequestID: o.RequestID, Reason: o.Reason, Data: data,
	}
	n.mu.RLock()
	var key []byte
	e.Epoch, key = n.state.epoch, n.state.hashKey
	n.mu.RUnlock()
	n.cfg.Recording.origin(e, o, key)
	n.life.ids.seal(e)
	return e
}

// commit appends e and waits until this replica's own apply loop has applied it and, for a narrowing effect, until the
// barrier is complete. The state then tells what came of it: a void outcome changed nothing and took no barrier.
//
// An error means that the outcome is unknown, unless it is ErrFull, ErrBadRequest, a *PendingError or an *OlderError.
func (n *Node) commit(ctx context.Context, e *events.Event, eff effect) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	began := time.Now()
	n.trace(ctx, e)
	wt := n.wait.add(e.ID, eff)
	wt.early, wt.receipt, wt.parent = n.endsEarly(), eff == narrowing && wantsReceipt(ctx), e.TraceParent
	out, err := n.await(ctx, e, wt, n.append(ctx, e, eff))
	n.wait.remove(e.ID, wt) // nobody changes it any more
	n.noteTiming(ctx, wt, began)
	n.noteRevocation(revokes(e.Data), wt, began, err)
	n.traceBarrier(wt)
	return out, err
}

// await returns what came of an event that is being appended; failed is what append returned.
func (n *Node) await(ctx context.Context, e *events.Event, wt *waiter, failed <-chan error) (outcome, error) {
	select {
	case <-wt.done:
		return wt.out, nil
	case err := <-failed:
		var older *OlderError
		switch {
		case errors.As(err, &older):
			return outcome{}, older
		case errors.Is(err, events.ErrFull):
			return outcome{}, ErrFull
		case errors.Is(err, events.ErrInvalid): // it is not there and never will be
			return outcome{}, fmt.Errorf("%w: it is too large to be recorded", ErrBadRequest)
		}
		return outcome{}, fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
	case <-ctx.Done():
		return outcome{}, n.unfinished(ctx, e.ID, wt)
	case <-n.ctx.Done():
		return outcome{}, fmt.Errorf("%w: %w", ErrUnknownOutcome, ErrClosed)
	}
}

// append adds e in the background: own apply, not the acknowledgement, is what a command waits for. The channel gets at
// most one error and no success. An event that ends something is tried on even if its caller has gone: it was asked for.
func (n *Node) append(ctx context.Context, e *events.Event, eff effect) <-chan error {
	failed := make(chan error, 1)
	if eff == narrowing {
		ctx = n.ctx
	}
	ok := n.work.Go(func() {
		began := time.Now()
		seq, err := n.write(ctx, e)
		if err != nil {
			failed <- err
		}
		if n.traced(e) {
			n.traceAppend(e, began, seq, err)
		}
	})
	if !ok {
		failed <- ErrClosed
	}
	return failed
}

// unfinished returns the error of a command whose caller stopped waiting.
func (n *Node) unfinished(ctx context.Context, id events.ID, wt *waiter) error {
	if seq := n.wait.remove(id, wt); seq != 0 && wt.tag != 0 {
		return n.pendingError(seq)
	}
	return fmt.Errorf("%w: %w", ErrUnknownOutcome, context.Cause(ctx))
}

// barrier waits until every replica that may hold a lease has applied seq, which this one has. It is for a decision that
// is in the log already: whoever asks for it again must not hear "done" before it is.
func (n *Node) barrier(ctx context.Context, seq uint64) error {
	return n.barrierFor(ctx, &waiter{effect: narrowing, done: make(chan struct{}), seq: seq})
}

// barrierOf is barrier for the event at seq, which did what a command asks for: a receipt of it may be wanted.
func (n *Node) barrierOf(ctx context.Context, seq uint64) error {
	wt := &waiter{effect: narrowing, done: make(chan struct{}), seq: seq, receipt: wantsReceipt(ctx)}
	began := time.Now()
	err := n.barrierFor(ctx, wt)
	n.noteRevocation(true, wt, began, err)
	return err
}

func (n *Node) barrierFor(ctx context.Context, wt *waiter) error {
	if n.cfg.Break&fence.RepeatWithoutBarrier != 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	began := time.Now()
	wt.applied = began
	if n.cfg.Tracer != nil {
		wt.parent = n.cfg.Tracer.Parent(ctx)
		defer n.traceBarrier(wt)
	}
	n.wait.mu.Lock()
	tag := n.wait.tagLocked(wt)
	n.wait.mu.Unlock()
	defer n.wait.remove(events.ID{}, wt)
	n.openBarrier(wt.seq, tag)
	select {
	case <-wt.done:
		n.noteTiming(ctx, wt, began)
		return nil
	case <-ctx.Done():
		return n.pendingError(wt.seq)
	case <-n.ctx.Done():
		return ErrClosed
	}
}

func (n *Node) epoch() events.ID {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.state.epoch
}

func newKey() []byte {
	k := make([]byte, 32)
	rand.Read(k)
	return k
}
