package httpapi

import (
	"log/slog"
	"net/http"
	"runtime/debug"
)

// recoverPanics answers 500 when a handler panics, and logs the panic. The handlers of this package write their answer as
// the last thing they do, so nothing has been written when one panics.
func (a *api) recoverPanics(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer a.recovered(w, r)
		next.ServeHTTP(w, r)
	})
}

// recovered has to be deferred itself for recover to see the panic.
func (a *api) recovered(w http.ResponseWriter, r *http.Request) {
	cause := recover()
	if cause == nil {
		return
	}
	if cause == http.ErrAbortHandler { // the way to cut a connection on purpose
		panic(cause)
	}
	a.log.LogAttrs(r.Context(), slog.LevelError, "panic", slog.String("request_id", requestOf(r).id),
		slog.String("route", r.Pattern), slog.Any("cause", cause), slog.String("stack", string(debug.Stack())))
	writeProblem(w, r, http.StatusInternalServerError, "internal error")
}
