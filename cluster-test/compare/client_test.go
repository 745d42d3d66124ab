package compare

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/knell-auth/knell/cluster-test/history"
)

// clientOf starts a server of h and returns a client of it.
func clientOf(t *testing.T, h http.HandlerFunc) *client {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return &client{http: s.Client(), urls: []string{s.URL}, who: account{"alice", "x"}, clock: history.NewRecorder().Now}
}

func TestLoginAsksAgainWhileBusy(t *testing.T) {
	asked := 0
	c := clientOf(t, func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if r.FormValue("grant_type") != "password" || r.FormValue("username") != "alice" {
			t.Errorf("form %v", r.Form)
		}
		_, _ = io.WriteString(w, `{"access_token":"t"}`)
	})
	if token, err := c.login(t.Context(), 0); token != "t" || err != nil || asked != 2 {
		t.Errorf("%q, %v after %d requests", token, err, asked)
	}
}

func TestLoginTellsWhatWasAnswered(t *testing.T) {
	for body, status := range map[string]int{`{"error":"invalid_grant"}`: 400, `{"access_token":""}`: 200, `no json`: 200} {
		c := clientOf(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		})
		if _, err := c.login(t.Context(), 0); err == nil || !strings.Contains(err.Error(), body) {
			t.Errorf("%s: error %v", body, err)
		}
	}
}

func TestOutcomes(t *testing.T) {
	for status, want := range map[int]history.Outcome{
		200: history.OK, 204: history.OK, 401: history.Refused, 403: history.Refused, 503: history.Unavailable, 500: history.Unexpected,
	} {
		c := clientOf(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer t" {
				t.Errorf("headers %v", r.Header)
			}
			w.WriteHeader(status)
		})
		op := c.verify(t.Context(), 0, "t")
		if op.Outcome != want || op.Status != int16(status) || op.End <= op.Start {
			t.Errorf("%d: %+v, want %v", status, op, want)
		}
	}
	c := clientOf(t, nil)
	c.urls[0] = "http://127.0.0.1:1"
	if op := c.logout(t.Context(), 0, "t"); op.Outcome != history.Unknown {
		t.Errorf("without answer: %+v", op)
	}
}
