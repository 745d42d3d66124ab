// Package eventstest owns a log in memory with faults (Memory), and the conformance suite (Run) that this log and the one
// over JetStream pass, so that a test with Memory says something about the real one.
//
// It does not know what events mean, except for their ids.
package eventstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/knell-auth/knell/events"
)

const (
	// window is how long the log knows ids; an append is given up after half of it. As events.Config has it by default.
	window = time.Minute
	// confirm is how long a log must end too early before Follow calls it rewound.
	confirm  = 5 * time.Second
	maxBatch = 1024
	// defaultMaxBytes is the size of a log unless SetMaxBytes says something else.
	defaultMaxBytes = 1 << 30
)

var errClosed = errors.New("eventstest: log is closed")

// Memory is one log in memory. Its handles are the nodes that use it. It works in a testing/synctest bubble: waiting is
// done with channels and timers only, and the few goroutines end with Close.
type Memory struct {
	closed chan struct{}
	ending sync.Once
	work   sync.WaitGroup // listeners

	mu        sync.Mutex
	changed   chan struct{} // closed, and replaced by another one, when anything below or in a Node changes
	created   time.Time
	first     uint64 // sequence of entries[0]
	entries   []entry
	bytes     int64
	maxBytes  int64
	ids       map[events.ID]uint64
	tiles     map[string][]byte // by name
	nodes     map[string]*Node
	listeners map[string][]*listener // by the name of the node that listens
	snapshots []stored
}

// entry is one message of the log.
type entry struct {
	msg events.Message
	id  events.ID
	at  time.Time
}

// New returns an empty log that is closed when the test ends.
func New(t testing.TB) *Memory {
	m := &Memory{
		closed: make(chan struct{}), changed: make(chan struct{}), created: time.Now().UTC(), first: 1,
		maxBytes: defaultMaxBytes, ids: map[events.ID]uint64{}, tiles: map[string][]byte{}, nodes: map[string]*Node{}, listeners: map[string][]*listener{},
	}
	t.Cleanup(m.Close)
	return m
}

// Close ends all calls that wait and all listeners, and awaits the listeners.
func (m *Memory) Close() {
	m.ending.Do(func() {
		m.mu.Lock() // Listen looks at closed with the lock
		close(m.closed)
		m.mu.Unlock()
	})
	m.work.Wait()
}

// Node returns the handle of a node, always the same one for a name; but a new one when the log of that handle is gone,
// as if the node had opened the log again.
func (m *Memory) Node(name string) *Node {
	if !events.ValidNodeName(name) {
		panic("eventstest: " + name + " is no node name")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.nodes[name]
	if n == nil || n.rewound || !n.created.Equal(m.created) {
		n = &Node{m: m, name: name, created: m.created}
		m.nodes[name] = n
	}
	return n
}

// Messages returns a copy of what is in the log.
func (m *Memory) Messages() []events.Message {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make([]events.Message, len(m.entries))
	for i, e := range m.entries {
		all[i] = e.msg
		all[i].Data = bytes.Clone(e.msg.Data)
	}
	return all
}

// Put adds a message as it is, such as one that a later version wrote, and returns its sequence.
func (m *Memory) Put(subject string, data []byte) uint64 {
	seq, _, err := m.store(events.NewID(), subject, bytes.Clone(data))
	if err != nil {
		panic(err)
	}
	return seq
}

// Begin sets the sequence of the first message of a log that is empty.
func (m *Memory) Begin(first uint64) { m.change(func() { m.first = first }) }

// SetMaxBytes limits the size of the log; what does not fit is ErrFull.
func (m *Memory) SetMaxBytes(n int64) {
	m.change(func() { m.maxBytes = n })
}

// Recreate replaces the log by a new one, which is empty. Handles that exist belong to the old one.
func (m *Memory) Recreate() {
	m.change(func() {
		created := time.Now().UTC()
		if !created.After(m.created) {
			created = m.created.Add(1)
		}
		m.created = created
		m.cutTo(0)
		m.first = 1
	})
}

// Rewind takes back all messages after the sequence keep, as a server does that loses what it had not synced. Handles that
// have delivered more find the log rewound.
func (m *Memory) Rewind(keep uint64) {
	m.change(func() {
		for _, n := range m.nodes {
			n.rewound = n.rewound || n.delivered > keep
		}
		m.cutTo(keep)
	})
}

// Trim removes the messages before the sequence first.
func (m *Memory) Trim(first uint64) {
	m.change(func() {
		for len(m.entries) > 0 && m.first < first {
			m.bytes -= int64(len(m.entries[0].msg.Data))
			m.entries = m.entries[1:]
			m.first++
		}
	})
}

// cutTo removes the messages after the sequence keep. Called with the lock.
func (m *Memory) cutTo(keep uint64) {
	for len(m.entries) > 0 && m.last() > keep {
		e := m.entries[len(m.entries)-1]
		m.bytes -= int64(len(e.msg.Data))
		delete(m.ids, e.id)
		m.entries = m.entries[:len(m.entries)-1]
	}
}

// last returns the newest sequence. Called with the lock.
func (m *Memory) last() uint64 { return m.first + uint64(len(m.entries)) - 1 }

// change makes a change and wakes everybody who waits for one.
func (m *Memory) change(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
	m.wake()
}

// wake is called with the lock.
func (m *Memory) wake() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// store adds a message unless one with its id was added within the window. Called without the lock.
func (m *Memory) store(id events.ID, subject string, data []byte) (seq uint64, duplicate bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if seq, known := m.ids[id]; known && (seq < m.first || now.Sub(m.entries[seq-m.first].at) < window) {
		return seq, true, nil
	}
	if m.bytes+int64(len(data)) > m.maxBytes {
		return 0, false, fmt.Errorf("%w: %d of %d bytes", events.ErrFull, m.bytes, m.maxBytes)
	}
	seq = m.last() + 1
	m.entries = append(m.entries, entry{msg: events.Message{Seq: seq, Subject: subject, Data: data}, id: id, at: now})
	m.bytes += int64(len(data))
	m.ids[id] = seq
	m.wake()
	return seq, false, nil
}

// pause waits until d is over, or ctx ends, or the log is closed, and returns why it ended early.
func (m *Memory) pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-m.closed:
		return errClosed
	}
}
