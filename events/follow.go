package events

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	maxBatch   = 1024    // messages in one call of deliver
	liveBuffer = 1 << 15 // messages that arrive live while deliver runs; what is more is read again later
	maxAhead   = 1 << 13 // messages that are kept while an earlier one is missing

	ackGrace      = 100 * time.Millisecond // what was acknowledged so long ago has arrived, or never will
	pollEvery     = time.Second            // after such a period without a message, the log is asked whether there is one
	shortestAsk   = 300 * time.Millisecond
	rewindConfirm = 5 * time.Second // a log must end too early for so long: a new leader may not have caught up
)

// errBusy is returned by Follow while another call is running.
var errBusy = errors.New("events: the log is being followed already")

// Follow calls deliver with every message after the sequence after, in order and without gaps, first those that are there
// and then each new one as it is stored. It returns deliver's error when that fails, ctx's error when ctx ends, ErrRewound
// when the log turns out not to be the one that was opened or to end before what was delivered, and ErrTrimmed when the
// message that is next is not there any more. Lost connections, elections and restarts of servers only delay it.
//
// deliver gets at once whatever is there, at most 1,024 messages; they are its until it returns. Follow runs once at a
// time.
func (l *Log) Follow(ctx context.Context, after uint64, deliver func([]Message) error) error {
	if !l.following.CompareAndSwap(false, true) {
		return errBusy
	}
	defer l.following.Store(false)
	// The subscription comes first: what is stored once it is there arrives through it, what was stored before is read.
	status := l.nc.StatusChanged(nats.CONNECTED, nats.CLOSED)
	defer l.nc.RemoveStatusListener(status)
	live := make(chan *nats.Msg, liveBuffer)
	sub, err := l.nc.ChanSubscribe(livePrefix+">", live)
	if err != nil {
		return fmt.Errorf("events: following the log: %w", err)
	}
	defer sub.Unsubscribe()
	f := &follower{
		l: l, deliver: deliver, live: live, status: status,
		last: after, given: after, ahead: map[uint64]Message{}, hold: true, wanted: true,
	}
	return f.run(ctx)
}

// follower is one call of Follow. All of it belongs to the goroutine of that call; only the reader has one of its own.
type follower struct {
	l       *Log
	deliver func([]Message) error
	live    <-chan *nats.Msg
	status  <-chan nats.Status

	// What is known of the messages.
	last   uint64             // everything up to here is in batch or was delivered
	given  uint64             // everything up to here was delivered
	anchor []byte             // data of the message at given; nil: this call has not seen it
	batch  []Message          // what comes between given and last
	ahead  map[uint64]Message // arrived live, beyond one that is missing
	newest uint64             // greatest sequence that arrived live since the connection was made
	need   uint64             // greatest sequence that is known to exist

	// What is being done about messages that did not arrive.
	hold   bool     // nothing live is delivered before the log has been found to be the same
	verify bool     // and for that the message at given has to be compared with anchor
	wanted bool     // a reader has to be started, when there is none
	doubt  bool     // hold was set since the reader began, so its success will not end it
	reader *reader  // nil: none is running
	pause  backoff  // before the next reader, after one that failed
	short  patience // since when every reader has found the log to end before given
	front  patience // since when it begins behind that
	moved  bool     // something arrived since the last poll
}

func (f *follower) run(ctx context.Context) error {
	defer func() { f.reader.end() }()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	retry, late := time.NewTimer(0), time.NewTimer(0)
	defer retry.Stop()
	defer late.Stop()
	watching := true // late is running
	for {
		if f.wanted && f.reader == nil {
			f.wanted, f.doubt = false, false
			f.reader = f.l.startReader(ctx, job{after: f.given, anchor: f.anchor, need: f.need, verify: f.verify, wait: f.askWait()})
		}
		var err error
		select {
		case m := <-f.live:
			f.drainLive(m)
		case batch, ok := <-f.reader.messages():
			if ok {
				f.takePast(batch)
				break
			}
			var again bool
			if again, err = f.readerEnded(); again {
				retry.Reset(f.pause.step())
			}
		case <-retry.C:
			f.wanted = true
		case <-f.l.poke:
			if !watching {
				watching = true
				late.Reset(ackGrace)
			}
		case <-late.C:
			if watching = f.missing(); watching {
				late.Reset(ackGrace)
			}
		case <-poll.C:
			f.wanted = f.wanted || !f.moved && f.reader == nil
			f.moved = false
		case s := <-f.status:
			err = f.reconnected(s)
		case <-f.l.rewound:
			err = fmt.Errorf("%w: an append was stored before what had been delivered", ErrRewound)
		case <-ctx.Done():
			err = ctx.Err()
		}
		if err == nil {
			err = f.flush()
		}
		if err != nil {
			return err
		}
	}
}

// askWait returns how long the next reader waits for an answer. What is asked while nobody leads is never answered, not even by the
// leader that is elected a moment later, so the first questions are given up soon; on a machine that is slow the later ones are
// not.
func (f *follower) askWait() time.Duration { return max(3*f.pause.next, shortestAsk) }

// drainLive takes m and what has arrived behind it.
func (f *follower) drainLive(m *nats.Msg) {
	for {
		f.takeLive(m)
		if len(f.batch) >= maxBatch {
			return
		}
		select {
		case m = <-f.live:
		default:
			return
		}
	}
}

// takeLive takes one message that the stream's leader has sent on.
func (f *follower) takeLive(m *nats.Msg) {
	seq, ok := liveSequence(m)
	if !ok {
		return
	}
	if seq <= f.newest {
		// Leaders count upwards. After an election one may repeat what the other has sent; or the log is another one.
		f.hold, f.verify, f.wanted, f.doubt = true, true, true, true
	}
	f.newest = max(f.newest, seq)
	f.need = max(f.need, seq)
	msg := Message{Seq: seq, Subject: m.Subject[len(livePrefix):], Data: m.Data}
	switch {
	case seq <= f.last:
	case seq == f.last+1 && !f.hold:
		f.add(msg)
		f.addAhead()
	default:
		if len(f.ahead) < maxAhead {
			f.ahead[seq] = msg
		}
		f.wanted = f.wanted || f.reader == nil // one that is running comes as far, or is followed by another
	}
}

// liveSequence returns the sequence of a message that the stream's leader has sent on.
func liveSequence(m *nats.Msg) (uint64, bool) {
	seqs, streams := m.Header["Nats-Sequence"], m.Header["Nats-Stream"]
	if len(seqs) != 1 || len(streams) != 1 || streams[0] != StreamName {
		return 0, false
	}
	seq, err := strconv.ParseUint(seqs[0], 10, 64)
	return seq, err == nil
}

// takePast takes messages from the reader, which come in order.
func (f *follower) takePast(batch []Message) {
	for _, m := range batch {
		if m.Seq == f.last+1 {
			f.add(m)
		}
	}
	f.addAhead()
}

// add puts the next message into the batch.
func (f *follower) add(m Message) {
	f.batch = append(f.batch, m)
	f.last = m.Seq
	f.moved = true
}

// addAhead adds what was waiting for the message at last.
func (f *follower) addAhead() {
	if f.hold {
		return
	}
	for len(f.ahead) > 0 {
		m, ok := f.ahead[f.last+1]
		if !ok {
			break
		}
		delete(f.ahead, m.Seq)
		f.add(m)
	}
}

// flush delivers the batch.
func (f *follower) flush() error {
	if len(f.batch) == 0 {
		return nil
	}
	// Before deliver, because it is true already that these exist: whoever hears of one from deliver may append at once.
	if f.last > f.l.delivered.Load() {
		f.l.delivered.Store(f.last)
	}
	for part := f.batch; len(part) > 0; part = part[min(len(part), maxBatch):] {
		if err := f.deliver(part[:min(len(part), maxBatch)]); err != nil {
			return err
		}
	}
	f.anchor = append(f.anchor[:0], f.batch[len(f.batch)-1].Data...)
	f.given = f.last
	clear(f.batch)
	f.batch = f.batch[:0]
	return nil
}

// missing looks for messages that were acknowledged a while ago and have not arrived. It reports whether to look again.
func (f *follower) missing() bool {
	acked := f.l.acked.Load()
	if acked <= f.last {
		return false
	}
	f.need = max(f.need, acked)
	// With messages waiting, it is this node that is slow.
	f.wanted = f.wanted || len(f.live) == 0
	return true
}

// reconnected handles a change of the connection.
func (f *follower) reconnected(s nats.Status) error {
	if s == nats.CLOSED {
		return fmt.Errorf("events: following the log: %w", nats.ErrConnectionClosed)
	}
	// Whatever was sent meanwhile is lost, and the server may have come back with another log.
	f.newest = 0
	f.hold, f.verify, f.wanted, f.doubt = true, true, true, true
	f.reader.cancelNow() // its subscription on the server is gone
	return nil
}

// lasting returns the error that one of the readers' has become because it has lasted, nil while it may pass.
func lasting(err error, short, front *patience) error {
	if !errors.Is(err, errShort) {
		*short = patience{}
	} else if short.over(rewindConfirm) {
		return fmt.Errorf("%w: %w", ErrRewound, err)
	}
	if !errors.Is(err, errNoFront) {
		return nil // another leader's word is waited for while there is none
	}
	if front.over(frontConfirm) {
		return fmt.Errorf("%w: %w", ErrTrimmed, err)
	}
	return nil
}

// readerEnded draws the conclusions when the reader is done. It reports whether another one is needed after a pause.
func (f *follower) readerEnded() (again bool, err error) {
	err = f.reader.end()
	f.reader = nil
	switch {
	case err == nil:
		f.short, f.front, f.pause = patience{}, patience{}, backoff{}
		if !f.doubt {
			f.hold, f.verify = false, false
		}
		for seq := range f.ahead {
			if seq <= f.last {
				delete(f.ahead, seq)
			}
		}
		f.addAhead()
		return f.need > f.last, nil
	case errors.Is(err, ErrRewound), errors.Is(err, ErrTrimmed), errors.Is(err, nats.ErrConnectionClosed):
		return false, err
	case errors.Is(err, context.Canceled):
		return false, nil // by reconnected, which wants another one, or with the context of Follow
	default:
		if err := lasting(err, &f.short, &f.front); err != nil {
			return false, err
		}
	}
	if f.pause.next == longestPause {
		if times, due := f.l.failed.due(); due {
			f.l.cfg.Logger.Warn("reading the log failed, trying again", "after", f.given, "error", err, "times", times)
		}
	}
	return true, nil
}

// failureEvery is how often a failure that goes on is said at most.
const failureEvery = time.Minute

// failures counts what fails again and again. The zero value has counted none.
type failures struct {
	said   time.Time // when last
	unsaid int
}

// due reports whether a failure is to be said now, and how often it was so since it was last said, this time included.
func (f *failures) due() (times int, due bool) {
	f.unsaid++
	if !f.said.IsZero() && time.Since(f.said) < failureEvery {
		return 0, false
	}
	times = f.unsaid
	*f = failures{said: time.Now()}
	return times, true
}
