package node

import (
	"context"
	"runtime"
	"time"
)

// lanes let only so many followers deliver at a time as keep the processors busy. Each takes a moment; but a thousand that are woken at
// once would stand in front of all else that the replica does, the next event included. Go's scheduler has no priorities, so they wait here.
type lanes chan struct{}

const (
	lanesEach = 2 // for each processor
	// laneTime is many times what a write takes. Who is in a lane for longer, because a client takes nothing, holds nobody up.
	laneTime = 2 * time.Millisecond
)

// lane is the place of one follower, which enters it and leaves it.
type lane struct {
	of    lanes
	timer *time.Timer // leaves it, if the follower does not
}

func (l lanes) lane() *lane {
	timer := time.AfterFunc(laneTime, func() { <-l })
	if !timer.Stop() {
		l <- struct{}{} // it has run already, or will
	}
	return &lane{l, timer}
}

// enter waits for a lane, and then for all who are about to do something else.
func (l *lane) enter() {
	l.of <- struct{}{}
	l.timer.Reset(laneTime)
	runtime.Gosched()
}

func (l *lane) leave() {
	if l.timer.Stop() {
		<-l.of
	}
}

// live delivers what is shown in the ring, for as long as that goes back far enough. Nil: it was begun anew.
func (r *reading) live(ctx context.Context, place uint64) error {
	tick := time.NewTimer(r.beat)
	defer tick.Stop()
	for {
		n, news, err := r.newest(place)
		if err != nil || n < 0 {
			return err
		}
		place += uint64(n)
		if news == nil { // there is more
			continue
		}
		select {
		case <-news:
		case <-tick.C:
			quiet := time.Since(r.last)
			if quiet >= r.beat {
				if err := r.flush(); err != nil {
					return err
				}
				quiet = 0
			}
			tick.Reset(r.beat - quiet)
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-r.n.ctx.Done():
			return ErrClosed
		}
	}
}

// newest delivers the next events that are shown from a place in the ring on. It returns how many those were, -1 if the ring was begun anew,
// and what is closed when there are more, nil if there are.
func (r *reading) newest(place uint64) (n int, news <-chan struct{}, err error) {
	if r.lane != nil {
		r.lane.enter()
		defer r.lane.leave()
	}
	var entries [followBatch]*feedEntry
	n, to, news, ok := r.n.hot.feed.read(place, entries[:])
	switch {
	case !ok && r.n.hot.feed.began(r.at):
		return -1, nil, nil
	case !ok:
		return 0, nil, &SlowError{r.at}
	}
	for _, e := range entries[:n] {
		v := r.n.viewOf(e)
		if v.head != nil && e.seq > r.at && v.facts.Public() && r.match.match(&v.facts, e.void != "") && e.seq > r.after {
			r.out = append(r.out, FoundEvent{e.seq, v.head, e.data[1:]})
		}
	}
	r.at = max(r.at, to)
	if len(r.out) > 0 {
		err = r.flush()
	}
	return n, news, err
}

// flush delivers what is in r.out.
func (r *reading) flush() error {
	err := r.deliver(EventBatch{Events: r.out, To: max(r.at, r.after)})
	r.out = r.out[:0]
	r.last = time.Now()
	return err
}
