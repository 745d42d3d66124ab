package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/knell-auth/knell/events"
)

// LogEntry is one event of the log with what the fold made of it.
type LogEntry struct {
	Seq uint64
	ID  events.ID
	// Type is the CloudEvent's type, such as knell.session.started.
	Type string
	// Void is why the event changed nothing: epoch, duplicate, changed, gone, exists, noop, limited or level. "" when it took effect.
	Void string
	// Event is the CloudEvent as it is stored, valid until deliver returns. Nil for what replicas say about themselves, and for
	// the log's first event, which holds a key.
	Event json.RawMessage
}

// LogEnd says where a reading of the log ended.
type LogEnd struct {
	Seq    uint64
	Digest events.ID // of the reading: over every message up to Seq and what it did
	// Applied is the digest that this replica had when it applied Seq, zero when it has forgotten that. One that differs from
	// Digest means that its state is not what the log means.
	Applied events.ID
	// Withheld is how many messages of the range were not delivered: those that hold secrets. The sequences of the others have a
	// gap for each.
	Withheld uint64
}

// ReadLog reads the log from its beginning to the sequence upTo, which this replica has applied; 0 means the newest such.
// It folds it anew, with a state of its own, and calls deliver with each event after the sequence after that is not
// secret, in order. What it takes of memory is what the state takes, however long the log is.
//
// ErrBadRequest says that there is no such range, ErrClosed that the node ended meanwhile. Whatever deliver returns is
// returned. Errors of the log are as events.Log.Read has them. Not every entry was delivered when there is an error.
func (n *Node) ReadLog(ctx context.Context, after, upTo uint64, deliver func(LogEntry) error) (LogEnd, error) {
	n.mu.RLock()
	applied := n.state.seq
	n.mu.RUnlock()
	switch {
	case after > applied:
		return LogEnd{}, fmt.Errorf("%w: after is %d, but this replica has applied no more than %d", ErrBadRequest, after, applied)
	case upTo > applied:
		return LogEnd{}, fmt.Errorf("%w: up_to is %d, but this replica has applied no more than %d", ErrBadRequest, upTo, applied)
	case upTo == 0:
		upTo = applied
	case upTo < after:
		return LogEnd{}, fmt.Errorf("%w: up_to is %d, which comes before %d", ErrBadRequest, upTo, after)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(n.ctx, cancel)()
	from, err := n.stateBefore(ctx, after)
	if err != nil {
		return LogEnd{}, err
	}
	from.leaves.storeNothing()
	r := logReading{state: from, after: after, deliver: deliver}
	// Now, because the ring of digests goes on while the log is read.
	own := n.digestAt(upTo)
	if err := n.cfg.Log.Read(ctx, from.seq, upTo, r.take); err != nil {
		if n.ctx.Err() != nil && errors.Is(err, context.Canceled) {
			err = ErrClosed
		}
		return LogEnd{}, fmt.Errorf("read the log: %w", err)
	}
	return LogEnd{Seq: upTo, Digest: r.state.digest, Applied: own, Withheld: r.withheld}, nil
}

// stateBefore returns a state of its own to read on from, at after or before it: an empty one, or a snapshot's when the log was
// trimmed. ErrTrimmed says from where on the log can be read.
func (n *Node) stateBefore(ctx context.Context, after uint64) (*state, error) {
	first, _ := n.LogBegins()
	if first == 1 {
		return newState(), nil
	}
	if n.cfg.Retention.Store == nil {
		return nil, trimmedBefore(first)
	}
	s, err := n.snapshotUpTo(ctx, after, func(k events.Snapshot) bool { return k.Seq+1 >= first })
	if err == nil && s == nil {
		err = fmt.Errorf("%w, and the oldest snapshot comes after %d", trimmedBefore(first), after)
	}
	return s, err
}

// digestAt returns this replica's digest at seq, zero when it has forgotten it.
func (n *Node) digestAt(seq uint64) events.ID {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if !n.keeping.inRing(seq, n.state.seq) {
		return events.ID{}
	}
	return n.keeping.ring[seq%digestRing]
}

// logReading is one call of ReadLog.
type logReading struct {
	state    *state
	after    uint64
	deliver  func(LogEntry) error
	withheld uint64
	event    events.Event // scratch
}

func (r *logReading) take(batch []events.Message) error {
	for i := range batch {
		m, e := &batch[i], &r.event
		if err := events.Decode(m.Data, e); err != nil {
			return fmt.Errorf("message %d: %w", m.Seq, err)
		}
		out := r.state.applyMessage(m, e)
		if m.Seq <= r.after {
			continue
		}
		access := events.AccessTo(m.Subject)
		if e.Data != nil { // nothing depends on that it was put where it belongs
			access = min(access, events.AccessTo(events.Subject(e)))
		}
		if access == events.Secret {
			r.withheld++
			continue
		}
		entry := LogEntry{Seq: m.Seq, ID: e.ID, Void: string(out.void)}
		var err error
		if entry.Type, err = cloudEventType(m.Data); err != nil {
			return fmt.Errorf("message %d: %w", m.Seq, err)
		}
		if access == events.Public {
			entry.Event = m.Data
		}
		if err := r.deliver(entry); err != nil {
			return err
		}
	}
	return nil
}

// cloudEventType returns the type as it is stored: an optional event of a later version has one that this build does not
// know.
func cloudEventType(data []byte) (string, error) {
	var e struct {
		Type string `json:"type"`
	}
	err := json.Unmarshal(data, &e)
	return e.Type, err
}
