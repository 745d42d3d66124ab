package events

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

const (
	pullWindow  = 5000             // messages that a reader has asked for and not got
	consumerTTL = 10 * time.Second // after which a server forgets a consumer that nobody reads
)

// errShort says that the log ends before what was delivered: it was rewound, or its leader does not know everything yet.
var errShort = errors.New("events: log ends early")

// errIncomplete says that the server that leads lacks messages. It is asked again until another one leads.
var errIncomplete = errors.New("events: leader lacks messages")

// errNoFront says that the server that leads lacks the beginning of the log, which may have been trimmed: then another one that
// leads will say the same.
var errNoFront = errors.New("events: leader lacks the beginning")

// frontConfirm is for how long all that lead must lack what is next until it counts as trimmed. The replica of a server whose copy is
// damaged ends before, and the server with it.
const frontConfirm = 20 * time.Second

// job is what a reader has to do.
type job struct {
	after  uint64        // delivered to here
	anchor []byte        // data of the message at after, if it is known
	need   uint64        // read at least to here
	upTo   uint64        // read exactly to here; 0: to the end of the log
	wait   time.Duration // for the answer to a question; twice as long for a message; 0: askTimeout
	verify bool          // compare the message at after even if nothing follows it
}

// reader reads messages that are stored, in a goroutine of its own. A nil reader has no messages and nothing to end.
type reader struct {
	cancel context.CancelFunc
	out    chan []Message // closed when it is done
	err    error          // why; set before out is closed
}

// startReader starts a reader. Its owner ends it.
func (l *Log) startReader(ctx context.Context, j job) *reader {
	ctx, cancel := context.WithCancel(ctx)
	j.anchor = bytes.Clone(j.anchor)
	r := &reader{cancel: cancel, out: make(chan []Message, 4)}
	go func() {
		defer close(r.out)
		r.err = l.readPast(ctx, j, r.out)
	}()
	return r
}

func (r *reader) messages() <-chan []Message {
	if r == nil {
		return nil
	}
	return r.out
}

func (r *reader) cancelNow() {
	if r != nil {
		r.cancel()
	}
}

// end stops the reader, waits for its goroutine and returns why it ended.
func (r *reader) end() error {
	if r == nil {
		return nil
	}
	r.cancel()
	for range r.out {
	}
	return r.err
}

// readPast checks that the log is the one that was opened and goes at least as far as what was delivered, and then sends
// to out, in order and without gaps, the messages between that and its end.
func (l *Log) readPast(ctx context.Context, j job, out chan<- []Message) error {
	ask, cancel := context.WithTimeout(ctx, cmp.Or(j.wait, askTimeout))
	st, err := l.Stat(ask)
	cancel()
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		// A server that has just started may not know its streams yet, so this proves nothing.
		return fmt.Errorf("%w: there is no stream", errShort)
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return err
	}
	if err := l.leads(st, j.after); err != nil {
		return err
	}
	if st.Last < j.upTo {
		return fmt.Errorf("%w: at %d, and %d was asked for", errShort, st.Last, j.upTo)
	}
	first := j.after + 1
	if j.anchor != nil && j.after >= st.First {
		first = j.after // read once more, to compare it
	} else {
		j.anchor = nil
	}
	target := max(st.Last, j.need)
	if j.upTo != 0 {
		target = j.upTo
	}
	if target == j.after && !(j.verify && j.anchor != nil) {
		return nil
	}
	p, err := l.newPull(ctx, cmp.Or(j.wait, askTimeout), first, target)
	if err != nil {
		return err
	}
	defer p.close()
	return p.run(ctx, j.anchor, out)
}

// leads returns nil when what a server has said of the log leads on from the message after.
func (l *Log) leads(st Stat, after uint64) error {
	switch {
	case !st.Created.Equal(l.created):
		return fmt.Errorf("%w: the stream was created at %v, not at %v", ErrRewound, st.Created, l.created)
	case st.Last < after && st.Replicas > 1 && st.Leader == "":
		// A server that hears of no leader tells of its own copy, which may be as far behind as it likes.
		return fmt.Errorf("%w: nobody leads, and the copy that answers ends at %d", errIncomplete, st.Last)
	case st.Last < after:
		return fmt.Errorf("%w: at %d, and %d was delivered", errShort, st.Last, after)
	case st.First > after+1 && st.Replicas > 1 && st.Leader != l.cfg.Node:
		// The copy of one server may be damaged. It leads for now; its own node sees the same and ends.
		return fmt.Errorf("%w: %s, which leads, has %d for the first, and %d is next", errNoFront, st.Leader, st.First, after+1)
	case st.First > after+1:
		return fmt.Errorf("%w: %d is next, and this copy of the log begins at %d; it begins again from a snapshot when it is started again; "+
			"if it does not, its copy is damaged: move the data directory away", ErrTrimmed, after+1, st.First)
	}
	return nil
}

// patience is for how long something is not as it must be.
type patience struct{ since time.Time }

// over reports whether that has been so for as long as limit. It begins with the first call.
func (p *patience) over(limit time.Duration) bool {
	if p.since.IsZero() {
		p.since = time.Now()
	}
	return time.Since(p.since) >= limit
}

// pull reads the messages from next to target through a consumer of its own, made for the purpose: one in memory, without
// acknowledgements, as the client library's ordered consumer has it. Order and completeness are checked here.
type pull struct {
	l        *Log
	consumer string
	inbox    string
	sub      *nats.Subscription
	in       chan *nats.Msg
	next     uint64
	target   uint64
	asked    uint64 // messages up to here have been asked for
	// stall is how long a message that is known to be there may take, until another consumer is made. The server of this one may
	// have died; or what was asked of it was lost with the link.
	stall time.Duration
}

func (l *Log) newPull(ctx context.Context, wait time.Duration, first, target uint64) (*pull, error) {
	p := &pull{
		l: l, consumer: "knell-" + l.cfg.Node + "-" + nuid.Next(), inbox: l.nc.NewInbox(),
		in: make(chan *nats.Msg, pullWindow+64), next: first, target: target, asked: first - 1, stall: 2 * wait,
	}
	ask, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	_, err := l.js.CreateConsumer(ask, StreamName, jetstream.ConsumerConfig{
		Name:              p.consumer,
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       first,
		AckPolicy:         jetstream.AckNonePolicy,
		MemoryStorage:     true,
		Replicas:          1,
		InactiveThreshold: consumerTTL,
	})
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("events: making a consumer: %w", err)
	}
	if p.sub, err = l.nc.ChanSubscribe(p.inbox, p.in); err != nil {
		return nil, fmt.Errorf("events: reading the log: %w", err)
	}
	return p, nil
}

func (p *pull) close() {
	p.sub.Unsubscribe()
	// Nobody waits for this one: the server forgets the consumer anyway.
	p.l.nc.Publish(p.l.api+"CONSUMER.DELETE."+StreamName+"."+p.consumer, nil)
}

// run reads to the target. If anchor is not nil, the first message must be that one, and is not sent.
func (p *pull) run(ctx context.Context, anchor []byte, out chan<- []Message) error {
	stall := time.NewTimer(p.stall)
	defer stall.Stop()
	for p.next <= p.target {
		if err := p.ask(); err != nil {
			return err
		}
		var batch []Message
		select {
		case m := <-p.in:
			stall.Reset(p.stall)
			var err error
			if batch, err = p.drain(m); err != nil {
				return err
			}
		case <-stall.C:
			return fmt.Errorf("events: reading the log: message %d does not arrive", p.next)
		case <-ctx.Done():
			return ctx.Err()
		}
		if anchor != nil && len(batch) > 0 {
			if !bytes.Equal(batch[0].Data, anchor) {
				return fmt.Errorf("%w: message %d is not what it was", ErrRewound, batch[0].Seq)
			}
			anchor, batch = nil, batch[1:]
		}
		if len(batch) == 0 {
			continue
		}
		select {
		case out <- batch:
		case <-ctx.Done():
			return ctx.Err()
		}
		stall.Reset(p.stall) // however long the receiver took
	}
	return nil
}

// ask keeps up to a window of messages on their way.
func (p *pull) ask() error {
	n := min(pullWindow-(p.asked+1-p.next), p.target-p.asked)
	if n == 0 || n < pullWindow/2 && p.asked < p.target && n < p.target-p.asked {
		return nil // not yet worth a request
	}
	request, err := json.Marshal(map[string]any{"batch": n, "expires": 30 * time.Second})
	if err == nil {
		err = p.l.nc.PublishRequest(p.l.api+"CONSUMER.MSG.NEXT."+StreamName+"."+p.consumer, p.inbox, request)
	}
	if err != nil {
		return fmt.Errorf("events: reading the log: %w", err)
	}
	p.asked += n
	return nil
}

// drain returns the message m and those that have arrived behind it.
func (p *pull) drain(m *nats.Msg) ([]Message, error) {
	batch := make([]Message, 0, min(maxBatch, len(p.in)+1))
	for {
		seq, err := storedSequence(m)
		if err != nil {
			return nil, err
		}
		if seq != p.next {
			return nil, fmt.Errorf("events: reading the log: message %d where %d is next", seq, p.next)
		}
		batch = append(batch, Message{Seq: seq, Subject: m.Subject, Data: m.Data})
		p.next++
		if len(batch) == cap(batch) {
			return batch, nil
		}
		m = <-p.in // there is one: nobody else receives, and cap counted it
	}
}

// storedSequence returns the stream sequence of a message that a consumer has sent, or the error that the server sent in
// its place.
func storedSequence(m *nats.Msg) (uint64, error) {
	if m.Reply == "" {
		return 0, fmt.Errorf("events: reading the log: %s %s", m.Header.Get("Status"), m.Header.Get("Description"))
	}
	meta, err := m.Metadata()
	if err != nil {
		return 0, fmt.Errorf("events: reading the log: %s: %w", strconv.Quote(m.Reply), err)
	}
	return meta.Sequence.Stream, nil
}
