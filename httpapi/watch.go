package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"maps"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/knell-auth/knell/node"
)

// Watcher is a Verifier that also says when a token stops being good; *node.Node is one.
type Watcher interface {
	Verifier
	Watch(ctx context.Context, id node.Identity) *node.Watch
}

// EndWithToken ends requests that go on when their token is no longer good: streams, long polls, WebSockets. It stands behind
// Authenticate; without that, it refuses everybody. What the handler gets:
//
//   - The context of the request ends with the token, with a cause (context.Cause) that is node.ErrRevoked, node.ErrStale,
//     node.ErrExpired, node.ErrNotCurrent or node.ErrClosed (see node.Node.Watch). When a logout has returned, this has happened on
//     every replica that answers.
//   - Each Write, WriteHeader and Flush, and each Read of the body, is a verification of its own: one that begins after a logout
//     returned fails with the cause, also on a replica that was paused or cut off. What was written before may still be on its
//     way, in the buffers of net/http, TCP and proxies.
//   - A Read or Write that waits for the client is interrupted.
//   - A connection that the handler takes over (http.Hijacker, for WebSockets) is watched by itself until it is closed, also after
//     the handler has returned, and closed when the token ends. Its Read and Write follow the same rule.
//
// When the handler has returned, a client that has got nothing yet is told why: 401 with a challenge, or 503. An answer of which
// a part was refused is broken off, so that nobody takes it for the whole.
func EndWithToken(n Watcher) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			id, ok := IdentityFrom(r.Context())
			if !ok {
				fail(w, r, nil, errNoCredentials)
				return
			}
			watch := n.Watch(r.Context(), id)
			defer watch.Stop()
			ww := &watchedWriter{ResponseWriter: w, watch: watch, before: maps.Clone(w.Header())}
			ww.takeOver = func() *node.Watch { return n.Watch(context.WithoutCancel(r.Context()), id) }
			inner := r.WithContext(watch.Context())
			if r.Body != nil && r.Body != http.NoBody {
				inner.Body = &watchedBody{r.Body, watch}
			}
			ww.serve(next, inner)
			ww.finish(r, n)
		})
	}
}

// watchedWriter writes for as long as the token is good.
type watchedWriter struct {
	http.ResponseWriter
	watch    *node.Watch
	takeOver func() *node.Watch // a watch that outlives the request
	before   http.Header        // as the handler found it
	phase    atomic.Int32
	refused  atomic.Bool // something that the handler wrote
}

// Phases of an answer. It leaves unsent once.
const (
	unsent   int32 = iota
	sent           // the handler's answer has begun, or the connection is the handler's
	withheld       // the token ended first: the answer is this package's
)

// serve runs the handler, and interrupts it when the token ends.
func (w *watchedWriter) serve(next http.Handler, r *http.Request) {
	done := make(chan struct{})
	stop := context.AfterFunc(w.watch.Context(), func() {
		defer close(done)
		w.interrupt()
	})
	defer func() {
		if !stop() {
			<-done // nobody may use the writer after the handler
		}
	}()
	next.ServeHTTP(w, r)
}

// start returns nil if the answer may begin, or go on.
func (w *watchedWriter) start() error {
	err := w.watch.Check()
	if err == nil && (w.phase.CompareAndSwap(unsent, sent) || w.phase.Load() == sent) {
		return nil
	}
	w.refused.Store(true)
	return w.watch.Check() // an answer is withheld only when the token has ended
}

// interrupt ends Reads and Writes that wait for the client, unless it is the request that has ended, not the token. Errors are
// those of connections that have no deadlines: there the server's own count.
func (w *watchedWriter) interrupt() {
	if w.watch.Check() == nil {
		return
	}
	past := time.Unix(1, 0)
	c := http.NewResponseController(w.ResponseWriter)
	_ = c.SetReadDeadline(past)
	if !w.phase.CompareAndSwap(unsent, withheld) {
		_ = c.SetWriteDeadline(past)
	}
}

// finish tells a client that has got nothing why, and breaks an answer off that would seem whole and is not.
func (w *watchedWriter) finish(r *http.Request, n retrier) {
	cause := w.watch.Check()
	switch {
	case w.phase.Load() == sent && w.refused.Load():
		panic(http.ErrAbortHandler)
	case w.phase.Load() != sent && cause != nil:
		h := w.Header()
		clear(h)
		maps.Copy(h, w.before)
		fail(w.ResponseWriter, r, n, cause)
	}
}

// WriteHeader implements http.ResponseWriter.
func (w *watchedWriter) WriteHeader(status int) {
	if 100 <= status && status < 200 && status != http.StatusSwitchingProtocols {
		if w.watch.Check() == nil {
			w.ResponseWriter.WriteHeader(status)
		}
		return
	}
	if w.start() == nil {
		w.ResponseWriter.WriteHeader(status)
	}
}

// Write implements http.ResponseWriter. The error is the cause of the token's end.
func (w *watchedWriter) Write(p []byte) (int, error) {
	if err := w.start(); err != nil {
		return 0, err
	}
	return w.ResponseWriter.Write(p)
}

// Flush implements http.Flusher.
func (w *watchedWriter) Flush() { _ = w.FlushError() }

// FlushError is Flush for http.ResponseController.
func (w *watchedWriter) FlushError() error {
	if err := w.start(); err != nil {
		return err
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap gives http.ResponseController the writer below, for deadlines.
func (w *watchedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Hijack implements http.Hijacker.
func (w *watchedWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if err := w.start(); err != nil {
		return nil, nil, err
	}
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	c := &watchedConn{Conn: conn, watch: w.takeOver()}
	c.stop = context.AfterFunc(c.watch.Context(), func() { conn.Close() })
	early, _ := rw.Reader.Peek(rw.Reader.Buffered()) // what is buffered can be read
	rw.Reader.Reset(io.MultiReader(bytes.NewReader(bytes.Clone(early)), c))
	_, _ = rw.Reader.Peek(len(early)) // into the buffer again, where libraries look for it
	rw.Writer.Reset(c)
	return c, rw, nil
}

// watchedBody reads for as long as the token is good.
type watchedBody struct {
	io.ReadCloser
	watch *node.Watch
}

// Read implements io.Reader. What arrives after the end of the token is not handed out.
func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if cause := b.watch.Check(); cause != nil {
		return 0, cause
	}
	return n, err
}

// watchedConn is a connection that was taken over; it is closed when the token ends.
type watchedConn struct {
	net.Conn
	watch *node.Watch
	stop  func() bool // of the closing at the end of the token
}

// Read implements net.Conn. What arrives after the end of the token is not handed out.
func (c *watchedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if cause := c.watch.Check(); cause != nil {
		return 0, cause
	}
	return n, err
}

// Write implements net.Conn.
func (c *watchedConn) Write(p []byte) (int, error) {
	if err := c.watch.Check(); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// Close implements net.Conn.
func (c *watchedConn) Close() error {
	c.stop()
	c.watch.Stop()
	return c.Conn.Close()
}
