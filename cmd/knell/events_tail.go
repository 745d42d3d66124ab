package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/knell-auth/knell/internal/trail"
)

// eventsTailCmd follows events.
type eventsTailCmd struct {
	sourceFlags `embed:""`
	filterFlags `embed:""`
	Since       string  `placeholder:"WHEN" help:"Begin with the events from a time on (2026-01-31T12:00:00Z, or 2026-01-31), or with those of the last while (15m, 7d). Default: with what comes."`
	After       *uint64 `placeholder:"SEQUENCE" help:"Begin behind an event; 0: with the oldest one."`
	JSON        bool    `name:"json" help:"Print each event as it is, a CloudEvent a line."`
}

// Run follows events until a signal comes.
func (c *eventsTailCmd) Run(ctx context.Context, t *terminal) error {
	query := c.query()
	if c.Since != "" {
		since, err := parseTime(c.Since, time.Now())
		if err != nil {
			return usagef("--since %q: want a time such as 2026-01-31T12:00:00Z or 2026-01-31, or how long ago, such as 15m or 7d", c.Since)
		}
		query.Set("since", since.UTC().Format(time.RFC3339Nano))
	}
	if c.After != nil {
		query.Set("after", strconv.FormatUint(*c.After, 10))
	}
	show := c.printer(t)
	return c.with(ctx, t, 0, func(client *trail.Client) error {
		ctx, release := untilSignal(ctx, nil, os.Interrupt, syscall.SIGTERM)
		defer release()
		err := client.Follow(ctx, query, show)
		if ctx.Err() != nil {
			return nil
		}
		return err
	})
}

// printer returns what prints an event.
func (c *eventsTailCmd) printer(t *terminal) func(trail.Event) error {
	if c.JSON {
		return func(e trail.Event) error {
			_, err := fmt.Fprintf(t.out, "%s\n", e.JSON)
			return err
		}
	}
	s := newStyle(t.out)
	return func(e trail.Event) error {
		line, err := eventLine(s, e.JSON)
		if err == nil {
			_, err = fmt.Fprintln(t.out, line)
		}
		return err
	}
}

// auditEvent is what people and counts need of an event.
type auditEvent struct {
	Sequence  string         `json:"sequence"`
	Type      string         `json:"type"`
	Time      time.Time      `json:"time"`
	Subject   string         `json:"subject"`
	Actor     string         `json:"actor"`
	Address   string         `json:"clientaddress"`
	Reason    string         `json:"reason"`
	Void      string         `json:"void"`
	UserName  string         `json:"username"`
	ActorName string         `json:"actorname"`
	Data      map[string]any `json:"data"`
}

func parseEvent(text []byte) (e auditEvent, err error) {
	if err = json.Unmarshal(text, &e); err != nil {
		return e, fmt.Errorf("reading an event: %w", err)
	}
	e.Type = strings.TrimPrefix(e.Type, "knell.")
	return e, nil
}

// timeOf returns the time of an event, the zero Time if it has none.
func timeOf(text []byte) time.Time {
	var e struct{ Time time.Time }
	_ = json.Unmarshal(text, &e) // an event without a time is one of any time
	return e.Time
}

// detail are the members of data that say most, where an event has them.
var detail = []string{"session", "client", "cause", "scope", "roles", "generation"}

// eventLine says in one line what happened: when, where in the log, what, to whom, by whom, from where and why.
func eventLine(s *style, text []byte) (string, error) {
	e, err := parseEvent(text)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s", s.paint(faint, e.Time.Local().Format("2006-01-02 15:04:05.000")),
		s.paint(faint, fmt.Sprintf("%7s", strings.TrimLeft(e.Sequence, "0"))), s.paint(colourOf(e), fmt.Sprintf("%-24s", plain(e.Type))))
	add := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, " %s%s", s.paint(faint, name+"="), plain(value))
		}
	}
	if e.UserName != "" {
		add("user", e.UserName)
	} else if user, ok := e.Data["user"].(string); ok {
		add("user", user)
	} else {
		add("subject", e.Subject)
	}
	if actor := e.ActorName; actor == "" {
		add("actor", e.Actor)
	} else if actor != e.UserName {
		add("actor", actor)
	}
	add("from", e.Address)
	for _, name := range detail {
		switch v := e.Data[name].(type) {
		case string:
			add(name, v)
		case float64:
			add(name, strconv.FormatFloat(v, 'f', -1, 64))
		case []any:
			add(name, strings.Trim(fmt.Sprint(v), "[]"))
		}
	}
	add("reason", e.Reason)
	if e.Void != "" {
		fmt.Fprintf(&b, " %s", s.paint(bold, "void: "+plain(e.Void)))
	}
	return b.String(), nil
}

// colourOf returns the colour of an event's type.
func colourOf(e auditEvent) string {
	family, _, _ := strings.Cut(e.Type, ".")
	switch {
	case e.Void != "":
		return faint
	case family == "revoked", e.Type == "attempt.locked_out", e.Type == "attempt.login_failed":
		return red
	case e.Type == "session.started":
		return green
	}
	return bold
}

// plain returns text that can do nothing to a terminal, and is seen as one word.
func plain(text string) string {
	odd := func(r rune) bool {
		return !unicode.IsGraphic(r) || r == ' ' || r == '"' || r == unicode.ReplacementChar
	}
	if strings.IndexFunc(text, odd) >= 0 {
		return strconv.QuoteToGraphic(text)
	}
	return text
}
