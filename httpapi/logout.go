package httpapi

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/knell-auth/knell/node"
)

// logout serves POST /logout: it ends the session of the bearer token. A token whose session has ended already is
// accepted; the answer then waits for all replicas just the same.
func (a *api) logout(w http.ResponseWriter, r *http.Request) {
	token, err := bearer(r.Header)
	if err == nil {
		err = a.thisSession(w, r)
	}
	if err != nil {
		fail(w, r, a.n, err)
		return
	}
	o := a.origin(r)
	a.revoke(w, r, func(ctx context.Context) error { return a.n.Logout(ctx, token, o) })
}

// thisSession checks that r asks for nothing but the end of its own session: a parameter that was ignored would make the
// logout less than what was asked for.
func (a *api) thisSession(w http.ResponseWriter, r *http.Request) error {
	if r.URL.RawQuery != "" {
		return badRequest("parameters belong into the body, not into the URL")
	}
	if empty, err := emptyBody(w, r); empty || err != nil {
		return err
	}
	form, err := readForm(w, r)
	if err != nil {
		return err
	}
	for name, value := range form {
		if name != "scope" || value != "this" {
			return badRequest("only the parameter scope=this is supported")
		}
	}
	return nil
}

// pendingDocument says who may not follow a command yet.
type pendingDocument struct {
	Sequence uint64   `json:"sequence" doc:"Of the event in the log."`
	Pending  []string `json:"pending" doc:"Replicas that may not follow it yet."`
	Certain  string   `json:"certain" doc:"RFC 3339: from then on every replica follows it."`
}

// revoke runs a command that returns when every replica follows it, and answers 204 then. It waits for a.logoutWait, or
// as long as the client prefers (RFC 7240; at least a second, since the command has to be recorded first). A client that
// prefers to wait less is told 202 with the replicas that are pending; any other gets 503, and so does everybody
// whose command may not have been recorded.
func (a *api) revoke(w http.ResponseWriter, r *http.Request, command func(context.Context) error) {
	wait := a.logoutWait
	preference, preferred := preferredWait(r.Header)
	if preferred {
		wait = min(max(preference, time.Second), wait)
	}
	ctx, cancel := commandContext(r, wait)
	defer cancel()
	ctx, timing := node.WithTiming(ctx)
	err := command(ctx)
	serverTiming(w.Header(), timing)

	var pending *node.PendingError
	switch {
	case preferred && (err == nil || errors.As(err, &pending)):
		w.Header().Set("Preference-Applied", "wait="+strconv.FormatInt(int64(wait/time.Second), 10))
	case err != nil:
		fail(w, r, a.n, err)
		return
	}
	if pending == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	names := pending.Pending
	if names == nil {
		names = []string{}
	}
	writeJSON(w, http.StatusAccepted, pendingDocument{pending.Seq, names, notBefore(pending.Certain)})
}

// serverTiming tells where the time of a command went (W3C Server Timing): until it was in the log and applied here, and from
// then until every replica followed, with the name of the one that was waited for last. Whoever measures logouts from
// outside needs both parts, and names and clocks of replicas are no secrets: /status has them.
func serverTiming(h http.Header, t *node.Timing) {
	if !t.Applied {
		return
	}
	value := "commit;dur=" + milliseconds(t.Commit)
	if t.Complete {
		value += ", barrier;dur=" + milliseconds(t.Barrier)
		if t.Last != "" {
			value += `;desc="` + quotable(t.Last) + `"`
		}
	}
	h.Set("Server-Timing", value)
}

func milliseconds(d time.Duration) string {
	return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 3, 64)
}

// commandContext returns a context that ends after wait, but not when the client hangs up: who pressed "log out" and closed
// the window wants to be logged out. It ends when the replica gives its commands up.
func commandContext(r *http.Request, wait time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), wait)
	stop := context.AfterFunc(requestOf(r).commands, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

// notBefore returns t as RFC 3339 with milliseconds, rounded up.
func notBefore(t time.Time) string {
	return t.Add(time.Millisecond - time.Nanosecond).UTC().Format("2006-01-02T15:04:05.000Z07:00")
}
