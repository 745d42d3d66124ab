package replica

import (
	"errors"
	"net"
	"testing"
)

func TestConnectionsFor(t *testing.T) {
	for files, want := range map[uint64]int{0: 1, 1: 1, 256: 128, 1024: 768, 4096: 3072, 1 << 20: maxConnections, ^uint64(0): maxConnections} {
		if got := connectionsFor(files); got != want {
			t.Errorf("%d files: %d connections, want %d", files, got, want)
		}
	}
}

// TestLimit: a connection beyond the limit is accepted when another one is closed, however often that is, and a listener
// that is full can be closed.
func TestLimit(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &limitedListener{Listener: inner, slots: make(chan struct{}, 2), closed: make(chan struct{})}
	accepted, failed := make(chan net.Conn), make(chan error)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				failed <- err
				return
			}
			accepted <- c
		}
	}()
	for range 4 {
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	open := []net.Conn{<-accepted, <-accepted}
	select {
	case <-accepted:
		t.Fatal("a third connection of two was accepted")
	case l.slots <- struct{}{}:
		t.Fatal("there is a free slot")
	default:
	}
	open[0].Close()
	open[0].Close() // gives nothing back
	open[0] = <-accepted
	if len(l.slots) != 2 {
		t.Errorf("%d slots are taken, want 2", len(l.slots))
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := <-failed; !errors.Is(err, net.ErrClosed) {
		t.Errorf("accepting on a closed listener: %v", err)
	}
	for _, c := range open {
		c.Close()
	}
}
