package node

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/fence"
)

// Tracer makes spans of what becomes of commands, and of messages that carry a trace (W3C Trace Context). It is asked about commands
// and such messages, never about a verification, and must not block. Methods are safe for concurrent use.
type Tracer interface {
	// Parent returns the traceparent of the span that ctx is in, "" when that is not recorded.
	Parent(ctx context.Context) string
	// Record makes a span of something that has ended, below the span that parent names, with attributes as pairs of key and value.
	Record(parent, name string, began, ended time.Time, attributes ...string)
}

// Names of spans, and keys of their attributes.
const (
	spanAppend  = "append"       // until the log acknowledged the event
	spanApply   = "apply"        // by the replica that wrote the event
	spanApplied = "applied"      // by another replica
	spanBarrier = "barrier"      // from own apply until no replica decides without the event
	spanWait    = "barrier wait" // the part of that for one replica

	keyReplica  = "knell.replica"
	keySequence = "knell.sequence"
	keyEvent    = "knell.event"
	keyVoid     = "knell.void"
	keyOutcome  = "knell.outcome"
)

// trace writes into an event the trace of the command that it is of.
func (n *Node) trace(ctx context.Context, e *events.Event) {
	if n.cfg.Tracer == nil {
		return
	}
	e.TraceParent = cmp.Or(n.cfg.Tracer.Parent(ctx), e.TraceParent)
}

// traced reports whether spans are made of what becomes of an event.
func (n *Node) traced(e *events.Event) bool { return n.cfg.Tracer != nil && e.TraceParent != "" }

// traceAppend makes the span of an append that has ended.
func (n *Node) traceAppend(e *events.Event, began time.Time, seq uint64, err error) {
	outcome := "stored"
	if err != nil {
		outcome = "failed"
	}
	n.cfg.Tracer.Record(e.TraceParent, spanAppend, began, time.Now(),
		keyReplica, n.cfg.Name, keyEvent, string(e.Data.Type()), keySequence, sequence(seq), keyOutcome, outcome)
}

// traceApply makes the span of a message that this replica has applied. What is replayed at a start happened long ago.
func (n *Node) traceApply(e *events.Event, began time.Time, out outcome) {
	if n.hot.lease.Load() == nil || e.Data == nil {
		return
	}
	name := spanApplied
	if e.Node == n.cfg.Name {
		name = spanApply
	}
	attributes := []string{keyReplica, n.cfg.Name, keyEvent, string(e.Data.Type()), keySequence, sequence(out.seq)}
	if out.void != "" {
		attributes = append(attributes, keyVoid, string(out.void))
	}
	n.cfg.Tracer.Record(e.TraceParent, name, began, time.Now(), attributes...)
}

func sequence(seq uint64) string { return strconv.FormatUint(seq, 10) }

// barrierTrace is an open barrier whose command is traced. All but waiting is set before anybody sees it.
type barrierTrace struct {
	parent  string
	seq     uint64
	began   time.Time
	waiting []holding // whom it still waits for; guarded by keeping.mu
}

// holding is a life that may decide without an event.
type holding struct {
	inc  fence.Incarnation
	name string
}

// follow notes that the barrier with a tag is open and traced.
func (w *waiters) follow(tag uint64, t *barrierTrace) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.byTag[tag] == nil { // its command has gone
		return
	}
	if w.traces == nil {
		w.traces = map[uint64]*barrierTrace{}
	}
	w.traces[tag] = t
	w.tracing.Store(true)
}

// parentOf returns the traceparent of the command that a barrier's tag is of.
func (w *waiters) parentOf(tag uint64) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if wt := w.byTag[tag]; wt != nil {
		return wt.parent
	}
	return ""
}

// followed returns the traces of all open barriers.
func (w *waiters) followed() []*barrierTrace {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := make([]*barrierTrace, 0, len(w.traces))
	for _, t := range w.traces {
		list = append(list, t)
	}
	return list
}

// unfollow forgets the trace of a barrier. w.mu is held.
func (w *waiters) unfollow(tag uint64) {
	if w.traces[tag] != nil {
		delete(w.traces, tag)
		w.tracing.Store(len(w.traces) > 0)
	}
}

// traceBarrierLocked begins to trace a barrier that is about to open, if its command is traced. k.mu is held.
func (n *Node) traceBarrierLocked(seq, tag uint64, now fence.Reading) {
	if n.cfg.Tracer == nil {
		return
	}
	parent := n.wait.parentOf(tag)
	if parent == "" {
		return
	}
	t := &barrierTrace{parent: parent, seq: seq, began: time.Now()}
	who, _ := n.keeping.machine.Pending(seq, now)
	for _, inc := range who {
		t.waiting = append(t.waiting, holding{inc, n.keeping.nameLocked(inc)})
	}
	n.wait.follow(tag, t)
}

// endedWait is the end of a barrier's wait for one replica.
type endedWait struct {
	*barrierTrace
	name string
}

// endedWaitsLocked returns the waits that have ended by now. k.mu is held.
func (n *Node) endedWaitsLocked(now fence.Reading) (ended []endedWait) {
	if !n.wait.tracing.Load() {
		return nil
	}
	for _, t := range n.wait.followed() {
		who, _ := n.keeping.machine.Pending(t.seq, now)
		t.waiting = slices.DeleteFunc(t.waiting, func(h holding) bool {
			if slices.Contains(who, h.inc) {
				return false
			}
			ended = append(ended, endedWait{t, h.name})
			return true
		})
	}
	return ended
}

// traceWaits makes the spans of waits that ended when something was heard of from; "": time has passed.
func (n *Node) traceWaits(ended []endedWait, from string) {
	now := time.Now()
	for _, w := range ended {
		outcome := "lease ended"
		if w.name == from {
			outcome = "applied"
		}
		n.cfg.Tracer.Record(w.parent, spanWait, w.began, now, keyReplica, w.name, keySequence, sequence(w.seq), keyOutcome, outcome)
	}
}

// traceBarrier makes the span of a barrier that its command waits for no more. wt is final, or removed.
func (n *Node) traceBarrier(wt *waiter) {
	if n.cfg.Tracer == nil || wt.parent == "" || wt.effect != narrowing || wt.applied.IsZero() || wt.out.void != "" {
		return
	}
	ended, outcome := wt.complete, "complete"
	if ended.IsZero() {
		ended, outcome = time.Now(), "pending"
	}
	n.cfg.Tracer.Record(wt.parent, spanBarrier, wt.applied, ended, keyReplica, n.cfg.Name, keySequence, sequence(wt.seq), keyOutcome, outcome)
}
