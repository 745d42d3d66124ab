package replica

import (
	"bytes"
	"errors"
	"io"
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

// TestGather: what is gathered arrives in order and at Send, whatever becomes of a short piece's memory meanwhile; then nothing is kept.
func TestGather(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l = limited(l)
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	c := accepted.(*limitedConn)
	var want []byte
	for round := range 3 {
		c.Gather()
		for i, size := range []int{mostCopied, 30000, 2, 1, 5000, 7} {
			p := bytes.Repeat([]byte{byte(16*round + i)}, size)
			want = append(want, p...)
			if n, err := c.Write(p); n != size || err != nil {
				t.Fatal(n, err)
			}
			if size <= mostCopied {
				clear(p)
			}
		}
		if err := c.Send(); err != nil {
			t.Fatal(err)
		}
		want = append(want, "now"...)
		if _, err := c.Write([]byte("now")); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(want))
		if _, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("round %d: %v, other bytes than were written", round, err)
		}
		want = want[:0]
	}
	client.Close()
	c.Gather()
	for err = nil; err == nil; err = c.Send() { // until the system knows that nobody is there
		c.Gather()
		if _, err := c.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
}
