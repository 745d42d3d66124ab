package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/knell-auth/knell/events"
)

// SlowError says that a follower of events took them more slowly than they came, for so long that this replica has forgotten
// what is next for it. To begin again after Last misses nothing.
type SlowError struct{ Last uint64 }

// Error implements error.
func (e *SlowError) Error() string {
	return fmt.Sprintf("events came faster than they were taken; the last one taken is %d", e.Last)
}

const (
	followBatch = 64              // events that a follower gets at once
	slotTime    = 5 * time.Second // after which a reading of the log lets others read who wait
	pageTime    = 3 * time.Second // after which a page ends, whatever it has found
	pageBytes   = 4 << 20
)

// FollowEvents calls deliver with the events that q asks for, in the log's order and without gaps: first, when the query is
// found to be good, with an empty batch; then with those that are there already, which it reads from the log, and with each new
// one when this replica has applied it. When there was nothing to deliver for as long as beat, it delivers an empty batch. To of
// every batch is a position to begin again after, here or at another replica.
//
// It returns deliver's error, or the cause of ctx's end; ErrBadRequest for a position that the log has not reached, or a type that
// is none; ErrTrimmed for one whose events the log has no more; a *SlowError; ErrNotCurrent; ErrClosed. A follower that is slow
// delays nobody.
func (n *Node) FollowEvents(ctx context.Context, q EventQuery, beat time.Duration, deliver func(EventBatch) error) error {
	f := &n.hot.feed
	f.join()
	defer f.leave()
	r, err := n.openReading(ctx, q, deliver)
	if err != nil {
		return err
	}
	r.beat, r.lane = beat, f.lanes.lane()
	if err := r.flush(); err != nil {
		return err
	}
	for {
		place, ok := f.place(r.at)
		if ok {
			err = r.live(ctx, place)
		} else {
			err = r.catchUp(ctx)
		}
		if err != nil {
			return err
		}
	}
}

// EventPage says how far a page got.
type EventPage struct {
	To   uint64 // everything that was asked for up to this sequence is in the page, or in those before it
	More bool   // this replica has applied more than that
}

// ReadEvents calls deliver with events that q asks for and this replica has applied, at most limit of them, and fewer when it took
// long to find them. Errors as FollowEvents.
func (n *Node) ReadEvents(ctx context.Context, q EventQuery, limit int, deliver func(EventBatch) error) (EventPage, error) {
	lease := n.hot.lease.Load()
	r, err := n.openReading(ctx, q, deliver)
	if err != nil {
		return EventPage{}, err
	}
	end := max(n.hot.applied.Load(), r.at)
	if err := r.page(ctx, limit, end); err != nil {
		return EventPage{}, err
	}
	if !lease.Valid(n.clock.read()) {
		return EventPage{}, ErrNotCurrent
	}
	return EventPage{To: max(r.at, r.after), More: r.at < end}, nil
}

// reading is one call of FollowEvents or ReadEvents.
type reading struct {
	n       *Node
	match   *matcher
	deliver func(EventBatch) error
	beat    time.Duration

	at    uint64 // everything up to here has been looked at
	after uint64 // nothing up to here is delivered
	out   []FoundEvent
	heads []byte // of what is in out, when it was read from the log
	last  time.Time
	facts events.Facts // scratch

	sealed bool  // with the leaves of events that nobody may read
	lane   *lane // nil: it delivers when it likes
}

// openReading checks q and finds where in the log it begins.
func (n *Node) openReading(ctx context.Context, q EventQuery, deliver func(EventBatch) error) (*reading, error) {
	m, err := newMatcher(&q)
	if err != nil {
		return nil, err
	}
	if !n.hot.lease.Load().Valid(n.clock.read()) {
		return nil, ErrNotCurrent
	}
	r := &reading{n: n, match: m, deliver: deliver, at: q.After, after: q.After, sealed: q.Sealed}
	if q.After == EventsFromNow {
		r.at = n.hot.feed.end()
		r.after = r.at
	} else if err := n.reach(ctx, q.After); err != nil {
		return nil, err
	}
	n.mu.RLock()
	ses, since := n.state.sessions[q.Session], uint64(0)
	if !q.Since.IsZero() {
		since = n.state.past.before(q.Since.Unix())
	}
	switch {
	case ses == nil && !q.Session.IsZero():
		r.at = 0 // whose it was is said by its start, wherever that is
	case ses != nil:
		m.owner.known = ses.start <= r.at
		if ses.user != nil {
			m.owner.user = ses.user.id
		}
		if ses.client != nil {
			m.owner.client = ses.client.id
		}
		r.at = max(r.at, ses.start-1)
	}
	n.mu.RUnlock()
	if r.match.session.IsZero() {
		r.at = max(r.at, since)
	}
	if _, ok := n.hot.feed.place(r.at); ok {
		return r, nil
	}
	return r, r.findFirst(ctx)
}

// findFirst moves the beginning behind what the log has no more, unless that is what was asked for.
func (r *reading) findFirst(ctx context.Context) error {
	stat, err := r.n.firstStat(ctx)
	if err != nil {
		return err
	}
	// What the log has decided to do without may be there still; which of it is void is not known any more.
	begins, _ := r.n.LogBegins()
	switch first := max(stat.First, begins); {
	case r.after != 0 && r.after+1 < first:
		return trimmedBefore(first)
	case r.at+1 < first:
		r.at = first - 1
	}
	r.n.hot.index.forget(stat.First)
	return nil
}

// reach waits until this replica has applied seq, which another one may have done before it. ErrBadRequest: the log does not go
// so far. That is certain when a lease has begun since: its beat was appended after everything that anybody knew of.
func (n *Node) reach(ctx context.Context, seq uint64) error {
	ok, err := n.proven(ctx, func() bool { return n.hot.applied.Load() >= seq })
	if err == nil && !ok {
		err = fmt.Errorf("%w: the log has not reached %d yet", ErrBadRequest, seq)
	}
	return err
}

// proven waits until yes says so, or until a no is certain: this replica has applied everything that was in the log at the call, and
// yes still says no. ErrNotCurrent, ErrClosed, the cause of ctx's end.
func (n *Node) proven(ctx context.Context, yes func() bool) (bool, error) {
	began := n.clock.read()
	if yes() {
		return true, nil
	}
	look := time.NewTicker(n.cfg.Lease / ticksPerLease)
	defer look.Stop()
	for {
		select {
		case <-look.C:
			lease := n.hot.lease.Load()
			switch {
			case yes():
				return true, nil
			case !lease.Valid(n.clock.read()):
				return false, ErrNotCurrent
			case lease.After(began):
				return false, nil
			}
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-n.ctx.Done():
			return false, ErrClosed
		}
	}
}

// end returns how far the apply loop has got, as followers see it.
func (f *feed) end() uint64 {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.applied
}

// errEnough ends a reading of the log before its end.
var errEnough = errors.New("enough was read")

// catchUp reads from the log what is older than the ring, for as long as there is and nobody else waits to.
func (r *reading) catchUp(ctx context.Context) error {
	done, err := r.n.acquire(ctx, r.beat, r.flush)
	if err != nil {
		return err
	}
	defer done()
	f := &r.n.hot.feed
	began := time.Now()
	err = r.readLog(ctx, f.end(), func() error {
		if len(r.out) > 0 || time.Since(r.last) >= r.beat {
			if err := r.flush(); err != nil {
				return err
			}
		}
		if f.waiting.Load() > 0 && time.Since(began) > slotTime {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// page reads from the log until there are enough events, or it ends.
func (r *reading) page(ctx context.Context, limit int, end uint64) error {
	done, err := r.n.acquire(ctx, pageTime, func() error { return nil })
	if err != nil {
		return err
	}
	defer done()
	began, size, found := time.Now(), 0, 0
	for span := uint64(max(limit, 256)); r.at < end; span *= 4 {
		err := r.readLog(ctx, min(end, r.at+span), func() error {
			keep := min(len(r.out), limit-found)
			for i, e := range r.out[:keep] {
				if size += len(e.head) + len(e.tail); size > pageBytes {
					keep = i + 1
					break
				}
			}
			cut := keep < len(r.out)
			if r.out = r.out[:keep]; cut {
				r.at = r.out[keep-1].Seq
			}
			if r.at <= r.after { // on the way to where the page begins
				began = time.Now()
			}
			if found += keep; keep > 0 {
				if err := r.flush(); err != nil {
					return err
				}
			}
			if cut || found == limit || size > pageBytes || time.Since(began) > pageTime {
				return errEnough
			}
			return nil
		})
		if errors.Is(err, errEnough) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readLog reads the log up to a sequence that was applied, as far as it may have what is asked for, and calls each after every part of
// it, with what it has in r.out.
func (r *reading) readLog(ctx context.Context, upTo uint64, each func() error) error {
	if !r.match.narrow() {
		return r.readAll(ctx, upTo, each)
	}
	for r.at < upTo {
		from, to := r.n.hot.index.run(r.at, upTo, r.match.mayBeIn)
		r.at = from
		if err := r.readAll(ctx, to, each); err != nil {
			return err
		}
	}
	return nil
}

// readAll is readLog without the index.
func (r *reading) readAll(ctx context.Context, upTo uint64, each func() error) error {
	return r.n.readPart(ctx, r.at, upTo, func(batch []events.Message) error {
		for i := range batch {
			if err := r.look(&batch[i]); err != nil {
				return err
			}
		}
		r.at = batch[len(batch)-1].Seq
		err := each()
		r.heads, r.out = r.heads[:0], r.out[:0]
		return err
	})
}

// look puts a message of the log into r.out, if it is asked for.
func (r *reading) look(m *events.Message) error {
	r.n.mu.RLock()
	void, begins := r.n.state.past.void(m.Seq), r.n.state.first
	r.n.mu.RUnlock()
	if m.Seq < begins {
		return trimmedBefore(begins)
	}
	if events.AccessTo(m.Subject) != events.Public {
		return r.lookSealed(m)
	}
	f := &r.facts
	if err := events.Look(m.Data, f); err != nil {
		return fmt.Errorf("message %d: %w", m.Seq, err)
	}
	if !f.Public() {
		return r.lookSealed(m)
	}
	if !r.match.match(f, void != "") || m.Seq <= r.after {
		return nil
	}
	from := len(r.heads)
	r.heads = r.n.appendHead(r.heads, m.Seq, void, f)
	r.out = append(r.out, FoundEvent{m.Seq, r.heads[from:len(r.heads):len(r.heads)], events.OneLine(m.Data)[1:]})
	return nil
}
