package webhook

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// sender returns one that may reach the server at a URL.
func sender(t *testing.T, url string) *Sender {
	t.Helper()
	s := &Sender{Target: target(t, url, true), Policy: Policy{Private: prefixes("127.0.0.0/8")}, Agent: "knell/test"}
	t.Cleanup(s.Close)
	return s
}

// What arrives is what was sent, over one connection for as long as the target keeps it.
func TestSend(t *testing.T) {
	var peers, calls atomic.Int32
	var seen *http.Request
	var body string
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		seen, body = r, string(b)
		if calls.Add(1) == 3 {
			w.Header().Set("Connection", "close")
		}
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprint(w, "thanks")
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			peers.Add(1)
		}
	}
	server.StartTLS()
	defer server.Close()
	s := sender(t, server.URL+"/in?token=x")
	s.Roots = x509.NewCertPool()
	s.Roots.AddCert(server.Certificate())
	m := &Message{ID: "id-1", At: 1700000000, Signature: "v1,x", Type: "application/cloudevents+json", Body: []byte(`{"a":1}`)}
	for range 4 {
		if r := s.Send(t.Context(), m); r.Err != nil || r.Status != http.StatusAccepted {
			t.Fatalf("%+v", r)
		}
	}
	if peers.Load() != 2 {
		t.Errorf("%d connections, want 2: the third answer ended the first", peers.Load())
	}
	server.CloseClientConnections()
	if r := s.Send(t.Context(), m); r.Err != nil || calls.Load() != 5 {
		t.Errorf("on a connection that the target had closed: %+v, %d calls", r, calls.Load())
	}
	want := map[string]string{"Webhook-Id": "id-1", "Webhook-Timestamp": "1700000000", "Webhook-Signature": "v1,x",
		"Content-Type": "application/cloudevents+json", "User-Agent": "knell/test"}
	for name, value := range want {
		if got := seen.Header.Get(name); got != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
	if seen.Method != "POST" || seen.RequestURI != "/in?token=x" || body != `{"a":1}` || len(seen.Header) != len(want)+1 { // Content-Length
		t.Errorf("%s %s %v %s", seen.Method, seen.RequestURI, seen.Header, body)
	}
	s.Close()
	s.Roots = x509.NewCertPool()
	if r := s.Send(t.Context(), m); r.Err == nil || r.Err.Error() != "the certificate of the target is not good" {
		t.Errorf("a certificate of nobody known: %v", r.Err)
	}
}

// Answers of a target that is broken, or wants to be a nuisance. None is followed, kept or repeated in an error.
func TestAnswers(t *testing.T) {
	const mark = "said-by-the-target"
	for name, c := range map[string]struct {
		answer string
		status int
		retry  time.Duration
		want   string
	}{
		"no content":            {"HTTP/1.1 204 No Content\r\n\r\n", 204, 0, ""},
		"a redirect":            {"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/" + mark + "\r\nContent-Length: 0\r\n\r\n", 307, 0, "status 307"},
		"gone":                  {"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n", 410, 0, "status 410"},
		"later, in seconds":     {"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 90\r\nContent-Length: 0\r\n\r\n", 429, 90 * time.Second, "status 429"},
		"much later":            {"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2147483647\r\nContent-Length: 0\r\n\r\n", 503, time.Hour, "status 503"},
		"later, not a number":   {"HTTP/1.1 503 Service Unavailable\r\nRetry-After: -5\r\nContent-Length: 0\r\n\r\n", 503, 0, "status 503"},
		"early hints first":     {"HTTP/1.1 103 Early Hints\r\nLink: </" + mark + ">\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, 0, ""},
		"hints without end":     {strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 9000), 0, 0, "the connection broke before there was an answer of HTTP"},
		"another protocol":      {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", 101, 0, "status 101"},
		"no HTTP":               {"220 " + mark + " ESMTP\r\n", 0, 0, "the connection broke before there was an answer of HTTP"},
		"a head without end":    {"HTTP/1.1 200 OK\r\n" + strings.Repeat("X-"+mark+": x\r\n", 20000), 0, 0, "the connection broke before there was an answer of HTTP"},
		"a body without end":    {"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + strings.Repeat("x", 1<<20), 200, 0, ""},
		"a body that is broken": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + mark, 200, 0, ""},
		"compressed":            {"HTTP/1.1 500 Oops\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n" + "\x1f\x8b\x08\x00", 500, 0, "status 500"},
		"nothing":               {"", 0, 0, "the connection broke before there was an answer of HTTP"},
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			_, _ = conn.Read(make([]byte, 1<<16))
			_, _ = io.WriteString(conn, c.answer)
		}()
		s := sender(t, "http://"+l.Addr().String())
		r := s.Send(t.Context(), &Message{ID: "1", Body: []byte("{}")})
		s.Close()
		l.Close()
		<-done
		got := ""
		if r.Err != nil {
			got = r.Err.Error()
		}
		if got != c.want || r.Status != c.status || r.RetryAfter != c.retry || strings.Contains(got, mark) {
			t.Errorf("%s: %+v, want %d, %v and %q", name, r, c.status, c.retry, c.want)
		}
	}
}

// A target that does not answer costs 15 s, and one that is stopped meanwhile gets nothing more.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Sender{Target: target(t, "http://silent.test", true)}
		s.Dial = func(context.Context, string, string) (net.Conn, error) {
			near, far := net.Pipe()
			go func() { _, _ = io.Copy(io.Discard, far) }()
			return near, nil
		}
		defer s.Close()
		began := time.Now()
		r := s.Send(t.Context(), &Message{ID: "1", Body: []byte("{}")})
		if took := time.Since(began); took != AttemptTimeout || r.Err == nil || r.Err.Error() != "no answer within 15s" {
			t.Errorf("%v after %v", r.Err, took)
		}
		why := errors.New("deleted")
		s.May = func() error { return why }
		if r := s.Send(t.Context(), &Message{ID: "1", Body: []byte("{}")}); !IsStopped(r.Err) {
			t.Errorf("against May: %v", r.Err)
		}
		s.May = nil
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		began = time.Now()
		if r := s.Send(ctx, &Message{ID: "1", Body: []byte("{}")}); !IsStopped(r.Err) || time.Since(began) > 2*time.Second {
			t.Errorf("cancelled: %v after %v", r.Err, time.Since(began))
		}
	})
}

func TestBackoff(t *testing.T) {
	for failed, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 5: 16 * time.Second, 9: 256 * time.Second, 10: 5 * time.Minute, 1 << 30: 5 * time.Minute} {
		if low, high := Backoff(failed, 0, 0), Backoff(failed, 0, 1); low != want/2 || high != want {
			t.Errorf("after %d: %v to %v, want up to %v", failed, low, high, want)
		}
	}
	if got := Backoff(1, time.Minute, 0); got != time.Minute {
		t.Errorf("the target asked for a minute and gets %v", got)
	}
}
