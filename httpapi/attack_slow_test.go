package httpapi

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener whose connections are pipes, for which time is that of a bubble.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

// Accept implements net.Listener.
func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (p *pipes) Close() error {
	close(p.closed)
	return nil
}

// Addr implements net.Listener.
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// patient runs f in a bubble with a connection to h, served with the limits that Server has.
func patient(t *testing.T, h http.Handler, f func(t *testing.T, c net.Conn)) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipes{make(chan net.Conn), make(chan struct{})}
		s := Server("", h)
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = s.Serve(p)
		}()
		client, server := net.Pipe()
		p.conns <- server
		f(t, client)
		client.Close()
		s.Close()
		<-done
		synctest.Wait()
	})
}

const postHead = "POST / HTTP/1.1\r\nHost: a\r\n"

// readAll reads a whole body, and writeOn writes for ever.
var (
	readAll = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			w.WriteHeader(http.StatusBadRequest)
		}
	})
	writeOn = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for block := make([]byte, 1<<10); ; {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	})
)

var drips = []struct {
	name    string
	handler http.Handler
	first   string        // sent at once
	drop    string        // sent every now and then; "": nothing
	every   time.Duration // between two of them
	take    int           // bytes of the answer that are taken every second
	within  time.Duration
}{
	{"nothing at all", readAll, "", "", 0, 1000, 5 * time.Second},
	{"a request line by the byte", readAll, "", "G", time.Second, 1000, 5 * time.Second},
	{"headers by the byte", readAll, postHead + "X-A: ", "b", time.Second, 1000, 5 * time.Second},
	{"headers by the line", readAll, postHead, "X-A: b\r\n", 400 * time.Millisecond, 1000, 5 * time.Second},
	{"a body by the byte", readAll, postHead + "Content-Length: 100000\r\n\r\n", "x", time.Second, 1000, 10 * time.Second},
	{"chunks by the byte", readAll, postHead + "Transfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n", time.Second, 1000, 10 * time.Second},
	{"a chunk's size by the byte", readAll, postHead + "Transfer-Encoding: chunked\r\n\r\n1;", "x", time.Second, 1000, 10 * time.Second},
	{"trailers by the line", readAll, postHead + "Transfer-Encoding: chunked\r\n\r\n0\r\n", "X-A: b\r\n", time.Second, 1000, 10 * time.Second},
	{"an answer by the byte", writeOn, getHead + "\r\n", "", 0, 1, 60 * time.Second},
	{"an answer not at all", writeOn, getHead + "\r\n", "x", time.Second, 0, 60 * time.Second},
	{"no request after one", readAll, getHead + "\r\n", "", 0, 1000, 2 * time.Minute},
}

// TestDrippingClients sends and takes a byte now and then, which keeps a connection busy and never idle. Each is let go after the
// time that docs/edges.md says, by the clock of a bubble.
func TestDrippingClients(t *testing.T) {
	for _, c := range drips {
		t.Run(c.name, func(t *testing.T) {
			patient(t, c.handler, func(t *testing.T, conn net.Conn) {
				if _, err := io.WriteString(conn, c.first); err != nil {
					t.Fatal(err)
				}
				start, ended := time.Now(), make(chan time.Duration, 2)
				var work sync.WaitGroup
				repeat := func(every time.Duration, f func() error) {
					work.Go(func() {
						for err := error(nil); err == nil || errors.Is(err, os.ErrDeadlineExceeded); err = f() {
							time.Sleep(every)
						}
						ended <- time.Since(start)
					})
				}
				if c.drop != "" {
					repeat(c.every, func() error {
						_ = conn.SetWriteDeadline(time.Now().Add(c.every))
						_, err := io.WriteString(conn, c.drop)
						return err
					})
				}
				if c.take > 0 {
					repeat(time.Second, func() error {
						_, err := conn.Read(make([]byte, c.take))
						return err
					})
				}
				if took := <-ended; took < c.within || took > c.within+2*time.Second {
					t.Errorf("let go after %v, want %v", took, c.within)
				}
				conn.Close()
				work.Wait()
			})
		})
	}
}
