package eventstest

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/knell-auth/knell/events"
)

// notice is one call of Tell.
type notice struct {
	from string
	data []byte
}

// listener is one call of Listen. Notices wait in queue for its goroutine.
type listener struct {
	n     *Node
	end   chan struct{} // closed by stop
	done  chan struct{} // closed by the goroutine
	ready chan struct{} // holds a token when queue is not empty

	mu    sync.Mutex
	queue []notice
}

// Tell sends a notice as events.Log.Tell does.
func (n *Node) Tell(to string, data []byte) error {
	if !events.ValidNodeName(to) {
		return fmt.Errorf("eventstest: telling %q: not a node name", to)
	}
	m := n.m
	m.mu.Lock()
	drop, cut, wait := n.drop, n.cut, n.delays.Notice
	m.mu.Unlock()
	if cut || drop != nil && drop(to, data) {
		return nil // lost, and nobody says so
	}
	note := notice{from: n.name, data: bytes.Clone(data)}
	if wait > 0 {
		time.AfterFunc(wait, func() { m.arrive(to, note) })
		return nil
	}
	m.arrive(to, note)
	return nil
}

// arrive hands a notice to those who listen for a node.
func (m *Memory) arrive(to string, note notice) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range m.listeners[to] {
		if !l.n.cut {
			l.put(notice{from: note.from, data: bytes.Clone(note.data)})
		}
	}
}

func (l *listener) put(note notice) {
	l.mu.Lock()
	l.queue = append(l.queue, note)
	l.mu.Unlock()
	select {
	case l.ready <- struct{}{}:
	default:
	}
}

// Listen receives notices as events.Log.Listen does.
func (n *Node) Listen(deliver func(from string, data []byte)) (stop func(), err error) {
	m := n.m
	l := &listener{n: n, end: make(chan struct{}), done: make(chan struct{}), ready: make(chan struct{}, 1)}
	m.mu.Lock()
	defer m.mu.Unlock()
	select {
	case <-m.closed:
		return nil, errClosed
	default:
	}
	m.listeners[n.name] = append(m.listeners[n.name], l)
	m.work.Go(func() {
		defer close(l.done)
		l.run(m.closed, deliver)
	})
	var once sync.Once
	return func() {
		once.Do(func() {
			m.mu.Lock()
			m.listeners[n.name] = slices.DeleteFunc(m.listeners[n.name], func(x *listener) bool { return x == l })
			m.mu.Unlock()
			close(l.end)
		})
		<-l.done
	}, nil
}

func (l *listener) run(closed <-chan struct{}, deliver func(from string, data []byte)) {
	for {
		select {
		case <-l.ready:
		case <-l.end:
			return
		case <-closed:
			return
		}
		l.mu.Lock()
		queue := l.queue
		l.queue = nil
		l.mu.Unlock()
		for _, note := range queue {
			select {
			case <-l.end:
				return
			default:
				deliver(note.from, note.data)
			}
		}
	}
}
