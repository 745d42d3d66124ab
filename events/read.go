package events

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go"
)

// Read calls deliver with the messages after the sequence after up to upTo, in order and without gaps, and returns nil when
// the last of them has been delivered. They have to be in the log: Read does not wait for one that is still to come. With
// upTo not beyond after there is nothing to deliver.
//
// Read returns deliver's error when that fails, ctx's error when ctx ends, ErrRewound when the log is not the one that was
// opened or ends before upTo, and ErrTrimmed as Follow does. Lost connections and elections delay it. Batches are as
// Follow's. Any number of calls may run at once, also beside Follow; each holds a few batches at a time, however much it reads.
func (l *Log) Read(ctx context.Context, after, upTo uint64, deliver func([]Message) error) error {
	var pause backoff
	var short, front patience // since when every reader has found the log to end before upTo, or to begin behind after
	j := job{after: after, upTo: upTo}
	for j.after < upTo {
		begin := j.after
		err := l.readPart(ctx, &j, deliver)
		var failed deliverError
		switch {
		case errors.As(err, &failed):
			return failed.error
		case err == nil:
			continue
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, ErrRewound), errors.Is(err, ErrTrimmed), errors.Is(err, nats.ErrConnectionClosed):
			return err
		}
		if err := lasting(err, &short, &front); err != nil {
			return err
		}
		if j.after > begin {
			pause = backoff{}
		}
		l.cfg.Logger.Debug("reading a part of the log failed, trying again", "after", j.after, "error", err)
		if !pause.wait(ctx, nil) {
			return ctx.Err()
		}
	}
	return nil
}

// deliverError is what a caller's deliver has returned.
type deliverError struct{ error }

// readPart delivers what one reader gets, and notes in j how far that was.
func (l *Log) readPart(ctx context.Context, j *job, deliver func([]Message) error) error {
	r := l.startReader(ctx, *j)
	for batch := range r.messages() {
		if err := deliver(batch); err != nil {
			r.end()
			return deliverError{err}
		}
		last := batch[len(batch)-1]
		j.after, j.anchor = last.Seq, append(j.anchor[:0], last.Data...)
	}
	return r.end()
}
