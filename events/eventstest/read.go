package eventstest

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/knell-auth/knell/events"
)

// Read delivers a part of the log as events.Log.Read does. Delays of delivery are Follow's and do not concern it.
func (n *Node) Read(ctx context.Context, after, upTo uint64, deliver func([]events.Message) error) error {
	m := n.m
	var short time.Time // since when the log has ended too early
	for after < upTo {
		m.mu.Lock()
		batch, wait, err := n.part(after, upTo, &short)
		changed := m.changed
		m.mu.Unlock()
		if err == nil && ctx.Err() != nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if len(batch) == 0 {
			if err := m.waitChange(ctx, changed, wait); err != nil {
				return err
			}
			continue
		}
		if err := deliver(batch); err != nil {
			return err
		}
		after = batch[len(batch)-1].Seq
	}
	return nil
}

// part returns copies of what stands between two sequences, at most a batch of it, or how long to wait for it (0: until
// something changes), or why there is nothing. Called with the lock.
func (n *Node) part(after, upTo uint64, short *time.Time) (batch []events.Message, wait time.Duration, err error) {
	m := n.m
	if n.cut {
		return nil, 0, nil
	}
	if err := n.unusable(after); err != nil {
		return nil, 0, err
	}
	if upTo > m.last() {
		wait, err := tooShort(short, m.last(), upTo)
		return nil, wait, err
	}
	*short = time.Time{}
	for _, e := range m.entries[after+1-m.first : min(upTo, after+maxBatch)+1-m.first] {
		e.msg.Data = bytes.Clone(e.msg.Data)
		batch = append(batch, e.msg)
	}
	return batch, 0, nil
}

// unusable returns why nothing after a sequence can be read, nil if it can. Called with the lock.
func (n *Node) unusable(after uint64) error {
	m := n.m
	switch {
	case !n.created.Equal(m.created):
		return fmt.Errorf("%w: created at %v, not at %v", events.ErrRewound, m.created, n.created)
	case n.rewound:
		return fmt.Errorf("%w: delivered messages are gone", events.ErrRewound)
	case after+1 < m.first:
		return fmt.Errorf("%w: %d is next, the first is %d", events.ErrTrimmed, after+1, m.first)
	}
	return nil
}

// tooShort returns how much longer to wait for a log that ends before a sequence that has to be in it, or that it has been
// so for too long.
func tooShort(since *time.Time, last, want uint64) (time.Duration, error) {
	now := time.Now()
	if since.IsZero() {
		*since = now
	}
	if wait := confirm - now.Sub(*since); wait > 0 {
		return wait, nil
	}
	return 0, fmt.Errorf("%w: it ends at %d, before %d", events.ErrRewound, last, want)
}
