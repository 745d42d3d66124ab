package httpapi

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"slices"
	"time"
)

// Meter counts requests. It is told patterns of routes, never paths. Methods are safe for concurrent use.
type Meter interface {
	// Request counts a request that has been answered. method is one that a route can have, or "other"; route is "none" where there is none.
	Request(method, route string, status int, took time.Duration)
	// Verified counts an answer of /verify, which would cost more to time than to give.
	Verified(status int)
}

// Tracer makes spans of requests. Methods are safe for concurrent use.
type Tracer interface {
	// Request begins the span of a request with a method, such as "GET" or "other", to a route, and returns a context that is in it; end ends it.
	// The trace of its traceparent goes on if believed.
	Request(r *http.Request, method, route string, believed bool) (ctx context.Context, end func(status int))
	// ID returns the id of the trace that ctx is in, "" when there is none.
	ID(ctx context.Context) string
}

// observe makes the span of a request, counts it and writes its line in the log.
func (a *api) observe(next http.Handler) http.Handler { return a.observed(next, a.meter, a.tracer) }

// observed is observe with a meter and a tracer of its own. Without them and a line to write it costs three comparisons.
func (a *api) observed(next http.Handler, m Meter, t Tracer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		logs := a.logs(r.Context())
		if !logs && m == nil && t == nil {
			next.ServeHTTP(w, r)
			return
		}
		start := time.Now()
		route := cmp.Or(r.Pattern, noRoute)
		sw := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		if t != nil {
			ctx, end := t.Request(r, knownMethod(r.Method), route, a.believed(r))
			defer func() { end(sw.status) }()
			r = r.WithContext(ctx)
		}
		defer func() {
			took := time.Since(start)
			if m != nil {
				m.Request(knownMethod(r.Method), route, sw.status, took)
			}
			if logs {
				a.logRequest(r, sw.status, took)
			}
		}()
		next.ServeHTTP(sw, r)
	})
}

// observeVerify is observe for /verify. What counts there is counted by the handler; a span is made only for who sends a traceparent and
// is believed, and the request gets its id at once only where there is something to write it into.
func (a *api) observeVerify(next http.Handler) http.Handler {
	logged, traced := a.observed(next, nil, nil), a.observed(next, nil, a.tracer)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case a.tracer != nil && r.Header["Traceparent"] != nil && a.believed(r):
			traced.ServeHTTP(w, a.identify(w, r))
		case a.logs(r.Context()):
			logged.ServeHTTP(w, a.identify(w, r))
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// What stands for a route and for a method that there is not: paths and methods that clients make up are no names of anything.
const (
	noRoute     = "none"
	otherMethod = "other"
)

func knownMethod(method string) string {
	if slices.Contains(methods, method) {
		return method
	}
	return otherMethod
}

// logs reports whether requests are to be written to the log.
func (a *api) logs(ctx context.Context) bool { return a.access || a.log.Enabled(ctx, slog.LevelDebug) }

// logRequest writes one line about a request: on the level info where that was asked for, else debug. Paths, queries and headers may hold
// secrets and are left out.
func (a *api) logRequest(r *http.Request, status int, took time.Duration) {
	level := slog.LevelDebug
	if a.access {
		level = slog.LevelInfo
	}
	attrs := []slog.Attr{
		slog.String("method", knownMethod(r.Method)), slog.String("route", r.Pattern), slog.Int("status", status),
		slog.Duration("duration", took), slog.String("request_id", requestOf(r).id),
	}
	if a.tracer != nil {
		if id := a.tracer.ID(r.Context()); id != "" {
			attrs = append(attrs, slog.String("trace_id", id))
		}
	}
	a.log.LogAttrs(r.Context(), level, "request", attrs...)
}

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap gives http.ResponseController the writer below.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
