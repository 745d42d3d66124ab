package node

import (
	"container/heap"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/knell-auth/knell/internal/token"
)

// Watch is a request that goes on after its token was verified: a stream, a WebSocket, a long poll. Its context ends with the
// token. All methods are safe for concurrent use.
type Watch struct {
	n      *Node
	claims *token.Claims // nil: of nobody
	ctx    context.Context
	cancel context.CancelCauseFunc
	cause  atomic.Pointer[error] // why it ended; nil: it has not

	// Guarded by watches.mu.
	flag       liveFlag
	prev, next *Watch // with the same flag
	place      int    // in watches.byExpiry; -1: it is not watched, or not any more
}

// Watch watches the token that id speaks for until Stop, which the caller has to call. The context of the Watch is a child of
// ctx. It ends with a cause (context.Cause):
//
//   - ErrRevoked, ErrStale or another ErrInvalidToken, when the session has ended, the user's roles have changed or the key that
//     signed the token was revoked. That happens while the event is applied, before this replica reports that it has: when a
//     logout has returned, no replica that took part in it has a context of that session that has not ended;
//   - ErrExpired, when the token has expired, a 60th of the lease later at the most;
//   - ErrNotCurrent, when the lease has ended, as soon as the process runs: one that was paused notices when it wakes up;
//   - ErrClosed, when the node stops, before it says so to the others.
//
// A token that is not good now gives a context that has ended already. A refresh does not prolong the life of the token
// before it. There is no goroutine and no timer for each watch.
func (n *Node) Watch(ctx context.Context, id Identity) *Watch {
	w := &Watch{n: n, claims: id.c, place: -1}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	if err := n.watch(w); err != nil {
		w.end(err)
	}
	return w
}

// watch takes the three steps of a verification, with the beginning of w as the look at the state: what is revoked later finds
// w among the watches.
func (n *Node) watch(w *Watch) error {
	if w.claims == nil {
		return ErrInvalidToken
	}
	lease := n.hot.lease.Load()
	verdict := n.beginWatch(w)
	now := n.clock.read()
	switch {
	case !lease.Valid(now):
		return ErrNotCurrent
	case verdict == nil && n.unix(now) >= w.claims.Expires:
		return ErrExpired
	}
	return verdict
}

func (n *Node) beginWatch(w *Watch) error {
	n.mu.RLock()
	defer n.mu.RUnlock()
	word, err := n.state.look(w.claims)
	if err != nil {
		return err
	}
	return n.hot.watches.add(w, flagOf(w.claims, word))
}

// flagOf returns the flag of what look has found for c.
func flagOf(c *token.Claims, word uint32) liveFlag {
	if c.KeyID == "" { // an API key or Basic
		return accessFlag(word)
	}
	return liveFlag(word)
}

// Context returns the context that ends with the token.
func (w *Watch) Context() context.Context { return w.ctx }

// Check returns nil if the token may be answered for at this moment, whatever became of the context that the Watch was made
// with; otherwise why the Watch has ended, which it then has. It takes the three steps of a verification, so that it says yes
// to nobody who asks after a logout of the session has returned, on whatever replica. It costs no allocation.
func (w *Watch) Check() error {
	lease := w.n.hot.lease.Load()
	if cause := w.cause.Load(); cause != nil { // the look at the state: endDead wrote it
		return *cause
	}
	now := w.n.clock.read()
	switch {
	case !lease.Valid(now):
		w.end(ErrNotCurrent)
	case w.n.unix(now) >= w.claims.Expires:
		w.end(ErrExpired)
	default:
		return nil
	}
	return *w.cause.Load()
}

// Stop ends the watch and its context, with context.Canceled if it had not ended. It is idempotent.
func (w *Watch) Stop() { w.end(context.Canceled) }

// end ends the watch for the given cause, unless it has ended.
func (w *Watch) end(cause error) {
	w.n.hot.watches.remove(w)
	w.conclude(cause)
}

// conclude is end for a watch that is not among the watches any more.
func (w *Watch) conclude(cause error) {
	if w.cause.CompareAndSwap(nil, &cause) {
		w.cancel(cause)
	}
}

// watches are the watches of a node, by what ends them.
type watches struct {
	mu       sync.Mutex
	byFlag   map[liveFlag]*Watch // the first one with a live flag; nil: none yet
	byExpiry expiryHeap
	closed   bool
}

// add watches w, whose credential has the given live flag. Node.mu is held, so that no flag changes meanwhile.
func (ws *watches) add(w *Watch, flag liveFlag) error {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.closed {
		return ErrClosed
	}
	ws.link(w, flag)
	heap.Push(&ws.byExpiry, w)
	return nil
}

func (ws *watches) remove(w *Watch) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.drop(w)
}

// drop forgets w, if it is known. ws.mu is held, as for the two below.
func (ws *watches) drop(w *Watch) {
	if w.place >= 0 {
		ws.unlink(w)
		heap.Remove(&ws.byExpiry, w.place)
	}
}

func (ws *watches) link(w *Watch, flag liveFlag) {
	if ws.byFlag == nil {
		ws.byFlag = map[liveFlag]*Watch{}
	}
	first := ws.byFlag[flag]
	w.flag, w.prev, w.next = flag, nil, first
	if first != nil {
		first.prev = w
	}
	ws.byFlag[flag] = w
}

func (ws *watches) unlink(w *Watch) {
	switch {
	case w.prev != nil:
		w.prev.next = w.next
	case w.next != nil:
		ws.byFlag[w.flag] = w.next
	default:
		delete(ws.byFlag, w.flag)
	}
	if w.next != nil {
		w.next.prev = w.prev
	}
	w.prev, w.next = nil, nil
}

// endDead ends the watches whose live flags the message in hand has cleared, unless their sessions go on under another flag.
// The apply loop calls it with n.mu held: nobody can read the sequence of the message, let alone report it, before that. To
// cancel a context runs no code but package context's.
func (n *Node) endDead() {
	dead := n.state.freeWord.dead
	if len(dead) == 0 {
		return
	}
	ws := &n.hot.watches
	ws.mu.Lock()
	defer ws.mu.Unlock()
	var found []*Watch
	for _, flag := range dead {
		if len(ws.byFlag) == 0 {
			break
		}
		for w := ws.byFlag[flag]; w != nil; w = w.next {
			found = append(found, w)
		}
	}
	for _, w := range found {
		word, verdict := n.state.look(w.claims)
		if verdict != nil {
			ws.drop(w)
			w.conclude(verdict)
			continue
		}
		ws.unlink(w)
		ws.link(w, flagOf(w.claims, word))
	}
}

// endInTime ends watches whose time has come, until the node ends. It waits for nothing else: the keeper may wait for a disk.
func (n *Node) endInTime() {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-t.C:
			t.Reset(n.endDue())
		}
	}
}

// endDue ends the watches whose token has expired, and all of them when this replica holds no lease. It returns the time until
// it has to be called again: in time for the end of the lease, and often enough to notice when the clocks have jumped.
func (n *Node) endDue() time.Duration {
	lease := n.hot.lease.Load()
	now := n.clock.read()
	left := lease.Remaining(now)
	if left == 0 {
		n.hot.watches.endAll(ErrNotCurrent)
		return n.cfg.Lease / ticksPerLease
	}
	n.hot.watches.endExpired(n.unix(now))
	return min(left, n.cfg.Lease/ticksPerLease)
}

func (ws *watches) endExpired(now int64) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for len(ws.byExpiry) > 0 && now >= ws.byExpiry[0].claims.Expires {
		w := ws.byExpiry[0]
		ws.drop(w)
		w.conclude(ErrExpired)
	}
}

func (ws *watches) endAll(cause error) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for _, w := range ws.byExpiry {
		w.prev, w.next, w.place = nil, nil, -1
		w.conclude(cause)
	}
	clear(ws.byFlag)
	ws.byExpiry = nil
}

// close ends all watches for good.
func (ws *watches) close() {
	ws.mu.Lock()
	ws.closed = true
	ws.mu.Unlock()
	ws.endAll(ErrClosed)
}

// expiryHeap has the watch that expires first at its head (container/heap).
type expiryHeap []*Watch

// Len implements heap.Interface.
func (h expiryHeap) Len() int { return len(h) }

// Less implements heap.Interface.
func (h expiryHeap) Less(i, j int) bool { return h[i].claims.Expires < h[j].claims.Expires }

// Swap implements heap.Interface.
func (h expiryHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

// Push implements heap.Interface.
func (h *expiryHeap) Push(w any) {
	w.(*Watch).place = len(*h)
	*h = append(*h, w.(*Watch))
}

// Pop implements heap.Interface.
func (h *expiryHeap) Pop() any {
	last := len(*h) - 1
	w := (*h)[last]
	(*h)[last], w.place = nil, -1
	*h = (*h)[:last]
	return w
}
