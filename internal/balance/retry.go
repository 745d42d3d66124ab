package balance

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
)

// errNoReplica: no replica is ready, or none of the ready ones could be reached before anything was sent to it.
var errNoReplica = errors.New("balance: no replica is ready")

// RoundTrip implements http.RoundTripper for the reverse proxy: it sends the request to the replica whose turn it is, and on
// to the others as long as repeating it is safe:
//
//   - no connection came about: nothing was sent, so any method may go elsewhere;
//   - the connection broke, or the answer is 503 (the replica cannot prove that it is current): safe methods only
//     (RFC 9110 section 9.2.1). Anything else may have taken effect, and the client has to decide.
//
// A body that was too large to keep is sent once.
func (b *Balancer) RoundTrip(r *http.Request) (*http.Response, error) {
	candidates := b.candidates()
	if r.Body != nil && r.Body != http.NoBody && r.GetBody == nil {
		candidates = candidates[:min(1, len(candidates))]
	}
	err := errNoReplica
	for i, c := range candidates {
		resp, sent, tryErr := b.try(r, c)
		again := i+1 < len(candidates) && r.Context().Err() == nil
		switch {
		case tryErr == nil && resp.StatusCode == http.StatusServiceUnavailable && isSafe(r.Method) && again:
			io.Copy(io.Discard, io.LimitReader(resp.Body, maxReplay)) // so that the connection can be used again
			resp.Body.Close()
		case tryErr == nil:
			return resp, nil
		case !sent:
			if r.Context().Err() == nil {
				b.setReady(c, false)
			}
			err = fmt.Errorf("%w: %w", errNoReplica, tryErr)
		case isSafe(r.Method) && again:
			err = tryErr
		default:
			return nil, tryErr
		}
	}
	return nil, err
}

// try sends r to one replica. sent tells whether a connection came about, so that the replica may have seen the request.
func (b *Balancer) try(r *http.Request, to *replica) (resp *http.Response, sent bool, err error) {
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { sent = true }}
	out := r.Clone(httptrace.WithClientTrace(r.Context(), trace))
	out.URL.Scheme, out.URL.Host = to.base.Scheme, to.base.Host
	if r.GetBody != nil {
		if out.Body, err = r.GetBody(); err != nil {
			return nil, false, err
		}
	}
	resp, err = b.conns.RoundTrip(out)
	return resp, sent, err
}

// candidates returns the ready replicas, beginning with the one whose turn it is.
func (b *Balancer) candidates() []*replica {
	n := len(b.replicas)
	first := int(b.next.Add(1) % uint64(n))
	ready := make([]*replica, 0, n)
	for i := range n {
		if c := b.replicas[(first+i)%n]; c.ready.Load() {
			ready = append(ready, c)
		}
	}
	return ready
}

// isSafe reports whether a request of this method asks for no effect (RFC 9110 section 9.2.1).
func isSafe(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}
