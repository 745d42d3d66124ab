package eventstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/knell-auth/knell/events"
)

// Node is one node's handle of a Memory: what events.Log is for JetStream, with the same contract, and with faults. All
// methods may be called concurrently, except Follow.
type Node struct {
	m    *Memory
	name string

	// Guarded by m.mu.
	created   time.Time // of the log that this handle was made for
	delivered uint64    // newest sequence that Follow has delivered or is delivering
	following bool
	rewound   bool // delivered messages were taken back
	cut       bool
	delays    Delays
	onAppend  func(*events.Event) Fault

	onSnapshot func(events.Snapshot) Fault
	drop       func(to string, data []byte) bool
}

// Fault is what happens to one append.
type Fault struct {
	Before error // not nil: Append returns it, and the event is not in the log
	After  error // not nil: Append returns it, and the event is in the log
}

// Delays are added to what takes no time otherwise.
type Delays struct {
	Deliver time.Duration // from storing a message to delivering it to this handle
	Ack     time.Duration // from storing a message to the return of Append
	Notice  time.Duration // from Tell to delivering the notice
}

// OnAppend has f decide about each append of this handle that gets through. f may block, to let others go first. nil ends
// it.
func (n *Node) OnAppend(f func(*events.Event) Fault) { n.m.change(func() { n.onAppend = f }) }

// SetDelays sets the delays of this handle, for messages that are under way as well.
func (n *Node) SetDelays(d Delays) { n.m.change(func() { n.delays = d }) }

// DropNotices loses the notices of this handle for which f returns true. nil ends it.
func (n *Node) DropNotices(f func(to string, data []byte) bool) { n.m.change(func() { n.drop = f }) }

// Cut takes the handle off the network: its appends hang, nothing is delivered to it, notices from and to it are lost.
func (n *Node) Cut() { n.m.change(func() { n.cut = true }) }

// Heal ends Cut. Appends that hang go through, if nobody has given them up.
func (n *Node) Heal() { n.m.change(func() { n.cut = false }) }

// Created returns when the log was created that this handle was made for.
func (n *Node) Created() time.Time {
	n.m.mu.Lock()
	defer n.m.mu.Unlock()
	return n.created
}

// Stat describes the log. While the handle is cut off it waits.
func (n *Node) Stat(ctx context.Context) (events.Stat, error) {
	if err := n.reach(ctx); err != nil {
		return events.Stat{}, err
	}
	m := n.m
	m.mu.Lock()
	defer m.mu.Unlock()
	return events.Stat{
		First: m.first, Last: m.last(), Messages: uint64(len(m.entries)), Bytes: m.bytes, MaxBytes: m.maxBytes,
		Created: m.created, Leader: "memory", Replicas: 1,
	}, nil
}

// reach waits while the handle is cut off.
func (n *Node) reach(ctx context.Context) error {
	for {
		n.m.mu.Lock()
		cut, changed := n.cut, n.m.changed
		n.m.mu.Unlock()
		if !cut {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-n.m.closed:
			return errClosed
		}
	}
}

// Append adds e as events.Log.Append does.
func (n *Node) Append(ctx context.Context, e *events.Event) (uint64, error) {
	data, err := events.Encode(nil, e)
	if err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("eventstest: append: %w", err) // nothing was sent
	}
	try, cancel := context.WithTimeout(ctx, window/2)
	defer cancel()
	seq, err := n.append(try, e, data)
	if errors.Is(err, errClosed) || err != nil && errors.Is(err, try.Err()) {
		return 0, fmt.Errorf("%w: %w", events.ErrUnknown, err)
	}
	return seq, err
}

func (n *Node) append(ctx context.Context, e *events.Event, data []byte) (uint64, error) {
	m := n.m
	m.mu.Lock()
	floor := n.delivered
	m.mu.Unlock()
	for {
		if err := n.reach(ctx); err != nil {
			return 0, err
		}
		m.mu.Lock()
		hook := n.onAppend
		m.mu.Unlock()
		var fault Fault
		if hook != nil {
			fault = hook(e)
		}
		if fault.Before != nil {
			return 0, fault.Before
		}
		seq, duplicate, err := m.store(e.ID, events.Subject(e), data)
		if err != nil {
			return 0, err
		}
		if fault.After != nil {
			return 0, fault.After
		}
		m.mu.Lock()
		wait := n.delays.Ack
		m.mu.Unlock()
		if err := m.pause(ctx, wait); err != nil {
			return 0, err
		}
		m.mu.Lock()
		lost := n.cut // and the acknowledgement with it: try again
		if seq <= floor && !duplicate {
			n.rewound = true
			m.wake()
			err = fmt.Errorf("%w: a new event has sequence %d, but %d had been delivered before it was sent", events.ErrRewound, seq, floor)
		}
		m.mu.Unlock()
		if !lost {
			return seq, err
		}
	}
}

// Follow delivers the log as events.Log.Follow does.
func (n *Node) Follow(ctx context.Context, after uint64, deliver func([]events.Message) error) error {
	m := n.m
	m.mu.Lock()
	busy := n.following
	n.following = true
	m.mu.Unlock()
	if busy {
		return errors.New("eventstest: the log is being followed already")
	}
	defer m.change(func() { n.following = false })
	var short time.Time // since when the log has ended too early
	for {
		m.mu.Lock()
		batch, wait, err := n.batch(after, &short)
		changed := m.changed
		m.mu.Unlock()
		if err == nil && ctx.Err() != nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if len(batch) > 0 {
			if err := deliver(batch); err != nil {
				return err
			}
			after = batch[len(batch)-1].Seq
			continue
		}
		if err := m.waitChange(ctx, changed, wait); err != nil {
			return err
		}
	}
}

// waitChange waits for a change, for as long as wait if that is not zero.
func (m *Memory) waitChange(ctx context.Context, changed <-chan struct{}, wait time.Duration) error {
	var due <-chan time.Time
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		due = t.C
	}
	select {
	case <-changed:
	case <-due:
	case <-ctx.Done():
		return ctx.Err()
	case <-m.closed:
		return errClosed
	}
	return nil
}

// batch returns copies of what can be delivered after a sequence, or how long to wait for it, or why there will be
// nothing. Called with the lock.
func (n *Node) batch(after uint64, short *time.Time) (batch []events.Message, wait time.Duration, err error) {
	m, now := n.m, time.Now()
	if n.cut {
		return nil, 0, nil
	}
	if err := n.unusable(after); err != nil {
		return nil, 0, err
	}
	if after > m.last() {
		wait, err := tooShort(short, m.last(), after)
		return nil, wait, err
	}
	*short = time.Time{}
	for _, e := range m.entries[after+1-m.first:] {
		if wait = n.delays.Deliver - now.Sub(e.at); wait > 0 || len(batch) == maxBatch {
			break
		}
		e.msg.Data = bytes.Clone(e.msg.Data)
		batch = append(batch, e.msg)
		n.delivered = max(n.delivered, e.msg.Seq)
	}
	return batch, wait, nil
}
