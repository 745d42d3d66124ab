package httpapi

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// impatient serves h as Server does, with shorter limits, and returns a connection to it.
func impatient(t *testing.T, h http.Handler) net.Conn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := Server("", h)
	for _, limit := range []*time.Duration{&s.ReadHeaderTimeout, &s.ReadTimeout, &s.WriteTimeout, &s.IdleTimeout} {
		if *limit <= 0 {
			t.Fatal("a client may take for ever")
		}
	}
	s.ReadHeaderTimeout, s.ReadTimeout, s.WriteTimeout, s.IdleTimeout = 200*time.Millisecond, 400*time.Millisecond, 600*time.Millisecond, 300*time.Millisecond
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		s.Close()
		<-done
	})
	return c
}

// closed fails the test unless the server closes the connection by itself; it returns what it sent before.
func closed(t *testing.T, c net.Conn) string {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	got, err := io.ReadAll(c)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection is held")
	}
	return string(got)
}

func TestSlowClientsAreLetGo(t *testing.T) {
	w := newWorld(t)
	for name, sent := range map[string]string{
		"nothing":           "",
		"half a line":       "GET /li",
		"headers":           "GET /livez HTTP/1.1\r\nHost: knell.test\r\nX-A: b\r\n",
		"idle":              "GET /livez HTTP/1.1\r\nHost: knell.test\r\n\r\n",
		"body":              "POST /token HTTP/1.1\r\nHost: knell.test\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\ngrant_type=",
		"body in chunks":    "POST /token HTTP/1.1\r\nHost: knell.test\r\nContent-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n5\r\ngrant\r\n",
		"body of a logout":  "POST /logout HTTP/1.1\r\nHost: knell.test\r\nAuthorization: Bearer " + w.vars["alice"] + "\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nscope\r\n",
		"body of a request": "POST /users HTTP/1.1\r\nHost: knell.test\r\nAuthorization: Bearer " + w.vars["root"] + "\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := impatient(t, w.handler)
			if _, err := io.WriteString(c, sent); err != nil {
				t.Fatal(err)
			}
			got := closed(t, c)
			if strings.HasPrefix(name, "body") && !strings.Contains(got, "HTTP/1.1 400") && got != "" {
				t.Errorf("answered %q", got)
			}
		})
	}
}

// A client that reads nothing does not keep its handler.
func TestSlowReaderIsLetGo(t *testing.T) {
	ended := make(chan error, 1)
	c := impatient(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		block := make([]byte, 1<<20)
		for {
			if _, err := w.Write(block); err != nil {
				ended <- err
				return
			}
		}
	}))
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: knell.test\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Error("the handler still writes")
	}
}
