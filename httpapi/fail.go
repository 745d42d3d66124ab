package httpapi

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
)

// realm names the protection space in challenges.
const realm = "knell"

// retrier is the part of a node that a 503 needs.
type retrier interface{ RetryAfter() time.Duration }

// problem is a problem document (RFC 9457) of the type about:blank.
type problem struct {
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail,omitempty"`
	Scope     string `json:"scope,omitempty"` // what it takes, as in the challenge (RFC 6750 section 3)
	RequestID string `json:"request_id,omitempty"`
}

// fail answers err as a problem document, with the challenge that RFC 6750 section 3 asks for. n may be nil where err
// cannot be one that is answered 503.
func fail(w http.ResponseWriter, r *http.Request, n retrier, err error) {
	ans := settleError(w, r, n, err)
	if ans.challenge {
		w.Header()["Www-Authenticate"] = challenges(ans, n)
	}
	writeProblemOf(w, r, problem{Status: ans.status, Detail: ans.text, Scope: ans.scope})
}

// failToken answers err as RFC 6749 section 5.2 says.
func failToken(w http.ResponseWriter, r *http.Request, n retrier, err error) {
	ans := settleError(w, r, n, err)
	switch {
	case ans.code == codeInvalidToken: // here the only token is a refresh token
		ans.status, ans.code = http.StatusBadRequest, codeInvalidGrant
	case ans.code == "":
		ans.status, ans.code = http.StatusBadRequest, codeInvalidRequest
	case ans.status == http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", basicChallenge)
	}
	writeJSON(w, ans.status, oauthErrorDocument{ans.code, quotable(ans.text)})
}

// settleError classifies err, logs what the client must not see and sets Retry-After.
func settleError(w http.ResponseWriter, r *http.Request, n retrier, err error) answer {
	ans, known := classify(err)
	if !known {
		q := requestOf(r)
		q.log.LogAttrs(r.Context(), slog.LevelError, "request failed", slog.String("request_id", q.id),
			slog.String("method", r.Method), slog.String("route", r.Pattern), slog.Any("error", err))
	}
	if ans.status == http.StatusServiceUnavailable || ans.status == http.StatusTooManyRequests {
		var estimate time.Duration
		if n != nil {
			estimate = n.RetryAfter()
		}
		w.Header().Set("Retry-After", strconv.FormatInt(retryAfter(err, estimate), 10))
	}
	return ans
}

// basicChallenge asks for a user name and a password, or for a client's id and secret (RFC 7617).
const basicChallenge = `Basic realm="` + realm + `", charset="UTF-8"`

// challenges returns the values of WWW-Authenticate: each scheme that would be accepted has a line of its own.
func challenges(ans answer, n retrier) []string {
	list := []string{challenge(ans)}
	if b, ok := n.(interface{ AcceptsBasic() bool }); ok && ans.status == http.StatusUnauthorized && b.AcceptsBasic() {
		list = append(list, basicChallenge)
	}
	return list
}

// challenge returns the WWW-Authenticate value of an answer (RFC 6750 section 3). Without a code it is bare.
func challenge(ans answer) string {
	var b strings.Builder
	b.WriteString(`Bearer realm="` + realm + `"`)
	if ans.code != "" {
		b.WriteString(`, error="` + ans.code + `", error_description="` + quotable(ans.text) + `"`)
	}
	if ans.scope != "" {
		b.WriteString(`, scope="` + ans.scope + `"`)
	}
	return b.String()
}

// quotable returns s with the characters replaced that an error_description may not have (RFC 6749 section 5.2).
func quotable(s string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c == '"' || c == '\\':
			return '\''
		case c < 0x20 || c > 0x7e:
			return '?'
		}
		return c
	}, s)
}

// writeProblem answers with a problem document.
func writeProblem(w http.ResponseWriter, r *http.Request, status int, detail string) {
	writeProblemOf(w, r, problem{Status: status, Detail: detail})
}

// writeProblemOf answers with p and what follows from its status and the request.
func writeProblemOf(w http.ResponseWriter, r *http.Request, p problem) {
	p.Title, p.RequestID = http.StatusText(p.Status), requestOf(r).id
	w.Header().Set("Content-Type", "application/problem+json")
	writeBody(w, p.Status, p)
}

// writeJSON answers with v.
func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	writeBody(w, status, v)
}

// writeBody answers with the JSON of v. The types that it is called with cannot fail to encode, and a client that is gone
// cannot be told.
func writeBody(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)+1))
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}

// notFound answers a path that has no route.
func notFound(w http.ResponseWriter, r *http.Request) {
	writeProblem(w, r, http.StatusNotFound, "there is nothing at this path")
}

// methods are those that a route can have.
var methods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions,
}

// methodNotAllowed answers a method that a path has no route for. RFC 9110 section 15.5.6 asks for Allow; chi knows the
// list but does not give it to a handler.
func methodNotAllowed(w http.ResponseWriter, r *http.Request) {
	rctx := chi.RouteContext(r.Context())
	path := r.URL.RawPath
	if path == "" {
		path = r.URL.Path
	}
	var allowed []string
	for _, m := range methods {
		if rctx.Routes.Match(chi.NewRouteContext(), m, path) {
			allowed = append(allowed, m)
		}
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	writeProblem(w, r, http.StatusMethodNotAllowed, "this path does not have this method")
}
