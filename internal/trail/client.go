// Package trail reads the audit trail of an installation over HTTP, as any client may: events as they come, over connections that
// break and replicas that die, and those of the past page by page. It owns the client's side of docs/events.md and knows nothing of
// what stands in an event but its sequence.
package trail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"
)

// Client reads from one address. Its methods may be called at once by several goroutines, if its functions may.
type Client struct {
	HTTP *http.Client // without a Timeout: streams go on. Nil: http.DefaultClient
	Base string       // of a replica, or of a balancer in front of several, without a slash at its end
	// Authorization returns the header of that name, for each request. Nil: none is sent.
	Authorization func() (string, error)
	// Interrupted is told why an attempt failed that is repeated, and nil when one succeeds again. Nil: nobody is told.
	Interrupted func(why error)
	// Patience is for how long attempts are repeated that all fail. Zero: for ever.
	Patience time.Duration
	// Unknown is the same while nobody has answered at all: there may be nobody at the address. Zero: as Patience.
	Unknown time.Duration

	answered atomic.Bool // somebody has
}

// Event is one event as a replica tells it. It is valid until the function that it was given to returns.
type Event struct {
	Seq  uint64
	JSON []byte // a CloudEvent in one line
}

// RefusedError is an answer that is the same when it is asked again.
type RefusedError struct {
	Status int
	Detail string // in the replica's words
}

// Error implements error.
func (e *RefusedError) Error() string { return e.Detail }

// busyError is an answer that may be another one a moment later.
type busyError struct {
	text string
	wait time.Duration // that the replica asks for
}

// Error implements error.
func (e *busyError) Error() string { return e.text }

// Bounds of what is waited for.
const (
	firstPause = 100 * time.Millisecond
	longPause  = 5 * time.Second
	maxAnswer  = 64 << 20
	askTimeout = 30 * time.Second // for an answer that is no stream
)

// Position is how far the log of an installation goes.
type Position struct {
	Seq   uint64 `json:"applied"`
	Epoch string `json:"epoch"` // of the log: sequences of another epoch have nothing to do with these
}

// End returns how far the replica that answers has got.
func (c *Client) End(ctx context.Context) (p Position, err error) {
	err = c.repeat(ctx, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, askTimeout)
		defer cancel()
		resp, err := c.get(ctx, "/status", nil, nil)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&p); err != nil || p.Epoch == "" {
			return &RefusedError{resp.StatusCode, "this does not look like a replica of Knell"}
		}
		return nil
	})
	return p, err
}

// repeat calls try until it succeeds, is refused, or patience or ctx end. What try returns besides a RefusedError is repeated; errors of
// whoever is given the events are stopError.
func (c *Client) repeat(ctx context.Context, try func(context.Context) error) error {
	b := c.backoff()
	for {
		err := try(ctx)
		if err == nil {
			b.succeeded()
			return nil
		}
		if err := b.wait(ctx, err); err != nil {
			return err
		}
	}
}

// stopError is an error of whoever is given the events: nothing is tried again.
type stopError struct{ error }

// backoff is how long to wait before the next attempt.
type backoff struct {
	c     *Client
	pause time.Duration
	since time.Time // of the first attempt that failed; zero: the last one did not
}

func (c *Client) backoff() *backoff { return &backoff{c: c, pause: firstPause} }

// succeeded ends a row of failures.
func (b *backoff) succeeded() {
	if !b.since.IsZero() && b.c.Interrupted != nil {
		b.c.Interrupted(nil)
	}
	b.pause, b.since = firstPause, time.Time{}
}

// wait returns nil when it is time for the next attempt, or why there is none.
func (b *backoff) wait(ctx context.Context, err error) error {
	var stop stopError
	var refused *RefusedError
	switch {
	case errors.As(err, &stop):
		return stop.error
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &refused):
		return err
	}
	if b.since.IsZero() {
		b.since = time.Now()
	} else if patience := b.c.patience(); patience > 0 && time.Since(b.since) > patience {
		return fmt.Errorf("gave up after %v: %w", patience, err)
	}
	if b.c.Interrupted != nil {
		b.c.Interrupted(err)
	}
	pause := b.pause/2 + rand.N(b.pause) // many clients lose one replica at the same moment
	var busy *busyError
	if errors.As(err, &busy) {
		pause = max(pause, min(busy.wait, longPause))
	}
	b.pause = min(2*b.pause, longPause)
	select {
	case <-time.After(pause):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// patience is for how long attempts are repeated.
func (c *Client) patience() time.Duration {
	if c.Unknown > 0 && !c.answered.Load() {
		return c.Unknown
	}
	return c.Patience
}

// get makes one request and returns the answer if it is 200. A token that is refused is asked for again, once: a file may have a newer one.
func (c *Client) get(ctx context.Context, path string, query url.Values, header http.Header) (*http.Response, error) {
	resp, sent, err := c.send(ctx, path, query, header)
	if err == nil && resp.StatusCode == http.StatusUnauthorized && c.Authorization != nil {
		if now, e := c.Authorization(); e == nil && now != sent {
			resp.Body.Close()
			resp, _, err = c.send(ctx, path, query, header)
		}
	}
	if err != nil || resp.StatusCode == http.StatusOK {
		return resp, err
	}
	defer resp.Body.Close()
	return nil, refusal(resp)
}

// send makes the request; sent is its Authorization.
func (c *Client) send(ctx context.Context, path string, query url.Values, header http.Header) (_ *http.Response, sent string, err error) {
	target := c.Base + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, "", stopError{err}
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if c.Authorization != nil {
		if sent, err = c.Authorization(); err != nil {
			return nil, "", stopError{err}
		}
		req.Header.Set("Authorization", sent)
	}
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err == nil {
		c.answered.Store(true)
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // without the address, which the user has given
	}
	return resp, sent, err
}

// refusal returns the error that an answer stands for.
func refusal(resp *http.Response) error {
	var problem struct {
		Detail      string `json:"detail"`
		Description string `json:"error_description"`
	}
	_ = json.NewDecoder(io.LimitReader(resp.Body, 1<<16)).Decode(&problem)
	text := resp.Status
	for _, more := range []string{problem.Detail, problem.Description} {
		if more != "" {
			text += ": " + more
			break
		}
	}
	if resp.StatusCode < 500 && resp.StatusCode != http.StatusTooManyRequests {
		return &RefusedError{resp.StatusCode, text}
	}
	seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
	return &busyError{text, time.Duration(seconds) * time.Second}
}
