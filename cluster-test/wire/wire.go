// Package wire is the network between replicas, in user space, so that it can lose and delay packets and cut one direction of
// a link, on any kernel and without changing what the replicas say or where they connect.
//
// It owns the devices, the links between them and what each link does to packets. It does not know who sits at a device
// (package cluster) nor when to disturb which link (package fault). What travels is TCP of real kernels: a lost packet is
// sent again, a late one holds back those behind it.
package wire

import (
	"io"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"
)

// Device makes the interfaces that a switch reads and writes.
const Device = "/dev/net/tun"

// Rule says what a link does to packets. The zero value lets them pass at once.
type Rule struct {
	Cut           bool
	Delay, Jitter time.Duration // each packet takes Delay, and up to Jitter more; packets do not overtake each other
	Loss          float64       // the share of packets that vanish
}

// Switch connects ports, each pair of them by one link in each direction. Its methods are safe for concurrent use.
type Switch struct {
	ports []io.ReadWriteCloser
	addrs map[netip.Addr]int // of the ports
	links [][]*link          // from, to
	work  sync.WaitGroup
}

// newSwitch connects ports, of which each stands for one address: a read is one packet that was sent there, a write one
// that arrives.
func newSwitch(ports []io.ReadWriteCloser, addrs []netip.Addr, seed uint64) *Switch {
	s := &Switch{ports: ports, addrs: map[netip.Addr]int{}}
	for from, a := range addrs {
		s.addrs[a] = from
		row := make([]*link, len(ports))
		for to, port := range ports {
			if to != from {
				row[to] = newLink(port, rand.New(rand.NewPCG(seed, uint64(from*len(ports)+to))))
				s.work.Go(row[to].run)
			}
		}
		s.links = append(s.links, row)
	}
	for from := range ports {
		s.work.Go(func() { s.forward(from) })
	}
	return s
}

// largest is the size of the largest packet.
const largest = 1 << 16

// forward reads what a port sends until it is closed.
func (s *Switch) forward(from int) {
	buf := make([]byte, largest)
	for {
		n, err := s.ports[from].Read(buf)
		if err != nil {
			return
		}
		if to, ok := s.addrs[destination(buf[:n])]; ok && to != from {
			s.links[from][to].send(buf[:n])
		}
	}
}

// destination returns where an IPv4 packet is to go; the zero address for anything else.
func destination(packet []byte) netip.Addr {
	if len(packet) < 20 || packet[0]>>4 != 4 {
		return netip.Addr{}
	}
	return netip.AddrFrom4([4]byte(packet[16:20]))
}

// Set makes the link between two ports, in this direction alone, follow a rule. Packets that are on the way arrive.
func (s *Switch) Set(from, to int, r Rule) { s.links[from][to].set(r) }

// Close closes the ports and ends everything.
func (s *Switch) Close() error {
	var first error
	for _, p := range s.ports {
		if err := p.Close(); err != nil && first == nil {
			first = err
		}
	}
	for _, row := range s.links {
		for _, l := range row {
			if l != nil {
				l.end()
			}
		}
	}
	s.work.Wait()
	return first
}
