package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/node"
)

func TestLogLines(t *testing.T) {
	w := newWorld(t)
	local := NewLocal(w.node, Config{})
	got := call(local, "GET", "/log", "")
	expect(t, got, 200, "Content-Type: application/x-ndjson")
	stored := map[uint64]events.Message{}
	for _, m := range w.log.Messages() {
		stored[m.Seq] = m
	}
	var entries, withheld, end uint64
	for line := range bytes.Lines(got.Body.Bytes()) {
		var l struct {
			logLine
			End *logEnd `json:"end"`
		}
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if l.End != nil {
			withheld, end = l.End.Withheld, l.End.Seq
			if l.End.Digest != l.End.Applied {
				t.Errorf("the state is not what the log means: %+v", *l.End)
			}
			continue
		}
		entries++
		m := stored[l.Seq]
		public := events.AccessTo(m.Subject) == events.Public
		if public != bytes.Equal(l.Event, m.Data) || !public && l.Event != nil || end != 0 {
			t.Errorf("message %d on %s is answered as %s", l.Seq, m.Subject, line)
		}
	}
	if withheld != 6 || entries+withheld != end { // the log's key, three users and two clients
		t.Errorf("%d entries and %d withheld up to %d", entries, withheld, end)
	}
	for _, secret := range []string{"argon2id", "hash_key", "refresh_public", "knell.secret"} {
		if strings.Contains(got.Body.String(), secret) {
			t.Errorf("the answer has %q in it", secret)
		}
	}
	head := call(local, "HEAD", "/log", "")
	expect(t, head, 200, "Content-Type: application/x-ndjson")
	if head.Body.Len() > 0 {
		t.Error("HEAD has a body")
	}
	expect(t, call(w.handler, "GET", "/log", ""), 404)
}

func TestLogRange(t *testing.T) {
	w := newWorld(t)
	local := NewLocal(w.node, Config{})
	got := call(local, "GET", "/log?after=3&up_to=6", "")
	expect(t, got, 200)
	if body := got.Body.String(); strings.Contains(body, `{"seq":3,`) || !strings.Contains(body, `{"end":{"seq":6,`) {
		t.Errorf("answered\n%s", body)
	}
	for query, want := range map[string]string{
		"after=x":                      "whole number",
		"after=-1":                     "whole number",
		"after=":                       "whole number",
		"up_to=1.5":                    "whole number",
		"up_to=18446744073709551616":   "whole number",
		"after=1&after=2":              "more than once",
		"upto=3":                       "unknown",
		"after=%zz":                    "malformed",
		"after=5&up_to=3":              "comes before",
		"up_to=99999999":               "has applied no more",
		"after=99999999&up_to=1000000": "has applied no more",
	} {
		got := call(local, "GET", "/log?"+query, "")
		expect(t, got, 400, "Content-Type: application/problem+json")
		if !strings.Contains(got.Body.String(), want) {
			t.Errorf("%s: %s has no %q", query, got.Body, want)
		}
	}
}

// reading is a node whose log is what f delivers.
type reading struct {
	scripted
	f func(ctx context.Context, deliver func(node.LogEntry) error) error
}

func (r *reading) ReadLog(ctx context.Context, _, _ uint64, deliver func(node.LogEntry) error) (node.LogEnd, error) {
	return node.LogEnd{}, r.f(ctx, deliver)
}

// pipeListener gives out one connection in memory.
type pipeListener struct {
	conn chan net.Conn
	once chan struct{} // closed by Close
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.once:
		return nil, net.ErrClosed
	}
}
func (l *pipeListener) Close() error   { close(l.once); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// getLog asks a server with the limits of the real one for the log of n, in a bubble, reads the answer with read and
// returns the status.
func getLog(t *testing.T, n LocalNode, read func(io.Reader)) int {
	l := &pipeListener{conn: make(chan net.Conn, 1), once: make(chan struct{})}
	s := Server("", NewLocal(n, Config{Logger: slog.New(slog.DiscardHandler)}))
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	client, server := net.Pipe()
	l.conn <- server
	if _, err := io.WriteString(client, "GET /log HTTP/1.1\r\nHost: local\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(client), nil)
	if err != nil {
		t.Fatal(err)
	}
	read(resp.Body)
	client.Close()
	s.Close()
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
	return resp.StatusCode
}

// many delivers n entries.
func many(n uint64, deliver func(node.LogEntry) error) error {
	for i := range n {
		if err := deliver(node.LogEntry{Seq: i + 1, ID: events.NewID(), Type: "knell.node.beat"}); err != nil {
			return err
		}
	}
	return nil
}

func TestLogOutlastsTheLimitsOfShortAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &reading{f: func(ctx context.Context, deliver func(node.LogEntry) error) error {
			for range 5 { // each time longer than a request may take, and all together longer than an answer
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-time.After(30 * time.Second):
				}
				if err := many(1000, deliver); err != nil {
					return err
				}
			}
			return nil
		}}
		status := getLog(t, n, func(body io.Reader) {
			all, err := io.ReadAll(body)
			if lines := bytes.Count(all, []byte("\n")); err != nil || lines != 5001 {
				t.Errorf("%d lines, %v", lines, err)
			}
		})
		if status != 200 {
			t.Error(status)
		}
	})
}

func TestLogThatEndsEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &reading{f: func(_ context.Context, deliver func(node.LogEntry) error) error {
			return errors.Join(many(1000, deliver), node.ErrClosed)
		}}
		getLog(t, n, func(body io.Reader) {
			if all, err := io.ReadAll(body); !errors.Is(err, io.ErrUnexpectedEOF) || strings.Contains(string(all), `"end"`) {
				t.Errorf("an answer that is not complete ends with %v", err)
			}
		})
		// Nothing has been sent yet: the status says it.
		n.f = func(_ context.Context, deliver func(node.LogEntry) error) error {
			return errors.Join(many(10, deliver), node.ErrClosed)
		}
		if status := getLog(t, n, func(io.Reader) {}); status != 503 {
			t.Errorf("status %d, want 503", status)
		}
	})
}

// The log is folded anew for each who reads all of it: so many at a time, and no more.
func TestFewReadTheLogAtOnce(t *testing.T) {
	begun, done := make(chan struct{}), make(chan struct{})
	n := &reading{f: func(_ context.Context, deliver func(node.LogEntry) error) error {
		begun <- struct{}{}
		<-done
		return many(1, deliver)
	}}
	h := NewLocal(n, Config{Logger: slog.New(slog.DiscardHandler)})
	answers := make(chan int, logsAll)
	for range logsAll {
		go func() { answers <- call(h, "GET", "/log", "").Code }()
	}
	for range logsAll {
		<-begun
	}
	expect(t, call(h, "GET", "/log", ""), 429, "Retry-After: 1")
	close(done)
	for range logsAll {
		if status := <-answers; status != 200 {
			t.Errorf("status %d", status)
		}
	}
	go func() { <-begun }()
	expect(t, call(h, "GET", "/log", ""), 200)
}
