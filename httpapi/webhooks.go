package httpapi

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/node"
)

// Webhooks administers where events are sent.
type Webhooks interface {
	Webhooks() ([]node.Webhook, error)
	Webhook(name string) (node.Webhook, error)
	Lag(ctx context.Context, name string) (node.WebhookLag, error)
	CreateWebhook(context.Context, node.NewWebhook, node.Origin) (secret string, err error)
	ChangeWebhook(ctx context.Context, name string, ch node.WebhookChange, o node.Origin) error
	RotateWebhookSecret(ctx context.Context, name, secret string, overlap time.Duration, o node.Origin) (string, error)
	DeleteWebhook(ctx context.Context, name string, o node.Origin) error
	PauseWebhook(ctx context.Context, name string, o node.Origin) error
	ResumeWebhook(ctx context.Context, name string, o node.Origin) error
	SetWebhookCursor(ctx context.Context, name string, after uint64, o node.Origin) error
	TestWebhook(ctx context.Context, name string, o node.Origin) (node.WebhookTest, error)
}

// webhookDocument is a webhook as JSON.
type webhookDocument struct {
	Name         string           `json:"name"`
	URL          string           `json:"url"`
	Description  string           `json:"description"`
	Types        []string         `json:"types"`
	Subject      string           `json:"subject,omitempty"`
	User         string           `json:"user,omitempty"`
	AllowPrivate bool             `json:"allow_private"`
	Enabled      bool             `json:"enabled"`
	Paused       *pausedDocument  `json:"paused,omitempty" doc:"Why nothing is sent."`
	Created      time.Time        `json:"created"`
	OldSecret    *time.Time       `json:"old_secret_expires,omitempty" doc:"Until when the secret before the newest one signs, too."`
	Delivery     deliveryDocument `json:"delivery"`
}

// pausedDocument says why a webhook is paused.
type pausedDocument struct {
	Cause string `json:"cause" doc:"operator, failing, gone, trimmed or restored"`
	Text  string `json:"text,omitempty"`
}

// deliveryDocument says how far deliveries have got.
type deliveryDocument struct {
	Replica  string       `json:"replica,omitempty" doc:"The one that delivers."`
	Cursor   string       `json:"cursor" doc:"Everything that is asked for up to this sequence has been delivered."`
	Success  *time.Time   `json:"last_success,omitempty"`
	Failing  *time.Time   `json:"failing_since,omitempty"`
	Attempts int          `json:"attempts" doc:"That failed, at the event that is next."`
	RetryAt  *time.Time   `json:"next_attempt,omitempty"`
	Error    string       `json:"last_error,omitempty"`
	Lag      *lagDocument `json:"lag,omitempty"`
}

// lagDocument says how far a webhook is behind.
type lagDocument struct {
	Events  int   `json:"events"`
	More    bool  `json:"more,omitempty" doc:"There are more events than were counted."`
	Seconds int64 `json:"seconds" doc:"Age of the oldest of them."`
	Trimmed bool  `json:"trimmed,omitempty" doc:"The log has some of them no more."`
}

// webhooksDocument is a list of webhooks.
type webhooksDocument struct {
	Webhooks []webhookDocument `json:"webhooks"`
}

// newWebhookSecret is a webhook with its secret. Only the answers to what made the secret have it.
type newWebhookSecret struct {
	webhookDocument
	Secret string `json:"secret,omitempty"`
}

// webhookTestDocument is what came of a test.
type webhookTestDocument struct {
	Delivered    bool   `json:"delivered"`
	Status       int    `json:"status,omitempty" doc:"Of the target's answer."`
	Error        string `json:"error,omitempty"`
	Milliseconds int64  `json:"milliseconds"`
}

func webhookDocumentOf(v node.Webhook) webhookDocument {
	d := webhookDocument{
		Name: v.Name, URL: v.URL, Description: v.Description, Types: list(v.Filter.Types), Subject: v.Filter.Subject, AllowPrivate: v.Private,
		Enabled: v.Paused == "", Created: v.Created, OldSecret: unlessZero(v.OldSecret),
		Delivery: deliveryDocument{
			Replica: v.Delivering, Cursor: strconv.FormatUint(v.Cursor, 10), Success: unlessZero(v.Success), Failing: unlessZero(v.Failing),
			Attempts: v.Attempts, RetryAt: unlessZero(v.RetryAt), Error: v.Error,
		},
	}
	if !v.Filter.User.IsZero() {
		d.User = v.Filter.User.String()
	}
	if v.Paused != "" {
		d.Paused = &pausedDocument{v.Paused, v.PausedText}
	}
	return d
}

func unlessZero(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// listWebhooks serves GET /webhooks.
func (a *api) listWebhooks(w http.ResponseWriter, r *http.Request) {
	all, err := a.n.Webhooks()
	if err != nil {
		fail(w, r, a.n, err)
		return
	}
	documents := make([]webhookDocument, 0, len(all))
	for _, v := range all {
		documents = append(documents, webhookDocumentOf(v))
	}
	writeJSON(w, http.StatusOK, webhooksDocument{documents})
}

// showWebhook serves GET /webhooks/{name}.
func (a *api) showWebhook(w http.ResponseWriter, r *http.Request) {
	name := chi.URLParam(r, "name")
	v, err := a.n.Webhook(name)
	var lag node.WebhookLag
	if err == nil {
		lag, err = a.n.Lag(r.Context(), name)
	}
	if err != nil {
		fail(w, r, a.n, err)
		return
	}
	d := webhookDocumentOf(v)
	d.Delivery.Lag = &lagDocument{lag.Events, lag.More, int64(lag.Behind.Seconds()), lag.Trimmed}
	writeJSON(w, http.StatusOK, d)
}

// answerWebhook answers with a webhook, and with a secret that was made for it, unless err is an error.
func (a *api) answerWebhook(w http.ResponseWriter, r *http.Request, status int, name, secret string, err error) {
	var v node.Webhook
	if err == nil {
		v, err = a.n.Webhook(name)
	}
	if err != nil {
		fail(w, r, a.n, err)
		return
	}
	if status == http.StatusCreated {
		w.Header().Set("Location", "/webhooks/"+v.Name)
	}
	writeJSON(w, status, newWebhookSecret{webhookDocumentOf(v), secret})
}

// createWebhook serves POST /webhooks.
func (a *api) createWebhook(w http.ResponseWriter, r *http.Request) {
	nw := node.NewWebhook{After: node.EventsFromNow}
	var user, after string
	enabled := true
	o := a.origin(r)
	err := readJSON(w, r, members{
		"name": &nw.Name, "url": &nw.URL, "description": &nw.Description, "types": &nw.Filter.Types, "subject": &nw.Filter.Subject, "user": &user,
		"allow_private": &nw.Private, "enabled": &enabled, "secret": &nw.Secret, "after": &after, "reason": &o.Reason,
	}, "name", "url")
	if err == nil && user != "" {
		err = setID(&nw.Filter.User, "user", user)
	}
	if err == nil && after != "" {
		err = setPosition(&nw.After, "member \"after\"", after)
	}
	nw.Paused = !enabled
	var secret string
	if err == nil {
		ctx, cancel := commandContext(r, a.logoutWait)
		defer cancel()
		secret, err = a.n.CreateWebhook(ctx, nw, o)
	}
	a.answerWebhook(w, r, http.StatusCreated, nw.Name, secret, err)
}

// updateWebhook serves PATCH /webhooks/{name}: what is not named stays. That it is enabled or not is a command of its own, after the
// change.
func (a *api) updateWebhook(w http.ResponseWriter, r *http.Request) {
	var ch node.WebhookChange
	var user *string
	var enabled *bool
	o := a.origin(r)
	name := chi.URLParam(r, "name")
	err := readJSON(w, r, members{
		"url": &ch.URL, "description": &ch.Description, "types": &ch.Types, "subject": &ch.Subject, "user": &user,
		"allow_private": &ch.Private, "enabled": &enabled, "reason": &o.Reason,
	})
	if err == nil && user != nil {
		ch.User = new(events.ID)
		if *user != "" {
			err = setID(ch.User, "user", *user)
		}
	}
	changes := ch.URL != nil || ch.Description != nil || ch.Types != nil || ch.Subject != nil || ch.User != nil || ch.Private != nil
	if err == nil && !changes && enabled == nil {
		err = badRequest("nothing is to be changed: give url, description, types, subject, user, allow_private or enabled")
	}
	ctx, cancel := commandContext(r, a.logoutWait)
	defer cancel()
	if err == nil && changes {
		err = a.n.ChangeWebhook(ctx, name, ch, o)
	}
	if err == nil && enabled != nil {
		set := a.n.PauseWebhook
		if *enabled {
			set = a.n.ResumeWebhook
		}
		err = set(ctx, name, o)
	}
	a.answerWebhook(w, r, http.StatusOK, name, "", err)
}

// rotateWebhook serves POST /webhooks/{name}/secret. Without a secret in the body one is made; it is answered once.
func (a *api) rotateWebhook(w http.ResponseWriter, r *http.Request) {
	var secret string
	overlap := int64(defaultOverlap / time.Second)
	o := a.origin(r)
	name := chi.URLParam(r, "name")
	empty, err := emptyBody(w, r)
	if err == nil && !empty {
		err = readJSON(w, r, members{"secret": &secret, "overlap_seconds": &overlap, "reason": &o.Reason})
	}
	if err == nil && overlap > int64(365*24*time.Hour/time.Second) {
		err = badRequest("member \"overlap_seconds\" is too large") // for a Duration
	}
	if err == nil {
		ctx, cancel := commandContext(r, a.logoutWait)
		defer cancel()
		secret, err = a.n.RotateWebhookSecret(ctx, name, secret, time.Duration(overlap)*time.Second, o)
	}
	a.answerWebhook(w, r, http.StatusOK, name, secret, err)
}

// replayWebhook serves POST /webhooks/{name}/replay.
func (a *api) replayWebhook(w http.ResponseWriter, r *http.Request) {
	var text string
	var after uint64
	o := a.origin(r)
	err := readJSON(w, r, members{"after": &text, "reason": &o.Reason}, "after")
	if err == nil {
		err = setPosition(&after, "member \"after\"", text)
	}
	if err != nil {
		fail(w, r, a.n, err)
		return
	}
	a.revoke(w, r, func(ctx context.Context) error { return a.n.SetWebhookCursor(ctx, chi.URLParam(r, "name"), after, o) })
}

// testWebhook serves POST /webhooks/{name}/test.
func (a *api) testWebhook(w http.ResponseWriter, r *http.Request) {
	o := a.origin(r)
	empty, err := emptyBody(w, r)
	if err == nil && !empty {
		err = readJSON(w, r, members{"reason": &o.Reason})
	}
	var t node.WebhookTest
	if err == nil {
		t, err = a.n.TestWebhook(r.Context(), chi.URLParam(r, "name"), o)
	}
	if err != nil {
		fail(w, r, a.n, err)
		return
	}
	writeJSON(w, http.StatusOK, webhookTestDocument{t.Error == "", t.Status, t.Error, t.Took.Milliseconds()})
}

// webhookCommand serves a command upon the webhook whose name is in the path.
func (a *api) webhookCommand(command func(context.Context, string, node.Origin) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		o := a.origin(r)
		empty, err := emptyBody(w, r)
		if err == nil && !empty {
			err = readJSON(w, r, members{"reason": &o.Reason})
		}
		if err != nil {
			fail(w, r, a.n, err)
			return
		}
		a.revoke(w, r, func(ctx context.Context) error { return command(ctx, chi.URLParam(r, "name"), o) })
	}
}
