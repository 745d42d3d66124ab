package trail

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	// silence is how long a stream may say nothing, before it is taken for dead: three heartbeats.
	silence = 45 * time.Second
	// longestLine is more than the longest event.
	longestLine = 2 << 20
)

// Follow calls deliver with the events that query asks for (docs/events.md), in the log's order, without gaps and none twice, for as long
// as ctx lasts. A stream that breaks, is slow, or whose replica dies or stops, is begun anew behind the last event, wherever the address
// leads then.
//
// It returns deliver's error, the cause of ctx's end, or a *RefusedError: a bad query, a token that is not good, a position that the log
// has no more.
func (c *Client) Follow(ctx context.Context, query url.Values, deliver func(Event) error) error {
	f := &following{deliver: deliver, again: c.backoff()}
	for {
		err := f.once(ctx, c, query)
		if err := f.again.wait(ctx, err); err != nil {
			return err
		}
	}
}

// following is one call of Follow.
type following struct {
	deliver func(Event) error
	again   *backoff
	known   bool   // at is known
	at      uint64 // everything that was asked for up to here has been delivered

	// Of the event that is being read (WHATWG HTML, section 9.2.6).
	id   string
	kind string
	data []byte
}

// once opens one stream and reads it to its end, which is always an error.
func (f *following) once(ctx context.Context, c *Client, query url.Values) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(silence, func() { cancel(errSilent) })
	defer watchdog.Stop()
	header := http.Header{"Accept": {"text/event-stream"}}
	if f.known {
		header.Set("Last-Event-ID", strconv.FormatUint(f.at, 10))
	}
	resp, err := c.get(ctx, "/events", query, header)
	if err != nil {
		return why(ctx, err)
	}
	defer resp.Body.Close()
	f.id, f.kind, f.data = "", "", f.data[:0]
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(make([]byte, 0, 64<<10), longestLine)
	for lines.Scan() {
		watchdog.Reset(silence)
		if line := lines.Bytes(); len(line) > 0 {
			f.field(line)
		} else if err := f.dispatch(); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return why(ctx, err)
	}
	return io.ErrUnexpectedEOF // a stream has no end of its own
}

// errSilent: not even a heartbeat came.
var errSilent = errors.New("nothing has come for so long that the connection must be dead")

// why prefers the reason for which a request was called off.
func why(ctx context.Context, err error) error {
	if context.Cause(ctx) == errSilent {
		return errSilent
	}
	return err
}

// field takes one line of a stream.
func (f *following) field(line []byte) {
	name, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(name) {
	case "id":
		f.id = string(value)
	case "event":
		f.kind = string(value)
	case "data":
		if len(f.data) > 0 {
			f.data = append(f.data, '\n')
		}
		f.data = append(f.data, value...)
	}
}

// dispatch takes what an empty line ends: an event, a heartbeat or the end of the stream.
func (f *following) dispatch() error {
	defer func() { f.kind, f.data = "", f.data[:0] }()
	if f.kind == "end" {
		return ended(f.data)
	}
	if f.id == "" { // "retry"
		return nil
	}
	seq, err := strconv.ParseUint(f.id, 10, 64)
	if err != nil {
		return stopError{fmt.Errorf("this is no stream of Knell: id %q", f.id)}
	}
	f.again.succeeded()
	switch {
	case len(f.data) == 0:
		seq = max(seq, f.at)
	case f.known && seq <= f.at:
		return stopError{fmt.Errorf("event %d came behind %d", seq, f.at)}
	default:
		if err := f.deliver(Event{seq, f.data}); err != nil {
			return stopError{err}
		}
	}
	f.at, f.known = seq, true
	return nil
}

// ended returns what the last event of a stream means.
func ended(data []byte) error {
	var end struct{ Reason, Last string }
	if err := json.Unmarshal(data, &end); err != nil {
		return stopError{fmt.Errorf("this is no stream of Knell: it ended with %q", data)}
	}
	switch end.Reason {
	case "trimmed":
		return &RefusedError{http.StatusGone, "the log was trimmed faster than it was read; the last event was " + end.Last}
	case "slow":
		return errors.New("events came faster than they were taken")
	case "stopping":
		return errors.New("the replica stops")
	}
	return errors.New("the stream ended: " + end.Reason)
}
