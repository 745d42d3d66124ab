package wire

import (
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// link is one direction between two ports.
type link struct {
	to io.Writer

	mu    sync.Mutex // guards all below, and that packets are written in order
	rule  Rule
	rng   *rand.Rand
	queue []late
	ended bool
	more  *sync.Cond // when the queue gets its first packet or the link has ended
	stop  chan struct{}
}

// late is a packet that waits.
type late struct {
	due    time.Time
	packet []byte
}

func newLink(to io.Writer, rng *rand.Rand) *link {
	l := &link{to: to, rng: rng, stop: make(chan struct{})}
	l.more = sync.NewCond(&l.mu)
	return l
}

func (l *link) set(r Rule) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rule = r
}

// send does to a packet what the rule says. The caller keeps the packet.
func (l *link) send(packet []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.rule
	if r.Cut || l.ended || r.Loss > 0 && l.rng.Float64() < r.Loss {
		return
	}
	if r.Delay == 0 && r.Jitter == 0 && len(l.queue) == 0 {
		_, _ = l.to.Write(packet) // a device that is down loses it, as a network would
		return
	}
	due := time.Now().Add(r.Delay)
	if r.Jitter > 0 {
		due = due.Add(time.Duration(l.rng.Int64N(int64(r.Jitter))))
	}
	if n := len(l.queue); n > 0 && due.Before(l.queue[n-1].due) {
		due = l.queue[n-1].due
	}
	l.queue = append(l.queue, late{due, slices.Clone(packet)})
	l.more.Signal()
}

// run delivers late packets until end.
func (l *link) run() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		for len(l.queue) == 0 && !l.ended {
			l.more.Wait()
		}
		if l.ended {
			return
		}
		first := l.queue[0]
		l.mu.Unlock()
		l.wait(time.Until(first.due))
		l.mu.Lock()
		if l.ended {
			return
		}
		_, _ = l.to.Write(first.packet)
		l.queue = slices.Delete(l.queue, 0, 1)
	}
}

func (l *link) wait(d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-l.stop:
	}
}

func (l *link) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ended {
		l.ended = true
		close(l.stop)
		l.more.Signal()
	}
}
