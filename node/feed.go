package node

import (
	"context"
	"runtime"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/knell-auth/knell/events"
)

// Bounds of a feed. What a follower has not taken when it leaves the ring, it has missed.
const (
	ringEntries = 1 << 14
	ringBytes   = 16 << 20

	// What is shown waits for gapEach times the followers, so that at a high rate each of their writes carries several events:
	// a part of what one write costs. The first event after a pause waits for nothing.
	gapEach = 2 * time.Microsecond
	gapMost = 2 * time.Millisecond
)

// feed hands public events from the apply loop to their followers: the newest ones are in a ring that all followers read. The
// apply loop never waits for any of them, and copies nothing while there is none.
type feed struct {
	on      atomic.Bool   // somebody follows
	renames atomic.Uint64 // how often a name that readers are told has changed
	poke    chan struct{} // holds a token when there is something to show
	slots   chan struct{} // a token for each reading of the log that may be under way
	waiting atomic.Int64  // for a slot
	lanes   lanes
	batch   []*feedEntry // of the batch in hand; the apply loop's

	mu        sync.RWMutex
	followers int
	limit     uint64       // how many entries the ring has room for
	ring      []*feedEntry // place p is at p % limit; nil: nobody follows
	first     uint64       // places from first on are there
	next      uint64       // place of the next entry
	bytes     int
	floor     uint64        // every public event after it is in the ring
	lost      uint64        // floor when the ring was begun anew with followers
	applied   uint64        // up to here
	shown     uint64        // places before it may be taken
	shownTo   uint64        // and this is how far the log has been applied with them
	news      chan struct{} // closed when more is shown
}

// feedEntry is one public event. Its view is made once for all followers.
type feedEntry struct {
	seq  uint64
	void voidReason
	data []byte
	view atomic.Pointer[eventView]
}

// eventView is what is found in an event, and told about it beside its own text.
type eventView struct {
	renames uint64 // see feed
	facts   events.Facts
	head    []byte
}

// maxReadings bounds how many readings of the log for readers of events are under way: each holds a few thousand messages.
const maxReadings = 4

func (f *feed) init() {
	f.poke, f.news = make(chan struct{}, 1), make(chan struct{})
	f.slots, f.limit = make(chan struct{}, maxReadings), ringEntries
	f.lanes = make(lanes, lanesEach*runtime.GOMAXPROCS(0))
}

// take keeps a message that was applied. The apply loop calls it while somebody follows.
func (f *feed) take(m *events.Message, void voidReason) {
	if events.AccessTo(m.Subject) == events.Public {
		data := make([]byte, len(m.Data))
		copy(data, m.Data)
		f.batch = append(f.batch, &feedEntry{seq: m.Seq, void: void, data: events.OneLine(data)})
	}
}

// publish adds the batch, which ends at applied; taken says whether its messages were kept.
func (f *feed) publish(applied uint64, taken bool) {
	f.mu.Lock()
	f.applied = applied
	switch {
	case f.followers == 0:
	case !taken: // whoever follows came while the batch was applied, and has to read it from the log
		f.next++
		f.floor, f.lost, f.first, f.shown, f.bytes = applied, applied, f.next, f.next, 0
		f.shownTo = applied
	default:
		for _, e := range f.batch {
			f.add(e)
		}
	}
	more := f.followers > 0
	if more && !taken {
		close(f.news)
		f.news = make(chan struct{})
	}
	f.mu.Unlock()
	clear(f.batch)
	f.batch = f.batch[:0]
	if more {
		select {
		case f.poke <- struct{}{}:
		default:
		}
	}
}

// add puts an entry into the ring in place of the oldest ones. f.mu is held.
func (f *feed) add(e *feedEntry) {
	for f.first < f.next && (f.next-f.first == f.limit || f.bytes+len(e.data) > ringBytes) {
		old := &f.ring[f.first%f.limit]
		f.floor = (*old).seq
		f.bytes -= len((*old).data)
		*old = nil
		f.first++
	}
	f.ring[f.next%f.limit] = e
	f.bytes += len(e.data)
	f.next++
}

// join begins to follow. What is applied from now on is kept, until leave.
func (f *feed) join() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.followers++; f.followers == 1 {
		f.ring = make([]*feedEntry, f.limit)
		f.floor, f.first, f.shown, f.shownTo, f.bytes = f.applied, f.next, f.next, f.applied, 0
		f.on.Store(true)
	}
}

func (f *feed) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.followers--; f.followers == 0 {
		f.on.Store(false)
		f.ring = nil
	}
}

// place returns where the events after seq begin in the ring; ok is false if some of them are not there.
func (f *feed) place(seq uint64) (place uint64, ok bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.followers == 0 || seq < f.floor {
		return 0, false
	}
	n := sort.Search(int(f.next-f.first), func(i int) bool { return f.ring[(f.first+uint64(i))%f.limit].seq > seq })
	return f.first + uint64(n), true
}

// began reports whether the ring was begun after the event at.
func (f *feed) began(at uint64) bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return at < f.lost
}

// read copies what is shown from a place on. It returns how many entries that were and up to which sequence nothing else is; if
// these are all, a channel that is closed when there may be more. ok is false if the ring does not go back so far.
func (f *feed) read(place uint64, into []*feedEntry) (n int, to uint64, news <-chan struct{}, ok bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if place < f.first {
		return 0, 0, nil, false
	}
	for place+uint64(n) < f.shown && n < len(into) {
		into[n] = f.ring[(place+uint64(n))%f.limit]
		n++
	}
	if place+uint64(n) >= f.shown {
		return n, f.shownTo, f.news, true
	}
	return n, into[n-1].seq, nil, true
}

// show lets followers take what has been added. It returns how long to wait before it is called again.
func (f *feed) show() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.shownTo = f.applied
	if f.followers == 0 || f.shown == f.next {
		return 0
	}
	f.shown = f.next
	close(f.news)
	f.news = make(chan struct{})
	return min(time.Duration(f.followers)*gapEach, gapMost)
}

// fresh returns what show is going to show.
func (f *feed) fresh() []*feedEntry {
	f.mu.RLock()
	defer f.mu.RUnlock()
	var list []*feedEntry
	for p := max(f.shown, f.first); p < f.next && f.followers > 0; p++ {
		list = append(list, f.ring[p%f.limit])
	}
	return list
}

// showEvents shows followers what the apply loop has added, until the node ends.
func (n *Node) showEvents() {
	f := &n.hot.feed
	gap := time.NewTimer(0)
	defer gap.Stop()
	<-gap.C
	for {
		select {
		case <-f.poke:
		case <-n.ctx.Done():
			return
		}
		for _, e := range f.fresh() {
			n.viewOf(e)
		}
		if wait := f.show(); wait > 0 {
			gap.Reset(wait)
			select {
			case <-gap.C:
			case <-n.ctx.Done():
				return
			}
		}
	}
}

// viewOf returns the view of an entry, made anew when a name has changed since: no name outlives its user here.
func (n *Node) viewOf(e *feedEntry) *eventView {
	renames := n.hot.feed.renames.Load() // before the names are read
	if v := e.view.Load(); v != nil && v.renames == renames {
		return v
	}
	v := &eventView{renames: renames}
	// The apply loop has decoded it; an optional event of a later version is valid as far as Look goes.
	if err := events.Look(e.data, &v.facts); err == nil {
		v.head = n.appendHead(make([]byte, 0, 128), e.seq, e.void, &v.facts)
	}
	e.view.Store(v)
	if n.hot.feed.renames.Load() != renames { // the name may be that of a user who was deleted since
		e.view.CompareAndSwap(v, nil)
	}
	return v
}

// appendHead appends what stands before the text of an event, less its first byte: its sequence, whether it is void, and names
// as they are now.
func (n *Node) appendHead(buf []byte, seq uint64, void voidReason, f *events.Facts) []byte {
	notes := events.Notes{Seq: seq, Void: string(void)}
	actor, _ := events.ParseID(string(f.Actor))
	n.mu.RLock()
	if u := n.state.users[f.User]; u != nil {
		notes.UserName = u.name
	}
	if u := n.state.users[actor]; u != nil {
		notes.ActorName = u.name
	}
	n.mu.RUnlock()
	return events.AppendNotes(buf, &notes)
}

// noteRename makes followers look names up anew after an event that changed or removed one.
func (f *feed) noteRename(p events.Payload) {
	switch p := p.(type) {
	case *events.SecretProfile:
	case *events.UserRevoked:
		if p.Cause != "deleted" {
			return
		}
	default:
		return
	}
	f.renames.Add(1)
}

// acquire waits for a slot to read the log in, and calls beat each time that it has waited for so long. done gives it back.
func (n *Node) acquire(ctx context.Context, every time.Duration, beat func() error) (done func(), err error) {
	f := &n.hot.feed
	f.waiting.Add(1)
	defer f.waiting.Add(-1)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case f.slots <- struct{}{}:
			return func() { <-f.slots }, nil
		case <-tick.C:
			if err := beat(); err != nil {
				return nil, err
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-n.ctx.Done():
			return nil, ErrClosed
		}
	}
}
