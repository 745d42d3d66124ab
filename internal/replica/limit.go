package replica

import (
	"context"
	"crypto/tls"
	"net"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// maxConnections is the number of HTTP connections that are open at a time, however many files the process may open.
const maxConnections = 16384

// connectionsFor returns how many HTTP connections a process may hold that may open so many files. The log, the other
// replicas and local administration need the rest: a store that cannot open a file ends the replica.
func connectionsFor(files uint64) int {
	reserve := max(files/4, min(256, files/2))
	return int(max(1, min(files-reserve, maxConnections)))
}

// maxSpare is the number of connections beyond those that are there for whoever asks for the replica's health.
const maxSpare = 256

// limited returns l with as many connections at a time as the limit of open files allows.
func limited(l net.Listener) net.Listener {
	n := maxConnections
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err == nil {
		n = connectionsFor(uint64(files.Cur))
	}
	spare := max(1, min(n/8, maxSpare))
	return &limitedListener{Listener: l, slots: make(chan struct{}, max(1, n-spare)), most: spare}
}

// limitedListener gives a connection a slot if there is one. Others are spare: on them, the health of the replica is asked for and nothing
// else, or whoever takes all connections would have load balancers take the replica for dead. Of those the newest are kept.
type limitedListener struct {
	net.Listener
	slots chan struct{} // holds one for each open connection

	mu    sync.Mutex
	spare []*limitedConn // the oldest first; guarded by mu
	most  int            // of them
}

// Accept implements net.Listener.
func (l *limitedListener) Accept() (net.Conn, error) {
	inner, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	select {
	case l.slots <- struct{}{}:
		return &limitedConn{Conn: inner, release: sync.OnceFunc(func() { <-l.slots })}, nil
	default:
	}
	c := &limitedConn{Conn: inner, spare: true}
	c.release = sync.OnceFunc(func() { l.forget(c) })
	if oldest := l.keep(c); oldest != nil {
		oldest.Close()
	}
	return c, nil
}

// keep counts a spare connection, and returns one that has to go for it, or nil.
func (l *limitedListener) keep(c *limitedConn) (oldest *limitedConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.spare) >= l.most {
		oldest = l.spare[0]
	}
	l.spare = append(l.spare, c)
	return oldest
}

func (l *limitedListener) forget(c *limitedConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spare = slices.DeleteFunc(l.spare, func(other *limitedConn) bool { return other == c })
}

// spareKey is in the context of requests that came on a spare connection.
type spareKey struct{}

// markSpare returns the context of a connection.
func markSpare(ctx context.Context, c net.Conn) context.Context {
	if secure, ok := c.(*tls.Conn); ok {
		c = secure.NetConn()
	}
	if limited, ok := c.(*limitedConn); ok && limited.spare {
		return context.WithValue(ctx, spareKey{}, true)
	}
	return ctx
}

// limitedConn is a connection that gives its slot back. It can gather what is written, so that it is sent with one system call, in one
// piece: net/http writes a long part of an answer in three, the last of which is two bytes.
type limitedConn struct {
	net.Conn
	release func()
	spare   bool

	// Of the goroutine that writes.
	gathers bool
	held    net.Buffers
	copied  []byte // of what held refers to
}

// mostCopied is the size of net/http's own buffer, which it uses again: what is longer is the caller's.
const mostCopied = 4096

// Gather keeps what is written from now on, until Send. Whoever writes more than 4 KiB at once must not change that until then.
func (c *limitedConn) Gather() { c.gathers = true }

// Write implements net.Conn.
func (c *limitedConn) Write(p []byte) (int, error) {
	if !c.gathers {
		return c.Conn.Write(p)
	}
	kept := p
	if len(p) <= mostCopied {
		from := len(c.copied)
		c.copied = append(c.copied, p...)
		kept = c.copied[from:len(c.copied):len(c.copied)]
	}
	c.held = append(c.held, kept)
	return len(p), nil
}

// Send writes what was gathered. Its error is the first one of these writes.
func (c *limitedConn) Send() error {
	held := c.held
	_, err := held.WriteTo(c.Conn)
	c.gathers, c.held, c.copied = false, c.held[:0], c.copied[:0]
	return err
}

// Close implements net.Conn.
func (c *limitedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}

// CloseWrite lets net/http end an answer to a request that it has not read to its end, so that the client can read it.
func (c *limitedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
