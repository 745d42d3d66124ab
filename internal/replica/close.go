package replica

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Bounds of a stop after its drain time. Who stops a replica seldom waits for more than ten seconds in all.
const (
	// requestsTimeout is for requests in progress: a logout may wait for a lost replica's lease.
	requestsTimeout = 5 * time.Second
	// answerTimeout is for the answers to requests that were given up.
	answerTimeout = time.Second
	// leaveTimeout is for the writing of "this life has ended", and lostTimeout when this replica has lost its lease.
	leaveTimeout = 2 * time.Second
	lostTimeout  = 500 * time.Millisecond
	// leaseCheck is the time between two looks at the lease during a stop.
	leaseCheck = 50 * time.Millisecond
)

// Close leaves the log (see Leave), hands leadership over and stops the server. It returns when nothing of the replica
// runs any more, or with an error when ctx ended first or a part did not stop cleanly. It is idempotent; a replica that
// has not become ready is stopped likewise.
func (r *Replica) Close(ctx context.Context) error {
	r.closing.Do(func() {
		r.closing.err = r.Leave(ctx)
		if r.events != nil {
			r.closing.err = errors.Join(r.closing.err, r.events.Close())
		}
		if r.conn != nil {
			r.conn.Close()
		}
		if r.server != nil {
			if err := r.server.Stop(ctx); err != nil {
				r.closing.err = errors.Join(r.closing.err, fmt.Errorf("stopping %s: %w", r.cfg.Name, err))
			}
		}
		if err := r.telemetry.close(ctx); err != nil {
			r.log.Warn("telemetry", "error", err)
		}
	})
	return r.closing.err
}

// Leave makes /readyz red for the drain time, finishes the requests in progress and leaves the log, so that no other
// replica waits for this one's lease. The log goes on to run here until Close: replicas that stop together all leave first,
// while there are enough of them to write down that they did. It is idempotent.
func (r *Replica) Leave(ctx context.Context) error {
	r.leaving.Do(func() { r.leaving.err = r.leave(ctx) })
	return r.leaving.err
}

func (r *Replica) leave(ctx context.Context) error {
	r.gate.drain()
	var watch sync.WaitGroup
	drained, answered := make(chan struct{}), make(chan struct{})
	if r.served() {
		watch.Go(func() { r.giveUpInTime(drained, answered) })
	}
	r.drain(ctx)
	close(drained)
	late := time.AfterFunc(requestsTimeout, r.requests.end)
	defer late.Stop()
	r.streams.end()
	errs := []error{r.shutdown(ctx, r.http, &r.gate)}
	r.shutdownAuthz(ctx)
	r.cancel()
	r.work.Wait()
	if r.cfg.Readers != nil {
		r.cfg.Readers.Close() // if the start did not come so far as to serve it; else it is closed
	}
	if r.local != nil {
		errs = append(errs, r.shutdown(ctx, r.local.server, &r.local.gate), r.local.closed())
	}
	close(answered)
	watch.Wait()
	r.requests.end()
	if r.node != nil {
		r.farewell(ctx)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("leaving with %s: %w", r.cfg.Name, err)
	}
	return nil
}

// served reports whether the replica has held a lease.
func (r *Replica) served() bool {
	select {
	case <-r.serving:
		return true
	default:
		return false
	}
}

// giveUpInTime gives requests that still wait up when nothing can come of them: as soon as the lease has ended, and after
// the drain when the log has lost its majority. They are answered 503 then.
func (r *Replica) giveUpInTime(drained, answered <-chan struct{}) {
	tick := time.NewTicker(leaseCheck)
	defer tick.Stop()
	isDrained := func() bool {
		select {
		case <-drained:
			return true
		default:
			return false
		}
	}
	for r.node.Ready() && !(isDrained() && !majority(r.peers())) {
		select {
		case <-answered:
			return
		case <-tick.C:
		}
	}
	r.requests.end()
}

// farewell closes the node. That the others could not be told is no failure of the stop: they wait for this replica's lease
// once. Without a majority nothing can be written down, so it is not tried.
func (r *Replica) farewell(ctx context.Context) {
	timeout := leaveTimeout
	switch {
	case !majority(r.peers()):
		timeout = 0
	case !r.node.Ready():
		timeout = lostTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := r.node.Close(ctx); err != nil {
		r.log.Warn("stopped without telling the other replicas, who wait for the end of this one's lease", "error", err)
	}
}

// drain gives load balancers the time to see that the replica is red. Nobody sends requests to one that never was green.
func (r *Replica) drain(ctx context.Context) {
	if !r.served() {
		return
	}
	t := time.NewTimer(r.cfg.Drain)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.failed:
	case <-ctx.Done():
	}
}

// shutdown finishes the requests in progress, or cuts them off when they have no answer a moment after they were given up.
// Connections without a request are closed like those.
func (r *Replica) shutdown(ctx context.Context, s *http.Server, g *gate) error {
	ctx, cut := context.WithCancel(ctx)
	defer cut()
	stop := context.AfterFunc(r.requests.ctx, func() {
		t := time.NewTimer(answerTimeout)
		defer t.Stop()
		select {
		case <-t.C:
			cut()
		case <-ctx.Done():
		}
	})
	defer stop()
	if s.Shutdown(ctx) == nil {
		return nil
	}
	s.Close()
	if n := g.active.Load(); n > 0 {
		return fmt.Errorf("%d requests in progress were cut off", n)
	}
	return nil
}

// shutdownAuthz answers what Envoys have asked. A question takes no longer than that for a token which is newer than this replica's
// state.
func (r *Replica) shutdownAuthz(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, requestsTimeout)
	defer cancel()
	r.authz.Shutdown(ctx)
}

// Addresses returns what listens where, as pairs for a log line. It must not be called before Ready is closed.
func (r *Replica) Addresses() []any {
	a := []any{"name", r.cfg.Name}
	add := func(key, value string) {
		if value != "" {
			a = append(a, key, value)
		}
	}
	if r.cfg.Listener != nil {
		scheme := "http"
		if r.cfg.TLS != nil {
			scheme = "https"
		}
		add("http", scheme+"://"+r.cfg.Listener.Addr().String())
	}
	if r.cfg.ExtAuthz != nil {
		add("ext_authz", r.cfg.ExtAuthz.Addr().String())
	}
	if r.cfg.Private != nil {
		add("private", r.cfg.Private.Addr().String())
	}
	add("nats", r.ClientURL())
	add("routes", r.server.RouteAddr())
	if r.local != nil {
		add("admin", r.local.path)
	}
	return append(a, "data", r.cfg.Dir)
}

// ClientURL returns the URL for those who read events with NATS clients, "" when there is none. It must not be called before Ready is
// closed.
func (r *Replica) ClientURL() string {
	if r.cfg.Readers == nil {
		return r.server.ClientURL()
	}
	scheme := "nats"
	if r.cfg.ReadersTLS != nil {
		scheme = "tls"
	}
	return scheme + "://" + r.cfg.Readers.Addr().String()
}
