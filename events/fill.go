package events

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// fillPatience bounds how long a message waits for its acknowledgement. Behind one that got lost none is let in.
const fillPatience = 30 * time.Second

// fillWindow is how many messages are on their way into the log at a time.
const fillWindow = 1024

// Fill writes messages of another log into this one, each at the sequence that it had there: next returns them in order, and io.EOF
// after the last. The log has to be empty, with its first sequence as Config.FirstSeq said, and nobody else may append. Their ids are not
// remembered for retries. After an error the log has a part of them and is of no use.
func (l *Log) Fill(ctx context.Context, next func() (Message, error)) error {
	var window []filling
	settle := func(keep int) error {
		for len(window) > keep {
			if err := window[0].wait(ctx); err != nil {
				return fmt.Errorf("events: filling the log: %w", err)
			}
			window = window[1:]
		}
		return nil
	}
	for {
		m, err := next()
		if errors.Is(err, io.EOF) {
			return settle(0)
		}
		if err != nil {
			return err
		}
		// One that got lost lets none behind it in.
		f, err := l.js.PublishMsgAsync(&nats.Msg{Subject: m.Subject, Data: m.Data}, jetstream.WithExpectLastSequence(m.Seq-1))
		if err != nil {
			return fmt.Errorf("events: filling the log: message %d: %w", m.Seq, err)
		}
		window = append(window, filling{m.Seq, f})
		if err := settle(fillWindow); err != nil {
			return err
		}
	}
}

// filling is a message on its way.
type filling struct {
	seq uint64
	ack jetstream.PubAckFuture
}

func (f filling) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, fillPatience, fmt.Errorf("message %d: no acknowledgement in %s", f.seq, fillPatience))
	defer cancel()
	select {
	case ack := <-f.ack.Ok():
		if ack.Stream != StreamName || ack.Sequence != f.seq {
			return fmt.Errorf("message %d became %d", f.seq, ack.Sequence)
		}
		return nil
	case err := <-f.ack.Err():
		var api *jetstream.APIError
		if errors.As(err, &api) && judge(api) == full {
			return fmt.Errorf("%w: message %d: %w", ErrFull, f.seq, err)
		}
		return fmt.Errorf("message %d: %w", f.seq, err)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
