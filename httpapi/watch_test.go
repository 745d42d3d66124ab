package httpapi

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knell-auth/knell/node"
)

// stream is a handler under test that runs behind Authenticate and EndWithToken, on one of three replicas in a bubble, on a
// connection in memory.
type stream struct {
	*cluster
	token  string        // the Authorization header of alice's session
	in     *bufio.Reader // what the client reads
	client net.Conn
	done   chan struct{} // closed when the handler has returned
	cause  error         // of the end of the request's context; valid then
}

// open sends a request of the session to a handler at replica c, and returns when the handler runs.
func (c *cluster) open(method, extra string, handler http.HandlerFunc) *stream {
	c.t.Helper()
	s := &stream{cluster: c, token: c.login("a"), done: make(chan struct{})}
	running := make(chan struct{})
	h := Authenticate(c.nodes["c"])(EndWithToken(c.nodes["c"])(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(s.done)
		close(running)
		handler(w, r)
		s.cause = context.Cause(r.Context())
	})))
	server, client := net.Pipe()
	s.client, s.in = client, bufio.NewReader(client)
	l := &oneConn{conn: server, closed: make(chan struct{})}
	hs := &http.Server{Handler: h}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = hs.Serve(l)
	}()
	c.t.Cleanup(func() {
		client.Close()
		hs.Close()
		<-served
	})
	if _, err := fmt.Fprintf(client, "%s / HTTP/1.1\r\nHost: x\r\n%s\r\n%s\r\n", method, s.token, extra); err != nil {
		c.t.Fatal(err)
	}
	<-running
	return s
}

// oneConn is a listener with one connection.
type oneConn struct {
	conn   net.Conn
	taken  bool
	closed chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	if !l.taken {
		l.taken = true
		return l.conn, nil
	}
	<-l.closed
	return nil, net.ErrClosed
}

func (l *oneConn) Close() error {
	close(l.closed)
	return nil
}

func (l *oneConn) Addr() net.Addr { return l.conn.LocalAddr() }

// logout ends the session at another replica.
func (s *stream) logout() {
	s.t.Helper()
	expect(s.t, call(s.api["b"], "POST", "/logout", "", s.token), 204)
}

// answer reads the head of the answer.
func (s *stream) answer() *http.Response {
	s.t.Helper()
	resp, err := http.ReadResponse(s.in, nil)
	if err != nil {
		s.t.Fatalf("no answer: %v", err)
	}
	return resp
}

// tick sends a line each second until the request's context ends. A write at the very end of a lease may be refused before that.
func tick(w http.ResponseWriter, r *http.Request) {
	for {
		_, err := io.WriteString(w, "tick\n")
		if err != nil || http.NewResponseController(w).Flush() != nil {
			<-r.Context().Done()
			return
		}
		select {
		case <-time.After(time.Second):
		case <-r.Context().Done():
			return
		}
	}
}

func TestStreamEndsWithToken(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(s *stream)
		want error
	}{
		{"logout", (*stream).logout, node.ErrRevoked},
		{"expiry", func(*stream) { time.Sleep(5*time.Minute + time.Second) }, node.ErrExpired},
		{"lease", func(s *stream) { s.log["c"].Cut(); <-s.done; s.log["c"].Heal() }, node.ErrNotCurrent},
	} {
		t.Run(c.name, func(t *testing.T) {
			replicas(t, Config{}, func(t *testing.T, cl *cluster) {
				s := cl.open("GET", "", tick)
				resp := s.answer()
				lines := make(chan string)
				go func() {
					defer close(lines)
					for body := bufio.NewScanner(resp.Body); body.Scan(); {
						lines <- body.Text()
					}
				}()
				if line := <-lines; line != "tick" {
					t.Fatalf("line %q", line)
				}
				go func() { // what comes meanwhile
					for range lines {
					}
				}()
				c.end(s)
				<-s.done
				if !errors.Is(s.cause, c.want) {
					t.Errorf("ended with %v, want %v", s.cause, c.want)
				}
			})
		})
	}
}

// A handler that does not look at its context gets nothing through after the logout has returned, and nobody takes what came
// before for the whole.
func TestStreamThatDoesNotListen(t *testing.T) {
	replicas(t, Config{}, func(t *testing.T, c *cluster) {
		out := make(chan bool)
		s := c.open("GET", "", func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "before\n")
			_ = http.NewResponseController(w).Flush()
			<-out
			if _, err := io.WriteString(w, "after\n"); !errors.Is(err, node.ErrRevoked) {
				t.Errorf("write after the logout: %v", err)
			}
			if err := http.NewResponseController(w).Flush(); !errors.Is(err, node.ErrRevoked) {
				t.Errorf("flush after the logout: %v", err)
			}
		})
		resp := s.answer()
		s.logout()
		close(out)
		if body, err := io.ReadAll(resp.Body); string(body) != "before\n" || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("got %q, %v; want what came before, broken off", body, err)
		}
	})
}

// A handler that waits for a slow client is interrupted.
func TestStreamToSlowClient(t *testing.T) {
	replicas(t, Config{}, func(t *testing.T, c *cluster) {
		s := c.open("GET", "", func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		})
		synctest.Wait() // nobody reads, so it waits in Write
		s.logout()
		<-s.done
	})
}

// So is one that waits for the body of a slow client, who gets to know why.
func TestBodyOfSlowClient(t *testing.T) {
	replicas(t, Config{}, func(t *testing.T, c *cluster) {
		s := c.open("POST", "Content-Length: 100\r\n", func(_ http.ResponseWriter, r *http.Request) {
			if _, err := io.ReadAll(r.Body); err == nil {
				t.Error("the body came to its end")
			}
		})
		synctest.Wait()
		s.logout()
		resp := s.answer()
		<-s.done
		if resp.StatusCode != 401 || !strings.Contains(resp.Header.Get("WWW-Authenticate"), "the session has ended") {
			t.Errorf("%d %v", resp.StatusCode, resp.Header)
		}
	})
}

// Who waits for an answer that has not begun is told why there is none, and gets nothing else that the handler had prepared.
func TestLongPollEndsWithToken(t *testing.T) {
	replicas(t, Config{}, func(t *testing.T, c *cluster) {
		out := make(chan bool)
		s := c.open("GET", "", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Header().Set("Set-Cookie", "secret=1")
			<-out
			w.WriteHeader(200)
			io.WriteString(w, "secret")
		})
		s.logout()
		close(out)
		resp := s.answer()
		body, err := io.ReadAll(resp.Body)
		if resp.StatusCode != 401 || err != nil || strings.Contains(string(body), "secret") ||
			resp.Header.Get("Set-Cookie")+resp.Header.Get("Content-Encoding") != "" {
			t.Errorf("%d %v %s", resp.StatusCode, resp.Header, body)
		}
	})
}

// A connection that was taken over is closed when the token ends, also when the handler has returned long before, and nothing
// passes it in either direction.
func TestHijackedConnectionEndsWithToken(t *testing.T) {
	replicas(t, Config{}, func(t *testing.T, c *cluster) {
		var conn net.Conn
		s := c.open("GET", "Connection: Upgrade\r\nUpgrade: echo\r\n", func(w http.ResponseWriter, _ *http.Request) {
			taken, rw, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			conn = taken
			io.WriteString(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			rw.Flush()
			go io.Copy(taken, rw) // its reader may have bytes that came early
		})
		if resp := s.answer(); resp.StatusCode != 101 {
			t.Fatalf("status %d", resp.StatusCode)
		}
		<-s.done
		for _, line := range []string{"one\n", "two\n"} { // the handler has returned
			io.WriteString(s.client, line)
			if got, err := s.in.ReadString('\n'); got != line || err != nil {
				t.Errorf("echo %q, %v", got, err)
			}
		}
		s.logout()
		if _, err := conn.Write([]byte("after\n")); !errors.Is(err, node.ErrRevoked) {
			t.Errorf("write after the logout: %v", err)
		}
		if _, err := conn.Read(make([]byte, 10)); err == nil {
			t.Error("read after the logout")
		}
		if got, err := s.in.ReadString('\n'); err == nil {
			t.Errorf("after the logout the client reads %q", got)
		}
	})
}

// A handler that takes a connection over and closes it leaves nothing behind.
func TestHijackedConnectionIsClosed(t *testing.T) {
	replicas(t, Config{}, func(t *testing.T, c *cluster) {
		s := c.open("GET", "", func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
		})
		<-s.done
		if _, err := s.in.ReadByte(); !errors.Is(err, io.EOF) {
			t.Errorf("read: %v", err)
		}
	})
}

// What ends the request alone ends nothing else: a handler may still say why it gives up.
func TestRequestEndsBeforeToken(t *testing.T) {
	replicas(t, Config{}, func(t *testing.T, c *cluster) {
		h := EndWithToken(c.nodes["c"])(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			http.Error(w, "too late", http.StatusGatewayTimeout)
		}))
		timed := Authenticate(c.nodes["c"])(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithTimeout(r.Context(), time.Second)
			defer cancel()
			h.ServeHTTP(w, r.WithContext(ctx))
		}))
		expect(t, call(timed, "GET", "/", "", c.login("a")), 504)
		expect(t, call(h, "GET", "/", "", c.login("a")), 401) // without Authenticate nobody passes
	})
}
