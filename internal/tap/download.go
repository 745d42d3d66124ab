package tap

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"sync"
	"time"
)

// downloadSize holds at least one message of the greatest size with its headers, in bytes.
const downloadSize = 128 << 10

// gatherSize is how much is written at once, in bytes, as long as there is more.
const gatherSize = 32 << 10

// download reads what the server sends, message by message, as long as it is in order, and hands it to deliver.
func (c *session) download() (err error) {
	defer func() { c.out.close(err) }()
	buf := make([]byte, downloadSize)
	kept := 0 // of a message that is not there as a whole
	for {
		n, err := c.server.Read(buf[kept:])
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("the server hung up")
			}
			return err
		}
		have := buf[:kept+n]
		whole, verdict := c.pos.whole(have)
		c.sent.add(c.pos.count, c.pos.fresh)
		c.pos.fresh = c.pos.fresh[:0]
		c.out.add(have[:whole])
		if verdict != nil {
			return verdict
		}
		if kept = copy(buf, have[whole:]); kept == len(buf) {
			return errors.New("a message that is too large")
		}
	}
}

// deliver writes what download has read to the reader, until there is nothing more. An in-process connection gives a message or two at a
// time, and a write costs more than all else that is done for twenty: it waits for those that are on their way.
func (c *session) deliver() error {
	var spare []byte
	for {
		messages, err := c.out.take(spare)
		if len(messages) == 0 {
			return err
		}
		messages = c.out.gather(messages)
		if err := c.send(messages); err != nil {
			c.out.close(err)
			return err
		}
		spare = messages
	}
}

// outbox holds messages on their way from download to deliver.
type outbox struct {
	mu     sync.Mutex
	change sync.Cond // L is &mu
	have   []byte
	closed bool
	err    error
}

// add puts whole messages in, when there is room for them. When the outbox is closed they are dropped.
func (o *outbox) add(messages []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.have) > 0 && len(o.have)+len(messages) > downloadSize && !o.closed {
		o.change.Wait()
	}
	if !o.closed {
		o.have = append(o.have, messages...)
		o.change.Signal()
	}
}

// take waits for messages and leaves spare in their place; none: the outbox is closed, for the reason err.
func (o *outbox) take(spare []byte) (messages []byte, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.have) == 0 && !o.closed {
		o.change.Wait()
	}
	messages, o.have = o.have, spare[:0]
	o.change.Signal()
	return messages, o.err
}

// gather adds to messages what comes while others have their turn on the processors: no clock, so that one alone does not wait.
func (o *outbox) gather(messages []byte) []byte {
	for len(messages) < gatherSize {
		runtime.Gosched()
		o.mu.Lock()
		more := len(o.have) > 0
		messages, o.have = append(messages, o.have...), o.have[:0]
		o.change.Signal()
		o.mu.Unlock()
		if !more {
			break
		}
	}
	return messages
}

// close lets nothing more in; what is there can be taken. Only the first reason counts.
func (o *outbox) close(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed {
		o.closed, o.err = true, err
	}
	o.change.Signal()
}

// send writes messages to the reader. The right to read is looked at first, each time: a process that was paused wakes up here with
// what came before.
func (c *session) send(messages []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	if err := c.pass.Check(); err != nil {
		return err
	}
	_, err := c.conn.Write(messages)
	return err
}

// order is how far the events of a connection have come. The zero value is the beginning.
type order struct {
	count uint64 // deliveries since the consumer was made to begin
	seq   uint64 // of the newest event in the log

	fresh []uint64 // sequences up to there that nobody has taken
}

// errOrder: JetStream sent events elsewhere, or some again.
var errOrder = errors.New("events out of order")

// whole returns the length of the messages at the start of b that are there as a whole and in order, and an error if what comes
// behind them is not.
func (o *order) whole(b []byte) (length int, err error) {
	for {
		rest := b[length:]
		end := bytes.IndexByte(rest, '\n')
		if end < 0 {
			return length, nil
		}
		line := rest[:end+1]
		size := 0
		if line[0] == 'M' || line[0] == 'H' {
			var reply []byte
			if reply, size, err = parseMessage(line); err != nil {
				return length, err
			}
			if len(line)+size > len(rest) {
				return length, nil
			}
			if err := o.follow(reply); err != nil {
				return length, err
			}
		}
		length += len(line) + size
	}
}

// parseMessage returns the reply subject of MSG or HMSG, and the length of what follows the line.
func parseMessage(line []byte) (reply []byte, size int, err error) {
	// MSG subject sid [reply] size, HMSG subject sid [reply] headers size; the server writes one space and CR LF.
	header := 0
	if line[0] == 'H' {
		header = 1
	}
	var words [6][]byte
	count := 0
	for rest := bytes.TrimRight(line, "\r\n"); len(rest) > 0 && count < len(words); count++ {
		end := bytes.IndexByte(rest, ' ')
		if end < 0 {
			end = len(rest)
		}
		words[count], rest = rest[:end], rest[min(end+1, len(rest)):]
	}
	if count < 4+header {
		return nil, 0, fmt.Errorf("the server sent %.40q", line)
	}
	n, ok := number(words[count-1])
	if !ok || n > downloadSize {
		return nil, 0, fmt.Errorf("the server sent %.40q", line)
	}
	if count == 5+header {
		reply = words[3]
	}
	return reply, int(n) + len("\r\n"), nil
}

// follow takes a message with a reply subject in. That of an event ends in its number in the log, its number among the deliveries of
// the consumer, a time, and how many are to come.
func (o *order) follow(reply []byte) error {
	if !bytes.HasPrefix(reply, []byte(ack)) {
		return nil
	}
	var tail [4][]byte
	for i := range tail {
		dot := bytes.LastIndexByte(reply, '.')
		if dot < 0 {
			return errOrder
		}
		tail[i], reply = reply[dot+1:], reply[:dot]
	}
	count, ok := number(tail[2])
	seq, ok2 := number(tail[3])
	if !ok || !ok2 || count != o.count+1 || seq <= o.seq {
		return fmt.Errorf("%w: delivery %d with sequence %d, after %d with %d", errOrder, count, seq, o.count, o.seq)
	}
	o.count, o.seq = count, seq
	o.fresh = append(o.fresh, seq)
	return nil
}

// number reads digits.
func number(b []byte) (n uint64, ok bool) {
	for _, c := range b {
		if c < '0' || c > '9' || n > math.MaxUint64/10-1 {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, len(b) > 0
}
