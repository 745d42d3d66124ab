package node

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/webhook"
)

// Webhooks says what webhooks may reach, and how long is tried. The zero value of each field is its default.
type Webhooks struct {
	Off     bool                                                                 // this replica delivers nothing: one that runs for a moment, for a command
	Private []netip.Prefix                                                       // addresses that are not public and may be reached, by webhooks that say so; none: none
	Own     func(at netip.AddrPort) bool                                         // whether this process listens at an address: no webhook reaches it; nil: it does not
	GiveUp  time.Duration                                                        // a webhook that has failed for so long is paused; 0: 24 h
	dial    func(ctx context.Context, network, address string) (net.Conn, error) // for tests
	roots   *x509.CertPool                                                       // for tests
}

// Why a webhook is paused.
const (
	pausedByOperator = "operator"
	pausedFailing    = "failing"
	pausedGone       = "gone"
	pausedTrimmed    = "trimmed"
	pausedByRestore  = "restored"
)

// Bounds of a webhook's record.
const (
	maxDescription = 256 // bytes
	maxHookTypes   = 64
)

// WebhookFilter says which public events a webhook gets, as EventQuery does.
type WebhookFilter struct {
	Types   []string
	Subject string
	User    events.ID
}

// Webhook is a webhook as the state knows it, with what the delivering replica has said of its progress.
type Webhook struct {
	Name        string
	URL         string
	Description string
	Filter      WebhookFilter
	Private     bool // the target may have an address that is not public
	Created     time.Time
	OldSecret   time.Time // until when the secret before the newest one signs, too; zero: it does not
	Paused      string    // "operator", "failing", "gone" or "trimmed"; "": it is not
	PausedText  string    // more of that
	Cursor      uint64    // everything that is asked for up to this sequence has been delivered
	Delivering  string    // replica that delivers; "": none does
	Success     time.Time // newest delivery; zero: none yet
	Failing     time.Time // first failure since; zero: none
	Attempts    int       // that failed, at the event that is next
	RetryAt     time.Time // next attempt; zero: there is no failure
	Error       string    // of the newest attempt that failed
}

// NewWebhook describes a webhook to be created.
type NewWebhook struct {
	Name        string
	URL         string
	Description string
	Filter      WebhookFilter
	Private     bool
	Paused      bool
	Secret      string // as Standard Webhooks writes it; "": one is made
	After       uint64 // the events after this sequence; EventsFromNow: those to come
}

// WebhookChange says what is different about a webhook from now on. What is nil stays.
type WebhookChange struct {
	URL         *string
	Description *string
	Types       []string
	Subject     *string
	User        *events.ID
	Private     *bool
}

// CreateWebhook creates a webhook and returns the secret that its deliveries are signed with, when every replica knows it. ErrExists,
// ErrBadRequest and the common errors.
func (n *Node) CreateWebhook(ctx context.Context, nw NewWebhook, o Origin) (secret string, err error) {
	d := &events.SecretWebhook{
		Webhook: nw.Name, Address: nw.URL, Description: nw.Description, Types: nw.Filter.Types, About: nw.Filter.Subject, User: nw.Filter.User,
		Private: nw.Private, Paused: nw.Paused, Key: webhook.NewKey(), Cursor: nw.After,
	}
	if nw.Secret != "" {
		if d.Key, err = webhook.ParseKey(nw.Secret); err != nil {
			return "", fmt.Errorf("%w: %w", ErrBadRequest, err)
		}
	}
	if !clientID(nw.Name) {
		return "", fmt.Errorf("%w: the name of a webhook must have 1 to 64 of A-Z a-z 0-9 . _ -", ErrBadRequest)
	}
	if err := n.checkWebhook(d); err != nil {
		return "", err
	}
	if nw.After == EventsFromNow {
		d.Cursor = n.hot.applied.Load()
	} else if err := n.reach(ctx, nw.After); err != nil {
		return "", err
	}
	n.mu.RLock()
	full := len(n.state.hooks) >= maxWebhooks
	n.mu.RUnlock()
	switch {
	case full:
		return "", fmt.Errorf("%w: there are %d webhooks already", ErrBadRequest, maxWebhooks)
	case n.nearlyFull(adminShare):
		return "", ErrFull
	}
	if err := n.change(ctx, d, d.Webhook, o); errors.Is(err, errChanged) {
		return "", ErrConflict
	} else if err != nil {
		return "", err
	}
	return webhook.KeyText(d.Key), nil
}

// checkWebhook returns what is wrong with a record, and fills in what follows from the address.
func (n *Node) checkWebhook(d *events.SecretWebhook) error {
	t, err := webhook.ParseTarget(d.Address, d.Private)
	if err == nil {
		d.Origin = t.Origin()
		policy := n.policy()
		err = policy.CheckLiteral(t)
	}
	if err == nil {
		q := EventQuery{Types: d.Types}
		if _, e := newMatcher(&q); e != nil {
			return e
		}
	}
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrBadRequest, err)
	case len(d.Description) > maxDescription || !utf8.ValidString(d.Description) || !printable(d.Description):
		return fmt.Errorf("%w: the description must have at most %d bytes, all of them printable", ErrBadRequest, maxDescription)
	case len(d.Types) > maxHookTypes || slices.ContainsFunc(d.Types, func(t string) bool { return len(t) > 64 }) || len(d.About) > 256:
		return fmt.Errorf("%w: the filter is too long", ErrBadRequest)
	}
	return nil
}

func (n *Node) policy() webhook.Policy {
	w := &n.cfg.Limits.Webhooks
	return webhook.Policy{Private: w.Private, Own: w.Own}
}

// changeWebhook validates a command against a webhook's record and commits it, as changeClient does for clients.
func (n *Node) changeWebhook(ctx context.Context, name string, o Origin, data func(*hook) (events.Payload, error)) error {
	for range tries {
		n.mu.RLock()
		h := n.state.hooks[name]
		var d events.Payload
		var err error
		if h != nil {
			d, err = data(h)
		}
		n.mu.RUnlock()
		switch {
		case h == nil:
			return n.gone(ctx, "webhook")
		case err != nil:
			return err
		}
		if err := n.change(ctx, d, name, o); !errors.Is(err, errChanged) {
			return err
		}
	}
	return fmt.Errorf("%w: the webhook keeps changing", ErrUnknownOutcome)
}

// ChangeWebhook changes where events are sent, and which. When it returns, nothing more is sent to where it is not any more. The cursor
// stays: what a wider filter lets through is sent from there on.
func (n *Node) ChangeWebhook(ctx context.Context, name string, ch WebhookChange, o Origin) error {
	if n.nearlyFull(adminShare) {
		return ErrFull
	}
	return n.changeWebhook(ctx, name, o, func(h *hook) (events.Payload, error) {
		d := &events.SecretWebhook{
			Webhook: name, Address: *cmp.Or(ch.URL, &h.url), Description: *cmp.Or(ch.Description, &h.description), Types: slices.Clone(h.types),
			About: *cmp.Or(ch.Subject, &h.about), User: *cmp.Or(ch.User, &h.user), Private: *cmp.Or(ch.Private, &h.private), WebhookSeq: h.seq,
		}
		if ch.Types != nil {
			d.Types = ch.Types
		}
		return d, n.checkWebhook(d)
	})
}

// RotateWebhookSecret gives a webhook a new secret and returns it; "" makes one. For overlap longer, at most 30 days, deliveries carry
// a signature by the one before as well.
func (n *Node) RotateWebhookSecret(ctx context.Context, name, secret string, overlap time.Duration, o Origin) (string, error) {
	if overlap < 0 || overlap > maxOverlap {
		return "", fmt.Errorf("%w: the old secret can be good for 0 s to 30 days", ErrBadRequest)
	}
	key := webhook.NewKey()
	if secret != "" {
		var err error
		if key, err = webhook.ParseKey(secret); err != nil {
			return "", fmt.Errorf("%w: %w", ErrBadRequest, err)
		}
	}
	err := n.changeWebhook(ctx, name, o, func(h *hook) (events.Payload, error) {
		d := &events.SecretWebhookSecret{Webhook: name, Key: key, WebhookSeq: h.seq}
		if overlap > 0 {
			d.OldExpires = n.unix(n.clock.read()) + seconds(overlap)
		}
		return d, nil
	})
	if err != nil {
		return "", err
	}
	return webhook.KeyText(key), nil
}

// DeleteWebhook forgets a webhook. When it returns, no replica begins to send anything to it, and what is being sent is cut off.
func (n *Node) DeleteWebhook(ctx context.Context, name string, o Origin) error {
	return n.changeWebhook(ctx, name, o, func(*hook) (events.Payload, error) { return &events.WebhookDeleted{Webhook: name}, nil })
}

// PauseWebhook stops a webhook as DeleteWebhook does, until ResumeWebhook: it goes on where it stopped.
func (n *Node) PauseWebhook(ctx context.Context, name string, o Origin) error {
	return n.changeWebhook(ctx, name, o, func(*hook) (events.Payload, error) {
		return &events.WebhookPaused{Webhook: name, Cause: pausedByOperator}, nil
	})
}

// ResumeWebhook lifts a pause, whatever it was for.
func (n *Node) ResumeWebhook(ctx context.Context, name string, o Origin) error {
	return n.changeWebhook(ctx, name, o, func(h *hook) (events.Payload, error) {
		return &events.WebhookResumed{Webhook: name, WebhookSeq: h.seq}, nil
	})
}

// SetWebhookCursor has a webhook go on after a sequence: 0 is before the oldest event that the log has. What was delivered already is
// delivered again, with the same ids. ErrBadRequest for a position that the log has not reached.
func (n *Node) SetWebhookCursor(ctx context.Context, name string, after uint64, o Origin) error {
	if err := n.reach(ctx, after); err != nil {
		return err
	}
	return n.changeWebhook(ctx, name, o, func(h *hook) (events.Payload, error) {
		return &events.WebhookCursorSet{Webhook: name, Cursor: after, WebhookSeq: h.seq}, nil
	})
}

// Webhooks returns all webhooks, by name. ErrNotCurrent.
func (n *Node) Webhooks() ([]Webhook, error) {
	list := []Webhook{}
	err := n.whileCurrent(func() {
		for _, h := range n.state.hooks {
			list = append(list, n.viewHook(h))
		}
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b Webhook) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// Webhook returns a webhook. ErrNotFound, ErrNotCurrent.
func (n *Node) Webhook(name string) (Webhook, error) {
	var v Webhook
	err := n.whileCurrent(func() {
		if h := n.state.hooks[name]; h != nil {
			v = n.viewHook(h)
		}
	})
	if err == nil && v.Name == "" {
		err = fmt.Errorf("%w: webhook", ErrNotFound)
	}
	return v, err
}

// viewHook copies h for callers. The replica that delivers knows more than the log. Node.mu is held.
func (n *Node) viewHook(h *hook) Webhook {
	p := h.progress
	p.Cursor = h.cursor
	if own, ok := n.hot.deliveries.progress(h.name, h.claim); ok {
		p = own
	}
	v := Webhook{
		Name: h.name, URL: h.url, Description: h.description, Private: h.private, Created: time.Unix(h.created, 0).UTC(),
		Filter: WebhookFilter{Types: slices.Clone(h.types), Subject: h.about, User: h.user}, Paused: h.paused, PausedText: h.pausedText,
		Cursor: p.Cursor, Delivering: h.ownerName, Success: unixTime(p.Success), Failing: unixTime(p.Failing), Attempts: int(p.Attempts),
		RetryAt: unixTime(p.RetryAt), Error: p.Error,
	}
	if len(h.oldKey) > 0 && h.oldExpires > n.hot.logTime.Load() {
		v.OldSecret = unixTime(h.oldExpires)
	}
	return v
}

// unixTime returns the time of t, zero for 0.
func unixTime(t int64) time.Time {
	if t == 0 {
		return time.Time{}
	}
	return time.Unix(t, 0).UTC()
}
