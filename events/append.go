package events

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// ackTimeout is how long a try waits for its answer. A commit takes a millisecond; a leader that has not answered by then
// is likely to be gone. Sending again with the same id is harmless: a leader that is only slow knows the id of what it has
// not committed yet. So what was sent to a dead leader reaches its successor a moment after the election.
const ackTimeout = 250 * time.Millisecond

// Append adds e to the log, unless an event with e's ID is there, and returns the sequence that it has. It tries again,
// always with the same ID, until JetStream says that the event is stored, or ctx ends, or half the duplicate window is
// over; so a change of the stream's leader is bridged.
//
// ErrUnknown means that the event may be in the log, or may come there later. ErrFull and ErrInvalid mean that it is not
// there and will not be. ErrRewound means that it was stored in a log that is not the one that Follow has been reading.
// Any other error has to be read as ErrUnknown.
func (l *Log) Append(ctx context.Context, e *Event) (uint64, error) {
	data, err := Encode(make([]byte, 0, 1024), e)
	if err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("events: append: %w", err) // nothing was sent
	}
	answers := make(chan answer, 4)
	token, reply := l.acks.expect(answers)
	defer l.acks.forget(token)
	a := appending{
		l: l, answers: answers,
		msg: &nats.Msg{
			Subject: Subject(e), Reply: reply, Data: data, Header: header(e),
		},
		floor: l.delivered.Load(),
		until: time.Now().Add(l.cfg.DuplicateWindow / 2),
	}
	return a.run(ctx)
}

// appending is one call of Append.
type appending struct {
	l       *Log
	msg     *nats.Msg
	answers <-chan answer
	floor   uint64    // a new message has a greater sequence, because this one was delivered before it was sent
	until   time.Time // no try begins later: the stream might have forgotten the id
	open    bool      // a try was lost: the message may be stored by it at any time
}

func (a *appending) run(ctx context.Context) (uint64, error) {
	var pause backoff
	for {
		ans := a.try(ctx)
		switch ans.verdict {
		case stored:
			return a.stored(ans)
		case full:
			if !a.open {
				return 0, fmt.Errorf("%w: %w", ErrFull, ans.err)
			}
		case refused:
			if !a.open {
				return 0, fmt.Errorf("events: append refused: %w", ans.err)
			}
			return 0, fmt.Errorf("%w: %w", ErrUnknown, ans.err)
		case lost:
			a.open = true
		}
		if errors.Is(ans.err, nats.ErrConnectionClosed) || !pause.wait(ctx, nil) || time.Now().After(a.until) {
			return 0, a.unknown(ctx, ans.err)
		}
	}
}

// unknown returns the error of an append that is given up.
func (a *appending) unknown(ctx context.Context, last error) error {
	if ctx.Err() != nil && !errors.Is(last, ctx.Err()) {
		return fmt.Errorf("%w: %w, the last problem was: %w", ErrUnknown, ctx.Err(), last)
	}
	return fmt.Errorf("%w: %w", ErrUnknown, last)
}

// try sends the message and waits for an answer. An answer to an earlier try is as good.
func (a *appending) try(ctx context.Context) answer {
	if !a.l.nc.IsConnected() {
		err := nats.ErrDisconnected
		if a.l.nc.IsClosed() {
			err = nats.ErrConnectionClosed
		}
		return answer{verdict: missed, err: err}
	}
	switch err := a.l.nc.PublishMsg(a.msg); {
	case errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrConnectionClosed):
		return answer{verdict: missed, err: err}
	case err != nil:
		return answer{verdict: lost, err: err}
	}
	timeout := time.NewTimer(ackTimeout)
	defer timeout.Stop()
	select {
	case ans := <-a.answers:
		return ans
	case <-timeout.C:
		return answer{verdict: lost, err: nats.ErrTimeout}
	case <-ctx.Done():
		return answer{verdict: lost, err: ctx.Err()}
	}
}

// stored takes the good answer: it checks that the log has only grown, and tells Follow what there is to come.
func (a *appending) stored(ans answer) (uint64, error) {
	l := a.l
	if ans.seq <= a.floor && !ans.duplicate {
		l.rewind.Do(func() { close(l.rewound) })
		return 0, fmt.Errorf("%w: a new event has sequence %d, but %d had been delivered before it was sent", ErrRewound, ans.seq, a.floor)
	}
	for {
		known := l.acked.Load()
		if ans.seq <= known || l.acked.CompareAndSwap(known, ans.seq) {
			break
		}
	}
	if ans.seq > l.delivered.Load() {
		select {
		case l.poke <- struct{}{}:
		default:
		}
	}
	return ans.seq, nil
}
