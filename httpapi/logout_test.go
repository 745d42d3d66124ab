package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/knell-auth/knell/node"
)

func TestPreferredWait(t *testing.T) {
	for _, c := range []struct {
		lines []string
		want  time.Duration
		ok    bool
	}{
		{nil, 0, false},
		{[]string{"wait=2"}, 2 * time.Second, true},
		{[]string{"Wait = 2"}, 2 * time.Second, true},
		{[]string{`wait="2"`}, 2 * time.Second, true},
		{[]string{"respond-async, wait=10"}, 10 * time.Second, true},
		{[]string{"return=minimal; foo=1", "handling=lenient, wait=3; x=y, wait=9"}, 3 * time.Second, true},
		{[]string{"wait=0"}, 0, true},
		{[]string{"wait"}, 0, false},
		{[]string{"wait="}, 0, false},
		{[]string{"wait=-1"}, 0, false},
		{[]string{"wait=+1"}, 0, false},
		{[]string{"wait=1.5"}, 0, false},
		{[]string{"wait=99999999999999999999"}, 0, false},
		{[]string{"waiting=5"}, 0, false},
	} {
		got, ok := preferredWait(http.Header{"Prefer": c.lines})
		if got != c.want || ok != c.ok {
			t.Errorf("%q: %v %v, want %v %v", c.lines, got, ok, c.want, c.ok)
		}
	}
}

// How long a revocation is waited for, and what is answered when it was not enough.
func TestLogoutOutcomes(t *testing.T) {
	certain := time.Date(2026, 3, 1, 12, 0, 0, 1, time.UTC)
	pending := &node.PendingError{Seq: 42, Pending: []string{"n2", "n3"}, Certain: certain}
	for _, c := range []struct {
		name    string
		err     error
		prefer  string
		status  int
		wait    time.Duration
		applied string
	}{
		{"done", nil, "", 204, 20 * time.Second, "-"},
		{"done, preferred", nil, "wait=5", 204, 5 * time.Second, "wait=5"},
		{"pending", pending, "", 503, 20 * time.Second, "-"},
		{"pending, other preference", pending, "respond-async", 503, 20 * time.Second, "-"},
		{"pending, preferred", pending, "wait=2", 202, 2 * time.Second, "wait=2"},
		{"pending, wrapped", fmt.Errorf("x: %w", pending), "wait=2", 202, 2 * time.Second, "wait=2"},
		{"pending, no time at all", pending, "wait=0", 202, time.Second, "wait=1"},
		{"pending, more than the limit", pending, "wait=999", 202, 20 * time.Second, "wait=20"},
		{"unknown", node.ErrUnknownOutcome, "wait=2", 503, 2 * time.Second, "-"},
		{"not current", node.ErrNotCurrent, "wait=2", 503, 2 * time.Second, "-"},
		{"refused", node.ErrRevoked, "wait=2", 401, 2 * time.Second, "-"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var wait time.Duration
			n := &scripted{err: c.err, clock: func(ctx context.Context) {
				deadline, _ := ctx.Deadline()
				wait = time.Until(deadline)
			}}
			headers := []string{"Authorization: Bearer abc"}
			if c.prefer != "" {
				headers = append(headers, "Prefer: "+c.prefer)
			}
			w := call(New(n, Config{LogoutWait: 20 * time.Second}), "POST", "/logout", "", headers...)
			expect(t, w, c.status, "Preference-Applied: "+c.applied, "Cache-Control: no-store")
			if wait > c.wait || wait < c.wait-time.Second {
				t.Errorf("waits %v, want %v", wait, c.wait)
			}
			if c.status != 202 {
				return
			}
			var body struct {
				Sequence uint64
				Pending  []string
				Certain  time.Time
			}
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
				t.Fatal(err)
			}
			// "certain" is rounded up: it must not be a moment too early.
			if body.Sequence != 42 || !slices.Equal(body.Pending, pending.Pending) || body.Certain.Before(certain) ||
				body.Certain.Sub(certain) >= time.Millisecond {
				t.Errorf("body %s", w.Body)
			}
		})
	}
}

// A client that hangs up does not stop its logout.
func TestLogoutOutlivesClient(t *testing.T) {
	var alive error
	n := &scripted{clock: func(ctx context.Context) { alive = ctx.Err() }}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r, _ := http.NewRequestWithContext(ctx, "POST", "/logout", http.NoBody)
	r.Header.Set("Authorization", "Bearer abc")
	w := newDiscard()
	New(n, Config{}).ServeHTTP(w, r)
	if alive != nil || w.status != 204 {
		t.Errorf("context of the logout: %v; status %d", alive, w.status)
	}
}

// discard is a ResponseWriter that can be used again and again.
type discard struct {
	h      http.Header
	status int
}

func newDiscard() *discard { return &discard{h: http.Header{}} }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }

// A command that waits when the replica gives its commands up ends, and is answered 503.
func TestCommandsGivenUp(t *testing.T) {
	commands, giveUp := context.WithCancel(t.Context())
	ended := false
	n := &scripted{err: node.ErrUnknownOutcome, clock: func(ctx context.Context) {
		giveUp()
		<-ctx.Done()
		ended = true
	}}
	w := call(New(n, Config{Commands: commands}), "POST", "/logout", "", "Authorization: Bearer x.y.z")
	expect(t, w, http.StatusServiceUnavailable, "Retry-After: 1")
	if !ended {
		t.Error("the command was not reached")
	}
}
