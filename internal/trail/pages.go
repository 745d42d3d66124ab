package trail

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// pageLimit is how many events a page is asked for.
const pageLimit = "1000"

// Page is a part of the past.
type Page struct {
	Events []Event
	Size   int    // of the events, in bytes
	To     uint64 // everything that was asked for up to this sequence is in this page, or in those before it
}

// Read calls deliver with the events after after, up to and with upTo, that query asks for, in the log's order, without gaps and none
// twice. The log has to reach upTo. A page that is not answered is asked for again. Errors are Follow's.
func (c *Client) Read(ctx context.Context, query url.Values, after, upTo uint64, deliver func(Page) error) error {
	query = maps.Clone(query)
	if query == nil {
		query = url.Values{}
	}
	query.Set("limit", pageLimit)
	for after < upTo {
		query.Set("after", strconv.FormatUint(after, 10))
		var body []byte
		page := Page{}
		err := c.repeat(ctx, func(ctx context.Context) (err error) {
			body, page.To, err = c.page(ctx, query)
			return err
		})
		if err != nil {
			return err
		}
		if err := page.split(body, after, upTo); err != nil {
			return err
		}
		if err := deliver(page); err != nil {
			return err
		}
		if page.To == after { // the replica that answered has got no further yet
			select {
			case <-time.After(firstPause):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		after = page.To
	}
	return nil
}

// page asks for one page and returns its lines and how far it goes.
func (c *Client) page(ctx context.Context, query url.Values) (body []byte, to uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	resp, err := c.get(ctx, "/events", query, http.Header{"Accept": {"application/x-ndjson"}})
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	if body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer)); err != nil {
		return nil, 0, err
	}
	if to, err = strconv.ParseUint(resp.Header.Get("X-Knell-Cursor"), 10, 64); err != nil {
		return nil, 0, &RefusedError{resp.StatusCode, "this does not look like a replica of Knell"}
	}
	return body, to, nil
}

// split takes the events of a page apart, and leaves out those behind upTo.
func (p *Page) split(body []byte, after, upTo uint64) error {
	for len(body) > 0 {
		line, rest, _ := bytes.Cut(body, []byte("\n"))
		body = rest
		seq, err := Sequence(line)
		switch {
		case err != nil:
			return err
		case seq <= after:
			return fmt.Errorf("event %d came behind %d", seq, after)
		case seq > upTo:
			p.To = upTo
			return nil
		}
		after = seq
		p.Events = append(p.Events, Event{seq, line})
		p.Size += len(line) + 1
	}
	p.To = min(p.To, upTo)
	return nil
}

// sequencePrefix is how a replica begins each event.
const sequencePrefix = `{"sequence":"`

// Sequence returns the sequence of an event in the form in which replicas tell it.
func Sequence(event []byte) (uint64, error) {
	digits, ok := bytes.CutPrefix(event, []byte(sequencePrefix))
	end := bytes.IndexByte(digits, '"')
	if !ok || end < 0 {
		return 0, fmt.Errorf("%.60q is no event of a replica", event)
	}
	seq, err := strconv.ParseUint(string(digits[:end]), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%.60q is no event of a replica", event)
	}
	return seq, nil
}
