package wire

import (
	"fmt"
	"io"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// port is one end of a switch: what a test sends there, and what arrived, with the time.
type port struct {
	sent chan []byte

	mu      sync.Mutex // guards all below
	arrived []string
}

// Read implements io.Reader.
func (p *port) Read(buf []byte) (int, error) {
	packet, ok := <-p.sent
	if !ok {
		return 0, io.EOF
	}
	return copy(buf, packet), nil
}

// Write implements io.Writer.
func (p *port) Write(packet []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.arrived = append(p.arrived, string(packet[20:]))
	return len(packet), nil
}

// Close implements io.Closer.
func (p *port) Close() error {
	close(p.sent)
	return nil
}

func (p *port) take() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := fmt.Sprint(p.arrived)
	p.arrived = nil
	return all
}

func address(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}) }

// packet returns a packet to port i.
func packet(i int, text string) []byte {
	header := make([]byte, 20)
	header[0] = 0x45
	to := address(i).As4()
	copy(header[16:], to[:])
	return append(header, text...)
}

// connected runs test with a switch of three ports, in a bubble.
func connected(t *testing.T, test func(s *Switch, ports []*port)) {
	synctest.Test(t, func(t *testing.T) {
		var ports []*port
		var ends []io.ReadWriteCloser
		var addrs []netip.Addr
		for i := range 3 {
			p := &port{sent: make(chan []byte)}
			ports, ends, addrs = append(ports, p), append(ends, p), append(addrs, address(i))
		}
		s := newSwitch(ends, addrs, 1)
		test(s, ports)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestPacketsGoWhereTheyShould(t *testing.T) {
	connected(t, func(_ *Switch, ports []*port) {
		ports[0].sent <- packet(1, "a")
		ports[0].sent <- packet(2, "b")
		ports[0].sent <- packet(9, "to nobody")
		ports[0].sent <- packet(0, "to oneself")
		ports[0].sent <- []byte("no packet")
		ports[2].sent <- packet(1, "c")
		synctest.Wait()
		if got := ports[0].take() + ports[1].take() + ports[2].take(); got != "[][a c][b]" {
			t.Error(got)
		}
	})
}

func TestCutIsOneWay(t *testing.T) {
	connected(t, func(s *Switch, ports []*port) {
		s.Set(0, 1, Rule{Cut: true})
		ports[0].sent <- packet(1, "lost")
		ports[1].sent <- packet(0, "back")
		ports[2].sent <- packet(1, "beside")
		synctest.Wait()
		s.Set(0, 1, Rule{})
		ports[0].sent <- packet(1, "again")
		synctest.Wait()
		if got := ports[0].take() + ports[1].take(); got != "[back][beside again]" {
			t.Error(got)
		}
	})
}

func TestDelayKeepsOrder(t *testing.T) {
	connected(t, func(s *Switch, ports []*port) {
		s.Set(0, 1, Rule{Delay: 20 * time.Millisecond, Jitter: 10 * time.Millisecond})
		for i := range 5 {
			ports[0].sent <- packet(1, fmt.Sprint(i))
		}
		synctest.Wait()
		s.Set(0, 1, Rule{}) // what comes now does not overtake
		ports[0].sent <- packet(1, "5")
		time.Sleep(20*time.Millisecond - 1)
		if got := ports[1].take(); got != "[]" {
			t.Errorf("early: %s", got)
		}
		time.Sleep(10*time.Millisecond + 1)
		synctest.Wait()
		if got := ports[1].take(); got != "[0 1 2 3 4 5]" {
			t.Error(got)
		}
		ports[0].sent <- packet(1, "at once")
		synctest.Wait()
		if got := ports[1].take(); got != "[at once]" {
			t.Error(got)
		}
	})
}

func TestLossIsAShare(t *testing.T) {
	connected(t, func(s *Switch, ports []*port) {
		s.Set(0, 1, Rule{Loss: 0.2})
		const n = 2000
		for range n {
			ports[0].sent <- packet(1, "x")
		}
		synctest.Wait()
		ports[1].mu.Lock()
		got := len(ports[1].arrived)
		ports[1].mu.Unlock()
		if got < n*75/100 || got > n*85/100 {
			t.Errorf("%d of %d arrived, want about four of five", got, n)
		}
	})
}

// TestCloseWithPacketsOnTheWay: a switch ends at once, whatever waits in it.
func TestCloseWithPacketsOnTheWay(t *testing.T) {
	connected(t, func(s *Switch, ports []*port) {
		s.Set(0, 1, Rule{Delay: time.Hour})
		ports[0].sent <- packet(1, "never")
		synctest.Wait()
	})
}
