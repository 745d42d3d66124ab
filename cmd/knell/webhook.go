package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// webhookCmd administers where events are sent.
type webhookCmd struct {
	Add          webhookAddCmd    `cmd:"" help:"Create a webhook; its signing secret is printed once."`
	List         webhookListCmd   `cmd:"" help:"List webhooks."`
	Show         webhookShowCmd   `cmd:"" help:"Show a webhook and how far its deliveries have got, in JSON."`
	Update       webhookUpdateCmd `cmd:"" help:"Change where events are sent, or which."`
	Pause        webhookPauseCmd  `cmd:"" help:"Stop a webhook; no delivery starts any more when the command returns."`
	Resume       webhookResumeCmd `cmd:"" help:"Let a webhook go on where it stopped."`
	Replay       webhookReplayCmd `cmd:"" help:"Send the events after a sequence again, or leave out those before it."`
	Test         webhookTestCmd   `cmd:"" help:"Send an event of the type knell.webhook.test, which is in no log, once."`
	RotateSecret webhookRotateCmd `cmd:"" help:"Give a webhook a new signing secret; the old one signs, too, for a while."`
	Delete       webhookDeleteCmd `cmd:"" help:"Delete a webhook; no delivery starts any more when the command returns."`
}

// webhook is a webhook as local administration shows it.
type webhook struct {
	Name    string   `json:"name"`
	URL     string   `json:"url"`
	Types   []string `json:"types"`
	Enabled bool     `json:"enabled"`
	Paused  struct {
		Cause string `json:"cause"`
	} `json:"paused"`
	Delivery struct {
		Replica  string     `json:"replica"`
		Cursor   string     `json:"cursor"`
		Attempts int        `json:"attempts"`
		Success  *time.Time `json:"last_success"`
		Error    string     `json:"last_error"`
	} `json:"delivery"`
	Secret string `json:"secret"` // in the answer to what made it, and in no other
}

// webhookFlags name the webhook that a command is about.
type webhookFlags struct {
	dataFlags `embed:""`
	Webhook   string `arg:"" help:"Name of the webhook."`
}

// path returns the path of the webhook.
func (f *webhookFlags) path() string { return "/webhooks/" + url.PathEscape(f.Webhook) }

// do makes one request about the webhook and says what was done.
func (f *webhookFlags) do(ctx context.Context, t *terminal, method, command string, in any, done string) error {
	err := f.with(ctx, t, openIt, func(a *admin) error { return a.call(ctx, method, f.path()+command, in, nil) })
	if err == nil {
		_, err = fmt.Fprintf(t.out, "%s %s\n", done, f.Webhook)
	}
	return err
}

type webhookAddCmd struct {
	webhookFlags `embed:""`
	URL          string   `arg:"" name:"url" help:"Where events are sent, with https."`
	Types        []string `name:"type" placeholder:"TYPE" help:"Beginnings of types: revoked, session.started. Default: all public events."`
	Subject      string   `placeholder:"ID" help:"Only events with this subject."`
	User         string   `placeholder:"ID" help:"Only the timeline of this user."`
	Description  string   `placeholder:"TEXT" help:"What it is for."`
	AllowPrivate bool     `help:"The target may have an address that is not public, where --webhook-allow-private allows it, and do without https."`
	Paused       bool     `help:"Send nothing yet."`
	After        *uint64  `placeholder:"SEQ" help:"Send the events after this sequence; 0: all that there are. Default: those to come."`
	SecretFile   string   `type:"path" placeholder:"FILE" help:"File whose first line is the signing secret (whsec_...). Default: one is made and printed once."`
}

// Run creates the webhook.
func (c *webhookAddCmd) Run(ctx context.Context, t *terminal) error {
	in := map[string]any{"name": c.Webhook, "url": c.URL, "allow_private": c.AllowPrivate, "enabled": !c.Paused}
	for name, text := range map[string]string{"subject": c.Subject, "user": c.User, "description": c.Description} {
		if text != "" {
			in[name] = text
		}
	}
	if c.Types != nil {
		in["types"] = c.Types
	}
	if c.After != nil {
		in["after"] = strconv.FormatUint(*c.After, 10)
	}
	if c.SecretFile != "" {
		secret, err := secretFrom(c.SecretFile)
		if err != nil {
			return err
		}
		in["secret"] = secret
	}
	return c.with(ctx, t, openIt, func(a *admin) error {
		var made webhook
		if err := a.call(ctx, http.MethodPost, "/webhooks", in, &made); err != nil {
			return fmt.Errorf("creating %q: %w", c.Webhook, err)
		}
		if c.SecretFile != "" {
			made.Secret = ""
		}
		return printSecret(t, "created webhook "+made.Name, made.Secret)
	})
}

type webhookListCmd struct {
	dataFlags `embed:""`
	JSON      bool `name:"json" help:"Print JSON."`
}

// Run prints the webhooks.
func (c *webhookListCmd) Run(ctx context.Context, t *terminal) error {
	var list struct {
		Webhooks json.RawMessage `json:"webhooks"`
	}
	var all []webhook
	err := c.with(ctx, t, openIt, func(a *admin) error { return a.call(ctx, http.MethodGet, "/webhooks", nil, &list) })
	if err == nil {
		err = json.Unmarshal(list.Webhooks, &all)
	}
	switch {
	case err != nil:
		return err
	case c.JSON:
		return printJSON(t, list.Webhooks)
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tSTATE\tCURSOR\tREPLICA\tLAST SUCCESS\tFAILED ATTEMPTS\tTYPES\tURL")
	for _, h := range all {
		state, success := "active", "never"
		if !h.Enabled {
			state = "paused: " + h.Paused.Cause
		}
		if h.Delivery.Success != nil {
			success = h.Delivery.Success.Format(time.RFC3339)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", h.Name, state, h.Delivery.Cursor, h.Delivery.Replica, success,
			h.Delivery.Attempts, strings.Join(h.Types, ","), h.URL)
	}
	return w.Flush()
}

type webhookShowCmd struct {
	webhookFlags `embed:""`
}

// Run prints the webhook.
func (c *webhookShowCmd) Run(ctx context.Context, t *terminal) error {
	return c.with(ctx, t, openIt, func(a *admin) error {
		var shown json.RawMessage
		if err := a.call(ctx, http.MethodGet, c.path(), nil, &shown); err != nil {
			return err
		}
		return printJSON(t, shown)
	})
}

// webhookUpdateCmd replaces what is given. That a list is emptied has to be said.
type webhookUpdateCmd struct {
	webhookFlags `embed:""`
	URL          *string `name:"url" placeholder:"URL" help:"Where events are sent."`
	Types        listing `name:"type" placeholder:"TYPE" help:"Beginnings of types from now on; --type= for all. Default: as they are."`
	Subject      *string `placeholder:"ID" help:"Only events with this subject; --subject= for any."`
	User         *string `placeholder:"ID" help:"Only the timeline of this user; --user= for anybody."`
	Description  *string `placeholder:"TEXT" help:"What it is for."`
	AllowPrivate *bool   `negatable:"" help:"Whether the target may have an address that is not public."`
}

// Run changes the webhook.
func (c *webhookUpdateCmd) Run(ctx context.Context, t *terminal) error {
	change := map[string]any{}
	for name, text := range map[string]*string{"url": c.URL, "subject": c.Subject, "user": c.User, "description": c.Description} {
		if text != nil {
			change[name] = *text
		}
	}
	if c.Types != nil {
		change["types"] = given(c.Types)
	}
	if c.AllowPrivate != nil {
		change["allow_private"] = *c.AllowPrivate
	}
	if len(change) == 0 {
		return usagef("give --url, --type, --subject, --user, --description, --allow-private or several of them")
	}
	return c.do(ctx, t, http.MethodPatch, "", change, "changed webhook")
}

type webhookPauseCmd struct {
	webhookFlags `embed:""`
	Reason       string `placeholder:"TEXT" help:"Why; it goes into the event."`
}

// Run pauses the webhook.
func (c *webhookPauseCmd) Run(ctx context.Context, t *terminal) error {
	return c.do(ctx, t, http.MethodPost, "/pause", map[string]string{"reason": c.Reason}, "paused")
}

type webhookResumeCmd struct {
	webhookFlags `embed:""`
}

// Run resumes the webhook.
func (c *webhookResumeCmd) Run(ctx context.Context, t *terminal) error {
	return c.do(ctx, t, http.MethodPost, "/resume", nil, "resumed")
}

type webhookReplayCmd struct {
	webhookFlags `embed:""`
	After        uint64 `required:"" placeholder:"SEQ" help:"The events after this sequence are sent; 0: all that the log has."`
}

// Run sets the cursor.
func (c *webhookReplayCmd) Run(ctx context.Context, t *terminal) error {
	in := map[string]string{"after": strconv.FormatUint(c.After, 10)}
	return c.do(ctx, t, http.MethodPost, "/replay", in, fmt.Sprintf("what comes after %d is sent by", c.After))
}

type webhookTestCmd struct {
	webhookFlags `embed:""`
}

// Run sends a test and says what came of it.
func (c *webhookTestCmd) Run(ctx context.Context, t *terminal) error {
	return c.with(ctx, t, openIt, func(a *admin) error {
		var came struct {
			Delivered    bool   `json:"delivered"`
			Status       int    `json:"status"`
			Error        string `json:"error"`
			Milliseconds int64  `json:"milliseconds"`
		}
		if err := a.call(ctx, http.MethodPost, c.path()+"/test", nil, &came); err != nil {
			return err
		}
		if !came.Delivered {
			return fmt.Errorf("not delivered: %s", came.Error)
		}
		_, err := fmt.Fprintf(t.out, "delivered, status %d, %d ms\n", came.Status, came.Milliseconds)
		return err
	})
}

type webhookRotateCmd struct {
	webhookFlags `embed:""`
	Overlap      time.Duration `default:"24h" help:"How long the old secret signs, too, at most 720h; 0: not at all."`
	SecretFile   string        `type:"path" placeholder:"FILE" help:"File whose first line is the new secret. Default: one is made and printed once."`
}

// Run gives the webhook a new secret.
func (c *webhookRotateCmd) Run(ctx context.Context, t *terminal) error {
	if c.Overlap < 0 || c.Overlap%time.Second != 0 {
		return usagef("--overlap %v: want whole seconds, 0 or more", c.Overlap)
	}
	in := map[string]any{"overlap_seconds": int64(c.Overlap / time.Second)}
	if c.SecretFile != "" {
		secret, err := secretFrom(c.SecretFile)
		if err != nil {
			return err
		}
		in["secret"] = secret
	}
	return c.with(ctx, t, openIt, func(a *admin) error {
		var rotated webhook
		if err := a.call(ctx, http.MethodPost, c.path()+"/secret", in, &rotated); err != nil {
			return err
		}
		if c.SecretFile != "" {
			rotated.Secret = ""
		}
		return printSecret(t, "changed the secret of "+c.Webhook, rotated.Secret)
	})
}

type webhookDeleteCmd struct {
	webhookFlags `embed:""`
}

// Run deletes the webhook.
func (c *webhookDeleteCmd) Run(ctx context.Context, t *terminal) error {
	return c.do(ctx, t, http.MethodDelete, "", nil, "deleted")
}
