package compare

import (
	"net"
	"sync"
)

// link passes TCP connections on to one address. While it is cut, bytes neither pass nor come back, and nothing is reset:
// what a lost route looks like. What was sent meanwhile arrives when it is mended, as after retransmission.
type link struct {
	listener net.Listener
	to       string
	done     sync.WaitGroup

	mu     sync.Mutex
	open   chan struct{} // closed while bytes pass
	closed bool
	conns  map[net.Conn]bool
}

func newLink(to string) (*link, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	k := &link{listener: l, to: to, open: make(chan struct{}), conns: map[net.Conn]bool{}}
	close(k.open)
	k.done.Go(k.accept) // ends with close
	return k, nil
}

func (k *link) addr() string { return k.listener.Addr().String() }

func (k *link) cut() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.open = make(chan struct{})
}

func (k *link) mend() {
	k.mu.Lock()
	defer k.mu.Unlock()
	select {
	case <-k.open:
	default:
		close(k.open)
	}
}

// wait returns when bytes may pass.
func (k *link) wait() {
	k.mu.Lock()
	open := k.open
	k.mu.Unlock()
	<-open
}

func (k *link) accept() {
	for {
		from, err := k.listener.Accept()
		if err != nil {
			return
		}
		if k.keep(from) {
			k.done.Go(func() { k.pass(from) })
		}
	}
}

// keep has c closed with the link. False: the link is closed.
func (k *link) keep(c net.Conn) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		c.Close()
		return false
	}
	k.conns[c] = true
	return true
}

func (k *link) drop(c net.Conn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.conns, c)
	c.Close()
}

// pass connects from to the other end and copies in both directions until one of them ends.
func (k *link) pass(from net.Conn) {
	defer k.drop(from)
	k.wait()
	to, err := net.Dial("tcp", k.to)
	if err != nil || !k.keep(to) {
		return
	}
	defer k.drop(to)
	var back sync.WaitGroup
	back.Go(func() { k.copy(from, to) })
	k.copy(to, from)
	back.Wait()
}

// copy copies until an end, and then ends both.
func (k *link) copy(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		k.wait() // an end, too, is news that does not pass
		if _, writeErr := to.Write(buf[:n]); writeErr != nil || err != nil {
			return
		}
	}
}

// close ends all connections and waits for what passes them on.
func (k *link) close() error {
	err := k.listener.Close()
	k.mu.Lock()
	k.closed = true
	for c := range k.conns {
		c.Close()
	}
	k.mu.Unlock()
	k.mend()
	k.done.Wait()
	return err
}
