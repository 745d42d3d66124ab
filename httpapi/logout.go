package httpapi

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/knell-auth/knell/node"
)

// logout serves POST /logout: it ends the session of the bearer token, or with scope=others the other sessions of its user, or
// with scope=all those too. A token whose session has ended already is accepted for its own session, which with scope=all must
// have ended with all others; the answer then waits for all replicas just the same.
func (a *api) logout(w http.ResponseWriter, r *http.Request) {
	token, err := bearer(r.Header)
	var scope string
	if err == nil {
		scope, err = logoutScope(w, r)
	}
	if err != nil {
		fail(w, r, a.n, err)
		return
	}
	command := a.n.Logout
	switch scope {
	case "others":
		command = a.n.LogoutOthers
	case "all":
		command = a.n.LogoutAll
	}
	o := a.origin(r)
	a.revoke(w, r, func(ctx context.Context) error { return command(ctx, token, o) })
}

// logoutScope returns the parameter scope of a logout, which is in the form or in the query: "this" when it is in neither.
// There is no other parameter: one that was ignored would make the logout less than what was asked for.
func logoutScope(w http.ResponseWriter, r *http.Request) (string, error) {
	query, err := parseForm(r.URL.RawQuery)
	if err != nil {
		return "", badRequest("the query is malformed")
	}
	var form map[string]string
	if empty, err := emptyBody(w, r); err != nil {
		return "", err
	} else if !empty {
		if form, err = readFormBody(w, r, maxForm); err != nil {
			return "", err
		}
	}
	scope := "this"
	for _, parameters := range []map[string]string{query, form} {
		for name, value := range parameters {
			if name != "scope" || value != "this" && value != "others" && value != "all" {
				return "", badRequest("the only parameter is scope: this, others or all")
			}
			scope = value
		}
	}
	if query["scope"] != "" && form["scope"] != "" && query["scope"] != form["scope"] {
		return "", badRequest("the body and the URL ask for different scopes")
	}
	return scope, nil
}

// pendingDocument says who may not follow a command yet.
type pendingDocument struct {
	Sequence uint64   `json:"sequence" doc:"Of the event in the log."`
	Pending  []string `json:"pending" doc:"Replicas that may not follow it yet."`
	Certain  string   `json:"certain" doc:"RFC 3339: from then on every replica follows it."`
}

// revoke runs a command that returns when every replica follows it, and answers 204 then, or with a receipt for a client that prefers
// one (RFC 7240 section 4.2); errors are problem documents.
func (a *api) revoke(w http.ResponseWriter, r *http.Request, command func(context.Context) error) {
	a.await(w, r, command, http.StatusNoContent, fail)
}

// failure answers an error in the form of an endpoint: fail, or failToken.
type failure func(http.ResponseWriter, *http.Request, retrier, error)

// await runs a command that returns when every replica follows it, and answers with done and no body then. It waits for a.logoutWait, or
// as long as the client prefers (RFC 7240; at least a second, since the command has to be recorded first). A client that
// prefers to wait less is told 202 with the replicas that are pending; any other gets 503, and so does everybody
// whose command may not have been recorded.
func (a *api) await(w http.ResponseWriter, r *http.Request, command func(context.Context) error, done int, failed failure) {
	wait := a.logoutWait
	preference, preferred := preferredWait(r.Header)
	if preferred {
		wait = min(max(preference, time.Second), wait)
	}
	ctx, cancel := commandContext(r, wait)
	defer cancel()
	ctx, timing := node.WithTiming(ctx)
	timing.Receipt = done == http.StatusNoContent && prefersRepresentation(r.Header)
	err := command(ctx)
	serverTiming(w.Header(), timing)

	var pending *node.PendingError
	switch {
	case preferred && (err == nil || errors.As(err, &pending)):
		w.Header().Set("Preference-Applied", "wait="+strconv.FormatInt(int64(wait/time.Second), 10))
	case err != nil:
		failed(w, r, a.n, err)
		return
	}
	if pending == nil {
		if !timing.Receipt || !a.receipt(w, r, timing) {
			w.WriteHeader(done)
		}
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
