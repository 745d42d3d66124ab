package webhook

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"time"
)

const (
	// AttemptTimeout bounds an attempt, from the look-up of the name to the end of the answer.
	AttemptTimeout = 15 * time.Second
	// maxResponse bounds what is read of an answer, its head included, in bytes.
	maxResponse = 64 << 10
	// maxRetryAfter is the longest wait that a target can ask for.
	maxRetryAfter = time.Hour
)

// Message is what is sent.
type Message struct {
	ID        string
	At        int64 // webhook-timestamp, Unix seconds
	Signature string
	Type      string // of the body
	Body      []byte
}

// Result is what came of an attempt. The message has arrived if Err is nil; otherwise it may have.
type Result struct {
	Status     int           // of HTTP; 0: there was no answer
	RetryAfter time.Duration // what the target asked for; 0: nothing
	Err        error         // its text is short, and has nothing of the address, of the message or of the answer
}

// Sender sends messages to one target, one after the other, over a connection that it keeps. It starts no goroutine: an attempt ends
// when Send returns. It follows no redirect, asks no proxy, keeps no cookie. It is for one goroutine.
type Sender struct {
	Target *Target
	Policy Policy
	Agent  string // User-Agent
	// May is asked before each write to the network. An error ends the attempt, and nothing more is sent. Nil: yes.
	May func() error
	// Roots are the authorities that the target's certificate may come from. Nil: the system's.
	Roots *x509.CertPool
	// Dial connects, in tests; it checks no address. Nil: the network.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	resolver *net.Resolver // for tests; nil: the system's
	conn     *connection
}

// connection is one to the target, with what was read ahead.
type connection struct {
	net.Conn
	raw   *guarded
	read  *bufio.Reader
	limit io.LimitedReader
}

// guarded is a connection that asks before each write.
type guarded struct {
	net.Conn
	may func() error
}

// errStopped: May said no.
var errStopped = errors.New("stopped")

// Write implements net.Conn.
func (g *guarded) Write(p []byte) (int, error) {
	if g.may != nil {
		if err := g.may(); err != nil {
			return 0, fmt.Errorf("%w: %w", errStopped, err)
		}
	}
	return g.Conn.Write(p)
}

// Close ends the connection, if there is one.
func (s *Sender) Close() {
	if s.conn != nil {
		s.conn.raw.Close() // without a word of TLS: nobody waits for it
		s.conn = nil
	}
}

// Send makes one attempt. On a connection that was kept and has ended meanwhile, it makes it again on a new one.
func (s *Sender) Send(ctx context.Context, m *Message) Result {
	ctx, cancel := context.WithTimeout(ctx, AttemptTimeout)
	defer cancel()
	kept := s.conn != nil
	r, err := s.try(ctx, m)
	if err != nil && kept && ctx.Err() == nil && !errors.Is(err, errStopped) && !errors.Is(err, os.ErrDeadlineExceeded) {
		r, err = s.try(ctx, m)
	}
	if err != nil {
		return Result{Err: describe(ctx, err)}
	}
	return r
}

// try sends the message and reads the answer.
func (s *Sender) try(ctx context.Context, m *Message) (r Result, err error) {
	if s.conn == nil {
		if s.conn, err = s.connect(ctx); err != nil {
			return r, err
		}
	}
	c := s.conn
	stop := context.AfterFunc(ctx, func() { c.raw.Close() })
	resp, err := s.exchange(c, m)
	if err == nil {
		r, err = settle(resp)
	}
	if keep := err == nil && !resp.Close && c.limit.N > 0; !stop() || !keep {
		s.Close()
	}
	return r, err
}

// connect makes a connection to an address that the policy allows.
func (s *Sender) connect(ctx context.Context) (*connection, error) {
	dial := s.Dial
	if dial == nil {
		d := net.Dialer{Control: func(network, address string, _ syscall.RawConn) error { return s.check(address) }, KeepAlive: -1, Resolver: s.resolver}
		dial = d.DialContext
	}
	conn, err := dial(ctx, "tcp", s.Target.address)
	if err != nil {
		return nil, err
	}
	raw := &guarded{conn, s.May}
	deadline, _ := ctx.Deadline()
	_ = raw.SetDeadline(deadline)
	c := &connection{Conn: raw, raw: raw}
	if s.Target.secure() {
		secured := tls.Client(raw, &tls.Config{ServerName: s.Target.url.Hostname(), RootCAs: s.Roots, MinVersion: tls.VersionTLS12})
		if err := secured.HandshakeContext(ctx); err != nil {
			raw.Close()
			return nil, err
		}
		c.Conn = secured
	}
	c.limit.R = c.Conn
	c.read = bufio.NewReader(&c.limit)
	return c, nil
}

// check is called with the address that is about to be connected to.
func (s *Sender) check(address string) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return &RefusedError{Why: "it is none"}
	}
	return s.Policy.Check(s.Target, at)
}

// exchange writes the message and reads the head of the answer.
func (s *Sender) exchange(c *connection, m *Message) (*http.Response, error) {
	_ = c.raw.SetDeadline(time.Now().Add(AttemptTimeout))
	c.limit.N = maxResponse
	req := &http.Request{
		Method: http.MethodPost, URL: s.Target.url, Host: s.Target.url.Host, ContentLength: int64(len(m.Body)), Body: io.NopCloser(bytes.NewReader(m.Body)),
		Header: http.Header{
			"User-Agent": {s.Agent}, "Content-Type": {m.Type}, "Webhook-Id": {m.ID}, "Webhook-Timestamp": {strconv.FormatInt(m.At, 10)},
			"Webhook-Signature": {m.Signature},
		},
	}
	w := bufio.NewWriter(c.Conn)
	if err := req.Write(w); err != nil {
		return nil, err
	}
	if err := w.Flush(); err != nil {
		return nil, err
	}
	for {
		resp, err := http.ReadResponse(c.read, req)
		if err != nil || resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			return resp, err
		}
	}
}

// settle reads the rest of an answer, which says nothing, so that the connection can be used again.
func settle(resp *http.Response) (Result, error) {
	defer resp.Body.Close()
	r := Result{Status: resp.StatusCode}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		r.Err = fmt.Errorf("status %d", resp.StatusCode)
		r.RetryAfter = retryAfter(resp.Header.Get("Retry-After"), time.Now())
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		resp.Close = true // the status has been read: whatever became of the rest, that is the answer
	}
	return r, nil
}

// retryAfter reads Retry-After (RFC 9110 section 10.2.3): seconds, or a time.
func retryAfter(text string, now time.Time) time.Duration {
	wait := time.Duration(0)
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		wait = time.Duration(n) * time.Second
	} else if t, err := http.ParseTime(text); err == nil {
		wait = t.Sub(now)
	}
	return min(max(wait, 0), maxRetryAfter)
}

// describe says what went wrong, in words of this package: errors of the network have names and answers in them.
func describe(ctx context.Context, err error) error {
	var refused *RefusedError
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var op *net.OpError
	switch {
	case errors.As(err, &refused):
		return refused
	case errors.Is(err, errStopped), errors.Is(ctx.Err(), context.Canceled):
		return errStopped
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), ctx.Err() != nil:
		return fmt.Errorf("no answer within %v", AttemptTimeout)
	case errors.As(err, &dns):
		return errors.New("the name of the target cannot be resolved")
	case errors.As(err, &cert):
		return errors.New("the certificate of the target is not good")
	case errors.As(err, &op) && op.Op == "remote error", errors.As(err, &record):
		return errors.New("the target refuses TLS")
	case errors.Is(err, syscall.ECONNREFUSED):
		return errors.New("the connection was refused")
	case errors.As(err, &op) && op.Op == "dial":
		return errors.New("the target cannot be reached")
	}
	return errors.New("the connection broke before there was an answer of HTTP")
}

// IsStopped reports whether an attempt ended because May said no, or because its context was cancelled.
func IsStopped(err error) bool { return errors.Is(err, errStopped) }

// Backoff returns the time to the next attempt after so many that failed: a second, doubled each time, at most five minutes; a random
// half of it is left away, so that many senders do not come at once. random is from 0 to 1. What the target asked for is waited for at
// least.
func Backoff(failed int, asked time.Duration, random float64) time.Duration {
	const first, most = time.Second, 5 * time.Minute
	wait := most
	if failed < 10 {
		wait = min(first<<max(failed-1, 0), most)
	}
	return max(wait/2+time.Duration(random*float64(wait/2)), asked)
}
