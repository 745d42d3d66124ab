package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/knell-auth/knell/node"
)

// secretDetail stands for what an error may say inside and must not say outside.
const secretDetail = "dial 10.1.2.3: hunter2"

var errorCases = []struct {
	name      string
	err       error
	token     int    // status of POST /token
	code      string // its error code
	bearer    int    // status of an authenticated route
	challenge string // its error code in the challenge; "-": no challenge
	admin     int    // status of an administrative command
}{
	{"not current", node.ErrNotCurrent, 503, "temporarily_unavailable", 503, "-", 503},
	{"unknown outcome", fmt.Errorf("%w: %w", node.ErrUnknownOutcome, context.DeadlineExceeded), 503, "temporarily_unavailable", 503, "-", 503},
	{"full", node.ErrFull, 503, "temporarily_unavailable", 503, "-", 503},
	{"closed", node.ErrClosed, 503, "temporarily_unavailable", 503, "-", 503},
	{"busy", &node.BusyError{RetryAfter: time.Second}, 503, "temporarily_unavailable", 503, "-", 503},
	{"older replica", &node.OlderError{Replicas: []string{"n2"}}, 503, "temporarily_unavailable", 503, "-", 503},
	{"pending", &node.PendingError{Seq: 7, Pending: []string{"n2"}}, 503, "temporarily_unavailable", 503, "-", 503},
	{"deadline", context.DeadlineExceeded, 503, "temporarily_unavailable", 503, "-", 503},
	{"canceled", context.Canceled, 503, "temporarily_unavailable", 503, "-", 503},
	{"invalid token", node.ErrInvalidToken, 400, "invalid_grant", 401, "invalid_token", 401},
	{"expired", node.ErrExpired, 400, "invalid_grant", 401, "invalid_token", 401},
	{"revoked", node.ErrRevoked, 400, "invalid_grant", 401, "invalid_token", 401},
	{"stale", node.ErrStale, 400, "invalid_grant", 401, "invalid_token", 401},
	{"invalid key", node.ErrInvalidKey, 400, "invalid_grant", 401, "invalid_token", 401},
	{"invalid grant", node.ErrInvalidGrant, 400, "invalid_grant", 400, "-", 400},
	{"invalid client", node.ErrInvalidClient, 401, "invalid_client", 401, "-", 401},
	{"invalid scope", node.ErrInvalidScope, 400, "invalid_scope", 400, "-", 400},
	{"bad request", node.ErrBadRequest, 400, "invalid_request", 400, "-", 400},
	{"conflict", node.ErrConflict, 400, "invalid_request", 409, "-", 409},
	{"exists", node.ErrExists, 400, "invalid_request", 409, "-", 409},
	{"not found", node.ErrNotFound, 400, "invalid_request", 404, "-", 404},
	{"unforeseen", errors.New("it went boom"), 500, "server_error", 500, "-", 500},
}

// TestBadRequestIsSaidOnce: the title and the code of an answer say what kind of error it is; the rest is for what is wrong.
func TestBadRequestIsSaidOnce(t *testing.T) {
	inner := fmt.Errorf("%w: a name is required", node.ErrBadRequest)
	for text, err := range map[string]error{
		"a name is required": inner, "item 3: a name is required": fmt.Errorf("%w: item 3: %w", node.ErrBadRequest, inner), "bad request": node.ErrBadRequest,
	} {
		if a, known := classify(err); a.text != text || !known || a.status != 400 {
			t.Errorf("%v: %+v", err, a)
		}
	}
}

// Every error of a node has one answer on each kind of route, whatever it is wrapped in, and tells nothing of its inside.
func TestErrorAnswers(t *testing.T) {
	for _, c := range errorCases {
		wrapped := c.err
		if !errors.Is(c.err, node.ErrBadRequest) { // the one whose text is shown
			wrapped = fmt.Errorf("%s: %w", secretDetail, c.err)
		}
		for _, err := range []error{c.err, wrapped} {
			t.Run(c.name, func(t *testing.T) {
				log, _ := logTo()
				n := &scripted{err: err, retry: 1500 * time.Millisecond}
				h := New(n, Config{Logger: log, PasswordGrant: true})
				local := NewLocal(n, Config{Logger: log})

				w := call(h, "POST", "/token", loginForm, formType)
				expect(t, w, c.token, "Content-Type: application/json", "Cache-Control: no-store", "Pragma: no-cache")
				var body struct{ Error, Error_description string }
				if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || body.Error != c.code {
					t.Errorf("token: error %q, want %q (%v)", body.Error, c.code, err)
				}
				checkUnavailable(t, w.Code, w.Header(), err)
				if got := w.Header().Get("WWW-Authenticate"); (c.token == 401) != strings.HasPrefix(got, "Basic ") {
					t.Errorf("token: challenge %q", got)
				}

				for _, target := range []string{"GET /profile", "GET /verify", "GET /admin", "GET /users", "POST /logout"} {
					method, path, _ := strings.Cut(target, " ")
					w := call(h, method, path, "", "Authorization: Bearer abc")
					expect(t, w, c.bearer, "Content-Type: application/problem+json", "Cache-Control: no-store",
						"X-Content-Type-Options: nosniff")
					checkChallenge(t, w.Header(), c.challenge)
					checkUnavailable(t, w.Code, w.Header(), err)
					checkDiscreet(t, w.Body.String())
				}

				w = call(local, "POST", "/users", `{"name":"bob","password":"correct horse"}`, jsonType)
				expect(t, w, c.admin, "Content-Type: application/problem+json")
				checkUnavailable(t, w.Code, w.Header(), err)
				checkDiscreet(t, w.Body.String())
			})
		}
	}
}

func checkChallenge(t *testing.T, h http.Header, code string) {
	t.Helper()
	got := h.Get("WWW-Authenticate")
	switch {
	case code == "-" && got != "":
		t.Errorf("challenge %q, want none", got)
	case code != "-" && !strings.HasPrefix(got, `Bearer realm="knell", error="`+code+`", error_description="`):
		t.Errorf("challenge %q, want error %q", got, code)
	}
}

// checkUnavailable checks that a 503, and nothing else, says when to come back: in whole seconds, at least one.
func checkUnavailable(t *testing.T, status int, h http.Header, err error) {
	t.Helper()
	got := h.Get("Retry-After")
	if status != http.StatusServiceUnavailable {
		if got != "" {
			t.Errorf("Retry-After %q with status %d", got, status)
		}
		return
	}
	want := 2 // the node's 1.5 s
	switch {
	case errors.As(err, new(*node.BusyError)), errors.As(err, new(*node.PendingError)):
		want = 1
	case errors.As(err, new(*node.OlderError)):
		want = 10
	}
	if got != strconv.Itoa(want) {
		t.Errorf("Retry-After %q, want %d", got, want)
	}
}

func checkDiscreet(t *testing.T, body string) {
	t.Helper()
	if strings.Contains(body, "hunter2") || strings.Contains(body, "went boom") {
		t.Errorf("body tells the inside of an error: %s", body)
	}
}

// The details of an unforeseen error go to the log, with the request id that the client was told.
func TestUnforeseenErrorIsLogged(t *testing.T) {
	log, logged := logTo()
	h := New(&scripted{err: errors.New(secretDetail)},
		Config{Logger: log, PasswordGrant: true, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	w := call(h, "GET", "/verify?x=query-secret", "", "Authorization: Bearer header-secret", "X-Request-Id: req-1")
	expect(t, w, 500, "X-Request-Id: req-1")
	if got := logged.String(); !strings.Contains(got, "hunter2") || !strings.Contains(got, "request_id=req-1") {
		t.Errorf("log: %s", got)
	}
	if got := logged.String(); strings.Contains(got, "query-secret") || strings.Contains(got, "header-secret") {
		t.Errorf("log has the query or a header: %s", got)
	}
}

// A panic is a 500 on the hot path as elsewhere.
func TestPanicIs500(t *testing.T) {
	for _, path := range []string{"/verify", "/profile"} {
		log, logged := logTo()
		h := New(&scripted{panics: "kaboom"}, Config{Logger: log, PasswordGrant: true})
		w := call(h, "GET", path, "", "Authorization: Bearer abc")
		expect(t, w, 500, "Content-Type: application/problem+json")
		if strings.Contains(w.Body.String(), "kaboom") || !strings.Contains(logged.String(), "kaboom") {
			t.Errorf("%s: body %s, log %s", path, w.Body, logged)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	for _, c := range []struct {
		err      error
		fallback time.Duration
		want     int64
	}{
		{node.ErrNotCurrent, 0, 1},
		{node.ErrNotCurrent, -time.Second, 1},
		{node.ErrNotCurrent, time.Millisecond, 1},
		{node.ErrNotCurrent, 1001 * time.Millisecond, 2},
		{&node.BusyError{RetryAfter: 3 * time.Second}, time.Minute, 3},
		{&node.OlderError{}, time.Second, 10},
		{&node.PendingError{Certain: time.Now().Add(-time.Hour)}, time.Minute, 1},
		{&node.PendingError{Certain: time.Now().Add(90*time.Second + time.Minute)}, 0, 150},
	} {
		if got := retryAfter(c.err, c.fallback); got != c.want {
			t.Errorf("%v, %v: %d, want %d", c.err, c.fallback, got, c.want)
		}
	}
}

// Whatever text an error has, the challenge stays one well-formed header.
func TestChallengeIsQuotable(t *testing.T) {
	got := challenge(answer{code: codeInvalidRequest, text: "a\"b\\c\r\nX: y\u00e9"})
	want := `Bearer realm="knell", error="invalid_request", error_description="a'b'c??X: y?"`
	if got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
