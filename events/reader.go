package events

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
)

// ErrNoReader says that there is no reader of this name.
var ErrNoReader = errors.New("events: no such reader")

// Reader is a durable pull consumer of all public events, for somebody outside.
type Reader struct {
	Name  string // of the consumer
	After uint64 // it begins after this sequence, or where the log begins if that is later
}

// ReaderState says how far a reader is. Sequences are those of the log.
type ReaderState struct {
	Acked       uint64    // everything up to here is acknowledged, or lies before where the reader began
	AckedAt     time.Time // of the newest acknowledgement; zero: there is none since the consumer's server started to lead
	Delivered   uint64    // newest event that was sent to it
	Pending     uint64    // events that were not sent yet
	Unacked     int       // that were sent and not acknowledged
	Redelivered int       // of those, that were sent more than once
	Waiting     int       // requests for more that are open
}

// How readers are served. A reader that comes to a replica is made to begin after what it acknowledged last, whenever it connects, so
// that nothing has to be sent again to one that is connected: the wait is for one that is stuck. Its order is watched there too
// (internal/tap), so that one acknowledgement can stand for all before it. On servers elsewhere nobody watches, and each event is
// acknowledged by itself.
const (
	readerAckWait  = 10 * time.Minute
	readerUnacked  = 20_000 // events on their way
	readerWaiting  = 64     // requests for more that are open
	outsideAckWait = 30 * time.Second
	outsideUnacked = 1000
)

// ValidReaderKey reports whether key is the public NKey of a user, as readers prove themselves with.
func ValidReaderKey(key string) bool { return nkeys.IsValidPublicUserKey(key) }

// MakeReader creates a reader. One that is there and the same is left as it is.
func (l *Log) MakeReader(ctx context.Context, r Reader) error {
	ctx, cancel := context.WithTimeout(ctx, readerTimeout)
	defer cancel()
	cfg := jetstream.ConsumerConfig{
		Durable:       r.Name,
		Description:   "reader of audit events, made by knell events grant",
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:   r.After + 1,
		AckPolicy:     jetstream.AckAllPolicy,
		AckWait:       readerAckWait,
		MaxAckPending: readerUnacked,
		MaxWaiting:    readerWaiting,
		MaxDeliver:    -1,
		FilterSubject: subjectEvents + ">",
	}
	if l.cfg.ReadersOutside {
		cfg.AckPolicy, cfg.AckWait, cfg.MaxAckPending = jetstream.AckExplicitPolicy, outsideAckWait, outsideUnacked
	}
	if _, err := l.js.CreateConsumer(ctx, StreamName, cfg); err != nil {
		return fmt.Errorf("events: making the reader %s: %w", r.Name, err)
	}
	return nil
}

// ReadersOutside returns what the log was opened with.
func (l *Log) ReadersOutside() bool { return l.cfg.ReadersOutside }

// readerTimeout bounds a command about readers: the leader of the log may have died a moment ago.
const readerTimeout = 10 * time.Second

// DropReader deletes a reader, if it is there. What it has not been sent by then it is not sent any more.
func (l *Log) DropReader(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, readerTimeout)
	defer cancel()
	if err := l.js.DeleteConsumer(ctx, StreamName, name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return fmt.Errorf("events: deleting the reader %s: %w", name, err)
	}
	return nil
}

// ReaderState returns how far a reader is, as its leader sees it. ErrNoReader: there is none.
func (l *Log) ReaderState(ctx context.Context, name string) (ReaderState, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	c, err := l.js.Consumer(ctx, StreamName, name)
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound):
		return ReaderState{}, fmt.Errorf("%w: %s", ErrNoReader, name)
	case err != nil:
		return ReaderState{}, fmt.Errorf("events: asking for the reader %s: %w", name, err)
	}
	info := c.CachedInfo()
	s := ReaderState{
		Acked: info.AckFloor.Stream, Delivered: info.Delivered.Stream, Pending: info.NumPending, Unacked: info.NumAckPending,
		Redelivered: info.NumRedelivered, Waiting: info.NumWaiting,
	}
	if info.AckFloor.Last != nil {
		s.AckedAt = info.AckFloor.Last.UTC()
	}
	return s, nil
}
