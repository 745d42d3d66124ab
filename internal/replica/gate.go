package replica

import (
	"encoding/json"
	"io"
	"net/http"
	"sync/atomic"
)

// gate answers for a replica that has no node yet, and makes /readyz red while its copy of the log is not whole and while it stops. The
// zero gate is shut.
type gate struct {
	handler  atomic.Pointer[http.Handler]
	draining atomic.Bool
	lags     atomic.Bool            // the copy of the log is not whole yet
	waits    atomic.Pointer[string] // what the start waits for
	active   atomic.Int64           // requests in progress
}

// tell notes what the start waits for.
func (g *gate) tell(text string) { g.waits.Store(&text) }

// open lets requests through to h.
func (g *gate) open(h http.Handler) { g.handler.Store(&h) }

// lag makes /readyz red until complete is called.
func (g *gate) lag() { g.lags.Store(true) }

// complete notes that the copy of the log is whole.
func (g *gate) complete() { g.lags.Store(false) }

// drain makes /readyz red for good.
func (g *gate) drain() { g.draining.Store(true) }

// ServeHTTP implements http.Handler.
func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.active.Add(1)
	defer g.active.Add(-1)
	h := g.handler.Load()
	spare := r.Context().Value(spareKey{}) != nil
	if g.draining.Load() || spare {
		// Whoever keeps connections asks elsewhere next time. One that is in use when it is closed may swallow a request, and a POST is
		// not repeated.
		w.Header().Set("Connection", "close")
	}
	switch {
	case spare && r.URL.Path != "/readyz" && r.URL.Path != "/livez":
		unavailable(w, "this replica has too many connections")
	case r.URL.Path == "/readyz" && g.draining.Load():
		unavailable(w, "this replica is stopping")
	case r.URL.Path == "/readyz" && h != nil && g.lags.Load():
		unavailable(w, "this replica serves, but its copy of the log is not whole yet: do not stop another replica before it is")
	case h != nil:
		(*h).ServeHTTP(w, r)
	case r.URL.Path == "/livez":
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		io.WriteString(w, "ok\n")
	default:
		text := "it holds no lease yet"
		if waits := g.waits.Load(); waits != nil {
			text = *waits
		}
		unavailable(w, "this replica is starting: "+text)
	}
}

// unavailable answers 503 with a problem document (RFC 9457).
func unavailable(w http.ResponseWriter, detail string) {
	h := w.Header()
	h.Set("Retry-After", "1")
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusServiceUnavailable)
	quoted, _ := json.Marshal(detail) // a string can always be encoded
	io.WriteString(w, `{"title":"Service Unavailable","status":503,"detail":`+string(quoted)+"}\n")
}
