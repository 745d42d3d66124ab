package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/knell-auth/knell/internal/trail"
)

// eventsReplayCmd gives events out again.
type eventsReplayCmd struct {
	sourceFlags `embed:""`
	filterFlags `embed:""`
	rangeFlags  `embed:""`
	File        string `type:"existingfile" placeholder:"FILE" help:"Read from a file that export has written as NDJSON, all of it, and from no replica."`
	Speed       string `default:"max" placeholder:"N" help:"How many times as fast as events came: 1x, 10x, 0.5x. Default: max, as fast as they are taken."`
	Post        string `placeholder:"URL" help:"Post each event there as a structured CloudEvent, one after the other, again until the answer is a 2xx. Default: print them, one a line."`
	HeaderFile  string `type:"existingfile" placeholder:"FILE" help:"With --post: file with further headers of the requests, one a line."`
}

// Run gives out the events, in order.
func (c *eventsReplayCmd) Run(ctx context.Context, t *terminal) error {
	pace, err := newPace(c.Speed)
	if err != nil {
		return err
	}
	give, err := c.target(t)
	if err != nil {
		return err
	}
	ctx, release := untilSignal(ctx, nil, os.Interrupt, syscall.SIGTERM)
	defer release()
	last := uint64(0)
	each := func(e trail.Event) error {
		if err := pace.wait(ctx, e.JSON); err != nil {
			return err
		}
		if err := give(ctx, e.JSON); err != nil {
			return err
		}
		last = e.Seq
		return nil
	}
	if c.File != "" {
		err = c.fromFile(each)
	} else {
		err = c.with(ctx, t, readPatience, func(client *trail.Client) error {
			s, err := c.find(ctx, client)
			if err != nil {
				return err
			}
			return s.read(ctx, client, c.query(), s.after, func(list []trail.Event, _ uint64) error {
				for _, e := range list {
					if err := each(e); err != nil {
						return err
					}
				}
				return nil
			})
		})
	}
	if ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	if err != nil && last > 0 {
		err = fmt.Errorf("%w; the last event given out is %d", err, last)
	}
	return err
}

// fromFile reads events from a file.
func (c *eventsReplayCmd) fromFile(each func(trail.Event) error) error {
	if c.From != "" || c.To != "" || len(c.query()) > 0 {
		return usagef("--file is given out as a whole: filters and a range do not go with it")
	}
	f, err := os.Open(c.File)
	if err != nil {
		return err
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, 1<<20)
	for {
		line, err := in.ReadBytes('\n')
		if err == io.EOF && len(line) == 0 {
			return nil
		} else if err != nil && err != io.EOF {
			return err
		}
		line = bytes.TrimSuffix(line, []byte("\n"))
		seq, err := trail.Sequence(line)
		if err != nil {
			return fmt.Errorf("--file: %w", err)
		}
		if err := each(trail.Event{Seq: seq, JSON: line}); err != nil {
			return err
		}
	}
}

// pace holds events back until it is their time.
type pace struct {
	speed float64   // 0: as fast as possible
	first time.Time // of the events
	began time.Time
}

func newPace(speed string) (*pace, error) {
	if speed == "max" {
		return &pace{}, nil
	}
	n, err := strconv.ParseFloat(strings.TrimSuffix(speed, "x"), 64)
	if err != nil || !(n >= 1e-3 && n <= 1e6) {
		return nil, usagef("--speed %q: want a number such as 1x, 10x or 0.5x, or max", speed)
	}
	return &pace{speed: n}, nil
}

// wait waits until it is the event's time. Events have the clocks of several replicas: one that seems to lie before the others waits for
// nothing.
func (p *pace) wait(ctx context.Context, event []byte) error {
	if p.speed == 0 {
		return context.Cause(ctx)
	}
	at := timeOf(event)
	if p.first.IsZero() {
		p.first, p.began = at, time.Now()
	}
	due := p.began.Add(time.Duration(float64(at.Sub(p.first)) / p.speed))
	select {
	case <-time.After(time.Until(due)):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// target returns what an event is given to.
func (c *eventsReplayCmd) target(t *terminal) (func(context.Context, []byte) error, error) {
	if c.Post == "" {
		if c.HeaderFile != "" {
			return nil, usagef("--header-file is for --post")
		}
		return func(_ context.Context, event []byte) error {
			_, err := t.out.Write(append(event[:len(event):len(event)], '\n'))
			return err
		}, nil
	}
	if !strings.HasPrefix(c.Post, "http://") && !strings.HasPrefix(c.Post, "https://") {
		return nil, usagef("--post %q: want a URL", c.Post)
	}
	header := http.Header{"Content-Type": {"application/cloudevents+json"}}
	if c.HeaderFile != "" {
		text, err := os.ReadFile(c.HeaderFile)
		if err != nil {
			return nil, usagef("--header-file: %w", err)
		}
		for line := range strings.Lines(string(text)) {
			name, value, ok := strings.Cut(strings.TrimSpace(line), ":")
			if !ok {
				return nil, usagef("--header-file: a line is no header") // it may have a secret
			}
			header.Add(name, strings.TrimSpace(value))
		}
	}
	client := &http.Client{
		Timeout: 30 * time.Second,
		// A redirect is not followed: it would make a GET of the POST, whose 200 says nothing about the event, or take the headers elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return func(ctx context.Context, event []byte) error { return post(ctx, client, c.Post, header, event) }, nil
}

// Attempts to deliver one event.
const (
	postAttempts = 8
	postPause    = 250 * time.Millisecond // before the second one; then twice as long each time
)

// post sends an event until it is taken. A 4xx, but for 408 and 429, is not tried again.
func post(ctx context.Context, client *http.Client, target string, header http.Header, event []byte) error {
	var failed error
	for n := range postAttempts {
		if n > 0 {
			select {
			case <-time.After(postPause << (n - 1)):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(event))
		if err != nil {
			return err
		}
		req.Header = header
		resp, err := client.Do(req)
		if err != nil {
			failed = err
			continue
		}
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16)) // so that the connection can be used again
		resp.Body.Close()
		if resp.StatusCode/100 == 2 {
			return nil
		}
		failed = fmt.Errorf("%s answered %s", target, resp.Status)
		if s := resp.StatusCode; s < 500 && s != http.StatusRequestTimeout && s != http.StatusTooManyRequests {
			return failed
		}
	}
	return failed
}
