package replica

import (
	"net"
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

// limited returns l with as many connections at a time as the limit of open files allows.
func limited(l net.Listener) net.Listener {
	n := maxConnections
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err == nil {
		n = connectionsFor(uint64(files.Cur))
	}
	return &limitedListener{Listener: l, slots: make(chan struct{}, n), closed: make(chan struct{})}
}

// limitedListener accepts a connection when there is a slot for it. Meanwhile the others wait in the backlog of the system.
type limitedListener struct {
	net.Listener
	slots  chan struct{} // holds one for each open connection
	once   sync.Once     // closes closed
	closed chan struct{}
}

// Accept implements net.Listener.
func (l *limitedListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &limitedConn{Conn: c, release: sync.OnceFunc(func() { <-l.slots })}, nil
}

// Close implements net.Listener.
func (l *limitedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// limitedConn is a connection that gives its slot back. It can gather what is written, so that it is sent with one system call, in one
// piece: net/http writes a long part of an answer in three, the last of which is two bytes.
type limitedConn struct {
	net.Conn
	release func()

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
