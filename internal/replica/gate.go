package replica

import (
	"io"
	"net/http"
	"sync/atomic"
)

// gate answers for a replica that has no node yet, and makes /readyz red while it stops. The zero gate is shut.
type gate struct {
	handler  atomic.Pointer[http.Handler]
	draining atomic.Bool
}

// open lets requests through to h.
func (g *gate) open(h http.Handler) { g.handler.Store(&h) }

// drain makes /readyz red for good.
func (g *gate) drain() { g.draining.Store(true) }

// ServeHTTP implements http.Handler.
func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := g.handler.Load()
	switch {
	case r.URL.Path == "/readyz" && g.draining.Load():
		unavailable(w, "this replica is stopping")
	case h != nil:
		(*h).ServeHTTP(w, r)
	case r.URL.Path == "/livez":
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		io.WriteString(w, "ok\n")
	default:
		unavailable(w, "this replica is starting: it holds no lease yet")
	}
}

// unavailable answers 503 with a problem document (RFC 9457).
func unavailable(w http.ResponseWriter, detail string) {
	h := w.Header()
	h.Set("Retry-After", "1")
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusServiceUnavailable)
	io.WriteString(w, `{"title":"Service Unavailable","status":503,"detail":"`+detail+`"}`+"\n")
}
