package replica

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/knell-auth/knell/internal/natsd"
)

// What is said about a start that takes long.
const (
	patience     = 5 * time.Second // before the first line
	repeatEvery  = time.Minute     // between two lines
	lookEvery    = 500 * time.Millisecond
	waitsForNode = "it reads the log and holds no lease yet"
)

// peerCounter knows the other servers of a cluster.
type peerCounter interface {
	Peers() (connected, others int)
}

// peers returns to how many of the other servers with a copy of the log this replica is connected, and how many there are:
// none when it is alone or has no server of its own.
func (r *Replica) peers() (connected, others int) {
	if p, ok := any(r.server).(peerCounter); ok {
		return p.Peers()
	}
	return 0, 0
}

// majority reports whether a server that is connected to so many of the others is part of a majority.
func majority(connected, others int) bool { return 2*(connected+1) > others+1 }

// watchStart watches the start until the function that it returns is called, which awaits the end of the watch.
func (r *Replica) watchStart(ctx context.Context, opened chan struct{}) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	w := &waiting{log: r.log, peers: r.peers, first: !natsd.HasLog(r.cfg.Dir), open: opened, tell: func(text string) {
		r.gate.tell(text)
		if r.local != nil {
			r.local.gate.tell(text)
		}
	}}
	var watch sync.WaitGroup
	watch.Go(func() { w.watch(ctx) })
	return func() {
		cancel()
		watch.Wait()
	}
}

// waiting is a start that goes on.
type waiting struct {
	log   *slog.Logger
	peers func() (connected, others int)
	first bool          // there is no copy of the log here yet
	open  chan struct{} // closed when the log is open
	tell  func(string)  // gets what the start waits for
}

// watch looks what the start waits for, and says so to people when it takes long, until ctx ends.
func (w *waiting) watch(ctx context.Context) {
	began := time.Now()
	next := patience
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		text, outside := w.reason()
		w.tell(text)
		if elapsed := time.Since(began); outside && elapsed >= next {
			w.log.Warn(text)
			next = elapsed + repeatEvery
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// reason returns what the start waits for, and whether that is something outside of this replica.
func (w *waiting) reason() (text string, outside bool) {
	connected, others := w.peers()
	select {
	case <-w.open:
		if majority(connected, others) {
			return waitsForNode, false
		}
	default:
	}
	if others == 0 {
		return "waiting for the log", true
	}
	text = fmt.Sprintf("waiting for the log: connected to %d of %d other replicas", connected, others)
	switch {
	case w.first && connected < others:
		text += "; the first start needs all of them"
	case !majority(connected, others):
		text += "; no majority"
	}
	return text, true
}
