// Package balance is a small round-robin load balancer for HTTP replicas. It owns which replica gets a request and whether
// a failed attempt may be repeated on another one; it knows nothing of what the requests mean. It serves `knell dev` and
// tests; it is no replacement for a production load balancer.
package balance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// Defaults and bounds.
const (
	defaultCheckEvery = 200 * time.Millisecond
	// maxReplay is the largest request body, in bytes, that is kept so that the request can be sent a second time.
	maxReplay = 64 << 10
)

// Config describes a balancer.
type Config struct {
	Replicas   []string      // base URLs, such as "http://127.0.0.1:8081", without a path; at least one
	CheckEvery time.Duration // how often each replica's /readyz is asked; 0: 200 ms
	Logger     *slog.Logger  // nil: silent
}

// Balancer is an http.Handler that spreads requests over the replicas that are ready. All methods are safe for concurrent
// use.
type Balancer struct {
	replicas []*replica
	every    time.Duration
	log      *slog.Logger
	proxy    *httputil.ReverseProxy
	next     atomic.Uint64 // whose turn it is

	conns *http.Transport // requests
	check *http.Client    // health checks; its own connections, so that traffic cannot starve them

	cancel context.CancelFunc // ends the health checks
	checks sync.WaitGroup

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when the readiness of a replica changes; guarded by mu
}

// replica is one backend. ready is written by its health check, and cleared by a request that could not connect.
type replica struct {
	base  *url.URL
	ready atomic.Bool
}

// New returns a balancer that checks its replicas until Close. All count as not ready until their first check.
func New(cfg Config) (*Balancer, error) {
	b := &Balancer{
		every: cfg.CheckEvery, log: cfg.Logger, changed: make(chan struct{}),
		conns: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: time.Second}).DialContext,
			MaxIdleConnsPerHost: 256,
			IdleConnTimeout:     30 * time.Second,
			DisableCompression:  true, // bodies pass as they are
		},
	}
	if b.every <= 0 {
		b.every = defaultCheckEvery
	}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	if len(cfg.Replicas) == 0 {
		return nil, errors.New("balance: no replicas")
	}
	for _, s := range cfg.Replicas {
		u, err := url.Parse(s)
		if err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" {
			return nil, fmt.Errorf("balance: %q is not the base URL of a replica", s)
		}
		b.replicas = append(b.replicas, &replica{base: u})
	}
	b.proxy = &httputil.ReverseProxy{
		Rewrite:       rewrite,
		Transport:     b,
		FlushInterval: -1, // streams are passed on as they come
		ErrorHandler:  b.answerError,
		ErrorLog:      slog.NewLogLogger(b.log.Handler(), slog.LevelWarn),
	}
	b.startChecks()
	return b, nil
}

// kept are the headers that no Connection header takes away: those in which a proxy says what /verify has to require, and
// the one that says for whom.
var kept = []string{"X-Knell-Require-Scope", "X-Knell-Require-Role", "Authorization"}

// rewrite passes a request on as it came. ReverseProxy would leave out parameters that it cannot parse, and headers that
// Connection names: a replica must see and refuse what it was asked, not less.
func rewrite(r *httputil.ProxyRequest) {
	r.SetXForwarded()
	r.Out.URL.RawQuery = r.In.URL.RawQuery
	for _, name := range kept {
		if v, ok := r.In.Header[name]; ok {
			r.Out.Header[name] = v
		}
	}
}

// ServeHTTP implements http.Handler.
func (b *Balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength > 0 && r.ContentLength <= maxReplay {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			answer(w, http.StatusBadRequest, "invalid_request", brokenBody)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	} else if r.ContentLength != 0 {
		r.Body = clientBody{r.Body}
	}
	b.proxy.ServeHTTP(w, r)
}

// brokenBody is what a client is told whose body cannot be read to its end.
const brokenBody = "the request body broke off or is malformed"

// clientBody is a body that is passed on as it comes. Its errors are the client's, not the replica's.
type clientBody struct{ io.ReadCloser }

// Read implements io.Reader.
func (b clientBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = &bodyError{err}
	}
	return n, err
}

// bodyError is an error of a clientBody.
type bodyError struct{ error }

// Unwrap returns the cause.
func (e *bodyError) Unwrap() error { return e.error }

// Close ends the health checks and the idle connections. Requests in progress go on.
func (b *Balancer) Close() {
	b.cancel()
	b.checks.Wait()
	b.conns.CloseIdleConnections()
	b.check.CloseIdleConnections()
}

// answerError is called when no replica gave an answer.
func (b *Balancer) answerError(w http.ResponseWriter, r *http.Request, err error) {
	var body *bodyError
	switch {
	case errors.As(err, &body):
		answer(w, http.StatusBadRequest, "invalid_request", brokenBody)
	case r.Context().Err() != nil:
		// The client has gone; nobody reads an answer.
	case errors.Is(err, errNoReplica):
		w.Header().Set("Retry-After", "1")
		answer(w, http.StatusServiceUnavailable, "temporarily_unavailable", "no replica is ready")
	default:
		b.log.Warn("replica broke off", "method", r.Method, "path", r.URL.Path, "error", err)
		answer(w, http.StatusBadGateway, "bad_gateway", "the replica broke off; the outcome is unknown")
	}
}

// answer writes an error in the form that RFC 6749 section 5.2 gives to errors of the token endpoint.
func answer(w http.ResponseWriter, status int, code, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	fmt.Fprintf(w, "{\"error\":%q,\"error_description\":%q}\n", code, text)
}
