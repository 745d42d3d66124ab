package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// peer is one connection.
type peer struct {
	fd   int
	in   []byte
	got  int
	sent time.Time
}

// lostAnswer is how long an answer may take: one that takes longer will not come.
const lostAnswer = 5 * time.Second

var (
	status200 = []byte("HTTP/1.1 200 ")
	endOfHead = []byte("\r\n\r\n")
	lengthIs  = []byte("\r\nContent-Length: ")
)

// client is the connections of a load. It is one thread that waits for all of them, so that it costs less than any service. It is for
// one goroutine, and on the client's processor.
type client struct {
	load
	peers   []peer
	epoll   int
	events  []unix.EpollEvent
	next    int // request
	release func()
}

// connect opens the connections, from the processor cpu, and sends one request on each: what follows meets a service that has them.
func connect(ctx context.Context, l load, conns, cpu int) (*client, error) {
	release, err := bind(cpu)
	if err != nil {
		return nil, err
	}
	c := &client{load: l, epoll: -1, events: make([]unix.EpollEvent, conns), release: release}
	if c.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, errors.Join(err, c.close())
	}
	for i := range conns {
		fd, err := dial(l.addr)
		if err != nil {
			return nil, errors.Join(err, c.close())
		}
		c.peers = append(c.peers, peer{fd: fd, in: make([]byte, maxAnswer)})
		if err := unix.EpollCtl(c.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)}); err != nil {
			return nil, errors.Join(err, c.close())
		}
	}
	if _, _, err := c.drive(ctx, 0); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

func (c *client) close() (err error) {
	for _, p := range c.peers {
		err = errors.Join(err, unix.Close(p.fd))
	}
	if c.epoll >= 0 {
		err = errors.Join(err, unix.Close(c.epoll))
	}
	c.release()
	return err
}

// drive sends the load for the time d, at least one request on each connection, and returns the latencies of the answers in the order
// of their arrival and how long it took. An answer that is not 200, or has not what is wanted, is an error.
func (c *client) drive(ctx context.Context, d time.Duration) (latencies []time.Duration, took time.Duration, err error) {
	latencies = make([]time.Duration, 0, len(c.peers)+int(d/(4*time.Microsecond))) // no service is faster
	began := time.Now()
	for i := range c.peers {
		if err := c.send(&c.peers[i], time.Now()); err != nil {
			return nil, 0, err
		}
	}
	for open := len(c.peers); open > 0; {
		n, err := unix.EpollWait(c.epoll, c.events, int(lostAnswer.Milliseconds()))
		switch {
		case ctx.Err() != nil:
			return nil, 0, ctx.Err()
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return nil, 0, err
		case n == 0:
			return nil, 0, errors.New("no answer")
		}
		for _, e := range c.events[:n] {
			p := &c.peers[e.Fd]
			done, err := p.receive(c.want)
			if err != nil {
				return nil, 0, err
			}
			if !done {
				continue
			}
			now := time.Now()
			latencies = append(latencies, now.Sub(p.sent))
			if now.Sub(began) >= d {
				open--
			} else if err := c.send(p, now); err != nil {
				return nil, 0, err
			}
		}
	}
	return latencies, time.Since(began), nil
}

// send sends the next request.
func (c *client) send(p *peer, now time.Time) error {
	p.got, p.sent = 0, now
	request := c.requests[c.next%len(c.requests)]
	c.next++
	n, err := unix.Write(p.fd, request)
	if err == nil && n < len(request) {
		err = errors.New("the socket takes no whole request")
	}
	return err
}

// bind keeps the calling goroutine on a processor until release. (It does not leave the end of the thread to that of the goroutine:
// the services end with the thread that started them.)
func bind(cpu int) (release func(), err error) {
	var before, one unix.CPUSet
	one.Set(cpu)
	runtime.LockOSThread()
	err = unix.SchedGetaffinity(0, &before)
	if err == nil {
		err = unix.SchedSetaffinity(0, &one)
	}
	if err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("processor %d: %w", cpu, err)
	}
	return func() {
		_ = unix.SchedSetaffinity(0, &before) // it was so
		runtime.UnlockOSThread()
	}, nil
}

// bindProcess keeps another process, which has one thread that matters, on a processor.
func bindProcess(pid, cpu int) error {
	var one unix.CPUSet
	one.Set(cpu)
	return unix.SchedSetaffinity(pid, &one)
}

// dial returns a connection that does not block.
func dial(addr string) (fd int, err error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return 0, err
	}
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	err = unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()})
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		unix.Close(fd)
	}
	return fd, err
}

// receive reads what has come and reports whether the answer is whole.
func (p *peer) receive(want []byte) (done bool, err error) {
	n, err := unix.Read(p.fd, p.in[p.got:])
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return false, nil
	case err != nil:
		return false, err
	case n == 0:
		return false, errors.New("the service has closed the connection")
	}
	p.got += n
	in := p.in[:p.got]
	head := bytes.Index(in, endOfHead)
	if head < 0 {
		return false, nil
	}
	if !bytes.HasPrefix(in, status200) {
		return false, fmt.Errorf("the answer is %.300q", in)
	}
	size, err := contentLength(in[:head])
	if err != nil || p.got < head+len(endOfHead)+size {
		return false, err
	}
	if !bytes.Contains(in, want) {
		return false, fmt.Errorf("the answer is %.300q, without %q", in, want)
	}
	return true, nil
}

func contentLength(head []byte) (int, error) {
	_, rest, found := bytes.Cut(head, lengthIs)
	if !found {
		return 0, fmt.Errorf("an answer without a length: %.300q", head)
	}
	if end := bytes.IndexByte(rest, '\r'); end >= 0 {
		rest = rest[:end]
	}
	return strconv.Atoi(string(rest))
}
