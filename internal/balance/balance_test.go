package balance

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// backend is a real HTTP server whose readiness and answers a test sets.
type backend struct {
	*httptest.Server
	red    atomic.Bool                      // /readyz answers 503
	handle atomic.Pointer[http.HandlerFunc] // nil: answers 200 with the name
	hits   atomic.Int64                     // requests other than health checks
}

func newBackend(t *testing.T, name string) *backend {
	t.Helper()
	b := &backend{}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			if b.red.Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			return
		}
		b.hits.Add(1)
		if h := b.handle.Load(); h != nil {
			(*h)(w, r)
			return
		}
		io.WriteString(w, name)
	}))
	t.Cleanup(b.Server.Close)
	return b
}

// set replaces what the backend answers.
func (b *backend) set(h http.HandlerFunc) { b.handle.Store(&h) }

// start returns a balancer over the backends, once want of them are ready, and the URL that it listens at.
func start(t *testing.T, want int, urls ...string) (*Balancer, string) {
	t.Helper()
	b, err := New(Config{Replicas: urls, CheckEvery: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	waitFor(t, b, want)
	front := httptest.NewServer(b)
	t.Cleanup(front.Close)
	return b, front.URL
}

// waitFor waits until exactly n replicas are ready.
func waitFor(t *testing.T, b *Balancer, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := b.wait(ctx, func(ready int) bool { return ready == n }); err != nil {
		t.Fatalf("%d replicas ready, want %d: %v", b.Ready(), n, err)
	}
}

// send makes one request and returns status and body.
func send(t *testing.T, method, url, body string) (int, string, http.Header) {
	t.Helper()
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, in)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(got), resp.Header
}

func TestRoundRobin(t *testing.T) {
	a, b, c := newBackend(t, "a"), newBackend(t, "b"), newBackend(t, "c")
	_, front := start(t, 3, a.URL, b.URL, c.URL)
	for range 9 {
		send(t, "GET", front+"/verify", "")
	}
	for name, s := range map[string]*backend{"a": a, "b": b, "c": c} {
		if n := s.hits.Load(); n != 3 {
			t.Errorf("%s got %d of 9 requests, want 3", name, n)
		}
	}
}

func TestRedReplicaGetsNothing(t *testing.T) {
	a, b := newBackend(t, "a"), newBackend(t, "b")
	lb, front := start(t, 2, a.URL, b.URL)
	a.red.Store(true)
	waitFor(t, lb, 1)
	for range 4 {
		if _, got, _ := send(t, "GET", front+"/", ""); got != "b" {
			t.Fatalf("answered by %q, want b", got)
		}
	}
	a.red.Store(false)
	waitFor(t, lb, 2)
	send(t, "GET", front+"/", "")
	send(t, "GET", front+"/", "")
	if a.hits.Load() != 1 {
		t.Errorf("a replica that recovered got %d of 2 requests, want 1", a.hits.Load())
	}
}

func TestNoneReady(t *testing.T) {
	a := newBackend(t, "a")
	a.red.Store(true)
	_, front := start(t, 0, a.URL)
	status, body, h := send(t, "POST", front+"/token", "grant_type=password")
	if status != 503 || h.Get("Retry-After") == "" || !strings.Contains(body, `"temporarily_unavailable"`) {
		t.Errorf("got %d %v %q, want 503 with Retry-After", status, h, body)
	}
	if a.hits.Load() != 0 {
		t.Error("a red replica got a request")
	}
}

// deadAddress returns the URL of a port on which nobody listens.
func deadAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	return "http://" + l.Addr().String()
}

// withDead returns a balancer that believes that a dead replica is ready, so that requests run into it.
func withDead(t *testing.T, urls ...string) (*Balancer, string) {
	t.Helper()
	dead := deadAddress(t)
	b, err := New(Config{Replicas: append([]string{dead}, urls...), CheckEvery: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	waitFor(t, b, len(urls))
	b.setReady(b.replicas[0], true)
	front := httptest.NewServer(b)
	t.Cleanup(front.Close)
	return b, front.URL
}

func TestUnreachableReplica(t *testing.T) {
	a := newBackend(t, "a")
	a.set(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	b, front := withDead(t, a.URL)
	for i := range 4 {
		body := fmt.Sprint("token=", i)
		if status, got, _ := send(t, "POST", front+"/token", body); status != 200 || got != body {
			t.Fatalf("got %d %q, want the body back from the live replica", status, got)
		}
	}
	if b.Ready() != 1 {
		t.Errorf("%d replicas count as ready, want 1: the dead one was tried", b.Ready())
	}
}

func TestUnreachableReplicaOnly(t *testing.T) {
	_, front := withDead(t)
	if status, body, h := send(t, "POST", front+"/token", "x=y"); status != 503 || h.Get("Retry-After") == "" {
		t.Errorf("got %d %q, want 503 with Retry-After", status, body)
	}
}

// What a replica answers or does decides, with the method, whether another one is asked.
func TestRepeat(t *testing.T) {
	notCurrent := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	breaks := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	refuses := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }
	for _, c := range []struct {
		name, method string
		first        http.HandlerFunc
		status       int
		hits         int64 // requests that reach the other replica
	}{
		{"not current, safe", "GET", notCurrent, 200, 1},
		{"not current, unsafe", "POST", notCurrent, 503, 0},
		{"breaks off, safe", "GET", breaks, 200, 1},
		{"breaks off, unsafe", "POST", breaks, 502, 0},
		{"refuses", "GET", refuses, 401, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := newBackend(t, "a"), newBackend(t, "b")
			a.set(c.first)
			lb, front := start(t, 2, a.URL, b.URL)
			lb.next.Store(1) // a's turn
			status, body, _ := send(t, c.method, front+"/profile", "")
			if status != c.status || b.hits.Load() != c.hits {
				t.Errorf("got %d %q and %d hits, want %d and %d", status, body, b.hits.Load(), c.status, c.hits)
			}
		})
	}
}

func TestAllNotCurrent(t *testing.T) {
	a, b := newBackend(t, "a"), newBackend(t, "b")
	for _, s := range []*backend{a, b} {
		s.set(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			http.Error(w, "not current", http.StatusServiceUnavailable)
		})
	}
	_, front := start(t, 2, a.URL, b.URL)
	status, body, h := send(t, "GET", front+"/verify", "")
	if status != 503 || h.Get("Retry-After") != "7" || body != "not current\n" {
		t.Errorf("got %d %v %q, want the replica's own answer", status, h, body)
	}
}

// A stream arrives piece by piece: the second piece is sent only after the first was read at the far end.
func TestStream(t *testing.T) {
	a := newBackend(t, "a")
	read := make(chan struct{})
	a.set(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "one\n")
		w.(http.Flusher).Flush()
		<-read
		io.WriteString(w, "two\n")
	})
	_, front := start(t, 1, a.URL)
	resp, err := http.Get(front + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	first, err := lines.ReadString('\n')
	close(read)
	second, _ := lines.ReadString('\n')
	if err != nil || first != "one\n" || second != "two\n" {
		t.Errorf("got %q, %q, %v", first, second, err)
	}
}

func TestHeadersAndBodies(t *testing.T) {
	a := newBackend(t, "a")
	a.set(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "%s %s %s %d", r.Header.Get("X-Forwarded-For"), r.URL.RequestURI(), r.Host, n)
	})
	_, front := start(t, 1, a.URL)
	host := strings.TrimPrefix(front, "http://")
	for _, size := range []int{0, 10, maxReplay, maxReplay + 1} {
		req, _ := http.NewRequestWithContext(t.Context(), "POST", front+"/a//b/../c?q=%20x", strings.NewReader(strings.Repeat("x", size)))
		req.Header.Set("X-Forwarded-For", "192.0.2.1") // a client's claim, not ours
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if want := fmt.Sprintf("127.0.0.1 /a//b/../c?q=%%20x %s %d", host, size); string(got) != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestBadConfig(t *testing.T) {
	for _, urls := range [][]string{nil, {""}, {"127.0.0.1:80"}, {"http://"}, {"http://a/b"}} {
		if b, err := New(Config{Replicas: urls}); err == nil {
			b.Close()
			t.Errorf("New(%q) gave no error", urls)
		}
	}
}

// What a replica is asked to require reaches it, however odd the query and whatever Connection names.
func TestDemandsReachTheReplica(t *testing.T) {
	a := newBackend(t, "a")
	a.set(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s|%s|%s", r.URL.RawQuery, r.Header.Get("X-Knell-Require-Scope"), r.Header.Get("Authorization"))
	})
	_, front := start(t, 1, a.URL)
	for _, query := range []string{"scope=admin;x", "scope=%zz", "scope=admin%zz&a=b"} {
		req, _ := http.NewRequestWithContext(t.Context(), "GET", front+"/verify", nil)
		req.URL.RawQuery = query
		req.Header.Set("X-Knell-Require-Scope", "admin")
		req.Header.Set("Authorization", "Bearer x")
		req.Header.Set("Connection", "X-Knell-Require-Scope, authorization")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if want := query + "|admin|Bearer x"; string(got) != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// A body that the client sends wrongly is the client's mistake: 400, and no word about the replica.
func TestBrokenBody(t *testing.T) {
	a := newBackend(t, "a")
	a.set(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err == nil {
			t.Error("the replica got a whole body")
		}
	})
	var log bytes.Buffer
	b, err := New(Config{Replicas: []string{a.URL}, CheckEvery: time.Hour, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	waitFor(t, b, 1)
	front := httptest.NewServer(b)
	c, err := net.Dial("tcp", front.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "POST /token HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	front.Close() // no handler runs any more
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("status %d, want 400", resp.StatusCode)
	}
	if strings.Contains(log.String(), "broke off") {
		t.Errorf("logged: %s", &log)
	}
}
