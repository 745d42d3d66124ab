package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/knell-auth/knell/internal/trail"
)

// eventsCmd reads and administers the audit trail.
type eventsCmd struct {
	Tail   eventsTailCmd   `cmd:"" help:"Follow events as they come."`
	Export eventsExportCmd `cmd:"" help:"Write a range of events to a file, as NDJSON or Parquet."`
	Replay eventsReplayCmd `cmd:"" help:"Print a range of events, or post them somewhere, at the pace at which they came or another one."`
	Stats  eventsStatsCmd  `cmd:"" help:"Count events by type, day and reason."`

	eventsProofCmds `embed:""`

	Grant       eventsGrantCmd       `cmd:"" help:"Let somebody read all public events over NATS: makes a durable consumer, and a key that opens nothing else."`
	RevokeGrant eventsRevokeGrantCmd `cmd:"" name:"revoke-grant" help:"End a grant; returns when no replica serves its reader any more."`
	Grants      eventsGrantsCmd      `cmd:"" help:"List grants and how far their readers are."`
}

// sourceFlags say where events are read.
type sourceFlags struct {
	dataFlags `embed:""`
	URL       string `name:"url" env:"KNELL_URL" placeholder:"URL" help:"Read from the replica or the balancer at this address, such as https://id.example.com, with a token of the scope audit. Default: from the replica on the data directory, without one."`
	TokenFile string `type:"path" placeholder:"FILE" help:"With --url: file whose first line is the access token or API key; it is read again when that is refused. Default: the variable KNELL_TOKEN."`
}

// tokenVariable has the credential where there is no file. A flag would show it to every user of the machine.
const tokenVariable = "KNELL_TOKEN"

// unknownPatience is for how long a command that reads a range asks at an address where nobody has answered yet.
const unknownPatience = 5 * time.Second

// with runs a command on the source of events.
func (f *sourceFlags) with(ctx context.Context, t *terminal, patience time.Duration, command func(*trail.Client) error) error {
	c := &trail.Client{Patience: patience, Interrupted: interruptions(t)}
	if f.URL == "" {
		if f.TokenFile != "" {
			return usagef("--token-file is for --url: the replica on the data directory asks for no token")
		}
		return f.dataFlags.with(ctx, t, openIt, func(a *admin) error {
			c.HTTP, c.Base = &a.client, a.base
			return command(c)
		})
	}
	if !strings.HasPrefix(f.URL, "http://") && !strings.HasPrefix(f.URL, "https://") {
		return usagef("--url %q: want http://host:port or https://host", f.URL)
	}
	c.Base = strings.TrimRight(f.URL, "/")
	c.Authorization = f.authorization
	if patience > 0 { // whoever follows waits for a replica as well
		c.Unknown = unknownPatience
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DialContext = (&net.Dialer{Timeout: unknownPatience}).DialContext
	defer transport.CloseIdleConnections()
	c.HTTP = &http.Client{Transport: transport}
	if _, err := f.authorization(); err != nil {
		return err
	}
	return command(c)
}

// authorization returns the header that has the token.
func (f *sourceFlags) authorization() (string, error) {
	token := os.Getenv(tokenVariable)
	if f.TokenFile != "" {
		file, err := os.Open(f.TokenFile)
		if err != nil {
			return "", usagef("--token-file: %w", err)
		}
		defer file.Close()
		if token, err = firstLine(file, f.TokenFile); err != nil {
			return "", err
		}
	}
	if token == "" {
		return "", usagef("--url needs a token of the scope audit: --token-file or %s", tokenVariable)
	}
	return "Bearer " + token, nil
}

// interruptions says once that a connection is lost, and once that it is there again.
func interruptions(t *terminal) func(error) {
	lost := false
	return func(why error) {
		switch {
		case why == nil:
			fmt.Fprintln(t.err, "knell: going on")
		case !lost:
			fmt.Fprintf(t.err, "knell: interrupted, trying again: %v\n", why)
		}
		lost = why != nil
	}
}

// filterFlags say which events are meant.
type filterFlags struct {
	Types   []string `name:"type" placeholder:"TYPE" help:"Types that begin so: revoked, session.started. Several are separated by commas."`
	Subject string   `placeholder:"ID" help:"Events with this subject."`
	User    string   `placeholder:"ID" help:"The timeline of a user, by its id: events that name it, or whose subject or actor it is."`
	Session string   `placeholder:"ID" help:"The timeline of a session, by its id: events that name it, and what ended it."`
}

// query returns the parameters of docs/events.md.
func (f *filterFlags) query() url.Values {
	q := url.Values{}
	for name, value := range map[string]string{"type": strings.Join(f.Types, ","), "subject": f.Subject, "user": f.User, "session": f.Session} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return q
}

// rangeFlags say which part of the log is meant.
type rangeFlags struct {
	From string `placeholder:"WHERE" help:"The first event: a sequence, a time (2026-01-31T12:00:00Z, or 2026-01-31), or how long ago (36h, 7d). Default: the oldest one."`
	To   string `placeholder:"WHERE" help:"The last event: a sequence, or a time as for --from, at which it ends. Default: the newest one when the command begins."`
}

// span is a part of the log, by sequence, of which the events from one time to before another one are meant.
type span struct {
	after, upTo uint64
	epoch       string
	since       time.Time // the replica looks for it
	before      time.Time // zero: any time
}

// find returns the part of the log that is meant.
func (f *rangeFlags) find(ctx context.Context, c *trail.Client) (s span, err error) {
	now := time.Now()
	var from, to place
	if from, err = parsePlace("--from", f.From, now); err != nil {
		return s, err
	}
	if to, err = parsePlace("--to", f.To, now); err != nil {
		return s, err
	}
	end, err := c.End(ctx)
	if err != nil {
		return s, err
	}
	s = span{after: max(from.seq, 1) - 1, upTo: end.Seq, epoch: end.Epoch, since: from.at, before: to.at}
	if to.seq > 0 {
		s.upTo = to.seq
	}
	switch {
	case to.seq > end.Seq:
		return s, usagef("--to %d: the log ends at %d", to.seq, end.Seq)
	case s.after > s.upTo, !to.at.IsZero() && to.at.Before(from.at):
		return s, usagef("--from %s is behind --to %s", f.From, cmp.Or(f.To, "the end of the log"))
	}
	return s, nil
}

// read calls deliver with the events of the span, in order, and how far it has got. Events are valid until it returns.
func (s *span) read(ctx context.Context, c *trail.Client, query url.Values, after uint64, deliver func(list []trail.Event, to uint64) error) error {
	if !s.since.IsZero() {
		query.Set("since", s.since.UTC().Format(time.RFC3339Nano))
	}
	return c.Read(ctx, query, after, s.upTo, func(p trail.Page) error {
		list := p.Events
		if !s.before.IsZero() {
			list = list[:0]
			for _, e := range p.Events {
				if at := timeOf(e.JSON); at.Before(s.before) {
					list = append(list, e)
				}
			}
		}
		return deliver(list, p.To)
	})
}

// place is a place in the log: a sequence, or a time. The zero place is none.
type place struct {
	seq uint64
	at  time.Time
}

// parsePlace reads what stands behind a flag.
func parsePlace(flag, text string, now time.Time) (p place, err error) {
	if text == "" {
		return p, nil
	}
	if p.seq, err = strconv.ParseUint(text, 10, 63); err == nil {
		return p, nil
	}
	if p.at, err = parseTime(text, now); err != nil {
		return p, usagef("%s %q: want a sequence, a time such as 2026-01-31T12:00:00Z or 2026-01-31, or how long ago, such as 36h or 7d", flag, text)
	}
	return p, nil
}

// parseTime reads a time, or how long before now it was.
func parseTime(text string, now time.Time) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, nil
		}
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return now.AddDate(0, 0, -int(n)), nil
		}
	}
	ago, err := time.ParseDuration(text)
	if err == nil && ago < 0 {
		err = errors.New("of the future")
	}
	return now.Add(-ago), err
}
