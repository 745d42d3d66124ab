package replica

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// requestsTimeout bounds the wait for requests in progress at a stop. It leaves the rest of the stop's time for leaving
// the log and for handing leadership over.
const requestsTimeout = 10 * time.Second

// leaveTimeout bounds the writing of "this life has ended". After about a lease nobody waits for the replica any more, so
// that there is nothing left to tell.
const leaveTimeout = 4 * time.Second

// Close leaves the log (see Leave), hands leadership over and stops the server. It returns when nothing of the replica
// runs any more, or with an error when ctx ended first or a part did not stop cleanly. It is idempotent; a replica that
// has not become ready is stopped likewise.
func (r *Replica) Close(ctx context.Context) error {
	r.closing.Do(func() {
		r.closed = r.Leave(ctx)
		if r.events != nil {
			r.closed = errors.Join(r.closed, r.events.Close())
		}
		if r.conn != nil {
			r.conn.Close()
		}
		if r.server != nil {
			if err := r.server.Stop(ctx); err != nil {
				r.closed = errors.Join(r.closed, fmt.Errorf("stopping %s: %w", r.cfg.Name, err))
			}
		}
	})
	return r.closed
}

// Leave makes /readyz red for the drain time, finishes the requests in progress and leaves the log, so that no other
// replica waits for this one's lease. The log goes on to run here until Close: replicas that stop together all leave first,
// while there are enough of them to write down that they did. It is idempotent.
func (r *Replica) Leave(ctx context.Context) error {
	r.leaving.Do(func() { r.left = r.leave(ctx) })
	return r.left
}

func (r *Replica) leave(ctx context.Context) error {
	r.gate.drain()
	r.drain(ctx)
	errs := []error{shutdown(ctx, r.http)}
	r.cancel()
	r.work.Wait()
	if r.local != nil {
		errs = append(errs, r.local.close(ctx))
	}
	if r.node != nil {
		r.farewell(ctx)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("leaving with %s: %w", r.cfg.Name, err)
	}
	return nil
}

// farewell closes the node. That the others could not be told, for want of a majority, is no failure of the stop: they wait
// for this replica's lease once.
func (r *Replica) farewell(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	if err := r.node.Close(ctx); err != nil {
		r.log.Warn("stopped without telling the other replicas, who wait for the end of this one's lease", "error", err)
	}
}

// drain gives load balancers the time to see that the replica is red. Nobody sends requests to one that never was green.
func (r *Replica) drain(ctx context.Context) {
	select {
	case <-r.ready:
	default:
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

// shutdown finishes the requests in progress, or cuts them off when they take too long.
func shutdown(ctx context.Context, s *http.Server) error {
	ctx, cancel := context.WithTimeout(ctx, requestsTimeout)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		s.Close()
		return fmt.Errorf("requests in progress were cut off: %w", err)
	}
	return nil
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
		add("http", "http://"+r.cfg.Listener.Addr().String())
	}
	add("nats", r.server.ClientURL())
	add("routes", r.server.RouteAddr())
	if r.local != nil {
		add("admin", r.local.path)
	}
	return append(a, "data", r.cfg.Dir)
}

// ClientURL returns the URL for NATS clients, "" when there is none. It must not be called before Ready is closed.
func (r *Replica) ClientURL() string { return r.server.ClientURL() }
