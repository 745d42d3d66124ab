package replica

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"testing"
)

func TestConnectionsFor(t *testing.T) {
	for files, want := range map[uint64]int{0: 1, 1: 1, 256: 128, 1024: 768, 4096: 3072, 1 << 20: maxConnections, ^uint64(0): maxConnections} {
		if got := connectionsFor(files); got != want {
			t.Errorf("%d files: %d connections, want %d", files, got, want)
		}
	}
}

// TestHealthUnderFlood: whoever takes all connections and holds them keeps nobody from asking for the health of the replica, however many
// more there are; all else is 503 until a connection is given back.
func TestHealthUnderFlood(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &limitedListener{Listener: inner, slots: make(chan struct{}, 2), most: 3}
	g := &gate{}
	g.open(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	accepted := make(chan struct{}, 100)
	s := &http.Server{Handler: g, ConnContext: func(ctx context.Context, c net.Conn) context.Context {
		accepted <- struct{}{}
		return markSpare(ctx, c)
	}}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	defer func() {
		s.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	}()
	hold := func(n int) (list []net.Conn) {
		for range n {
			c, err := net.Dial("tcp", inner.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			list = append(list, c)
			<-accepted
		}
		return list
	}
	ask := func(path string, want int, closed bool) {
		t.Helper()
		client := &http.Client{Transport: &http.Transport{}}
		resp := get(t, client, "http://"+inner.Addr().String()+path)
		<-accepted
		if resp.StatusCode != want || resp.Close != closed {
			t.Errorf("%s: %d, closed %t; want %d, %t", path, resp.StatusCode, resp.Close, want, closed)
		}
		client.CloseIdleConnections()
	}
	slots := hold(2)
	for range 2 {
		ask("/readyz", 204, true)
		ask("/livez", 204, true)
		ask("/verify", 503, true)
		hold(20) // of which the newest are kept
	}
	for _, c := range slots {
		c.Close()
	}
	for len(l.slots) > 0 { // until the server has noticed
		runtime.Gosched()
	}
	ask("/verify", 204, false)
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
