package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/node"
)

// Grants lets others read the public events over NATS.
type Grants interface {
	GrantEvents(context.Context, node.NewGrant, node.Origin) (node.Grant, error)
	RevokeGrant(ctx context.Context, name string, o node.Origin) error
	Grants(context.Context) ([]node.GrantState, error)
}

// grantDocument is a grant as JSON.
type grantDocument struct {
	Name     string    `json:"name"`
	NKey     string    `json:"nkey"`
	Stream   string    `json:"stream"`
	Consumer string    `json:"consumer"`
	Inbox    string    `json:"inbox_prefix"`
	After    uint64    `json:"after"`
	Granted  time.Time `json:"granted"`
	Outside  bool      `json:"outside"`
}

// grantStateDocument is a grant with how far its reader is.
type grantStateDocument struct {
	grantDocument
	Connections int             `json:"connections_here"`
	LogFirst    uint64          `json:"log_first"`
	Behind      bool            `json:"behind_log"`
	Reader      *readerDocument `json:"reader"`
}

// readerDocument is how far a reader is, in sequences of the log.
type readerDocument struct {
	Acked       uint64     `json:"acknowledged"`
	AckedAt     *time.Time `json:"acknowledged_at"`
	Delivered   uint64     `json:"delivered"`
	Pending     uint64     `json:"pending"`
	Unacked     int        `json:"unacknowledged"`
	Redelivered int        `json:"redelivered"`
	Waiting     int        `json:"waiting"`
}

// grantsDocument is a list of grants.
type grantsDocument struct {
	Grants []grantStateDocument `json:"grants"`
}

// streamName is the stream that readers name in their requests.
const streamName = "KNELL"

func grantDocumentOf(g node.Grant) grantDocument {
	return grantDocument{g.Name, g.Key, streamName, g.Consumer, events.ReaderInbox + g.Name, g.After, g.Granted, g.Outside}
}

func grantStateDocumentOf(g node.GrantState) grantStateDocument {
	d := grantStateDocument{grantDocument: grantDocumentOf(g.Grant), Connections: g.Here, LogFirst: g.First, Behind: g.Behind()}
	if r := g.Reader; r != nil {
		d.Reader = &readerDocument{
			Acked: r.Acked, Delivered: r.Delivered, Pending: r.Pending, Unacked: r.Unacked, Redelivered: r.Redelivered, Waiting: r.Waiting,
		}
		if !r.AckedAt.IsZero() {
			d.Reader.AckedAt = &r.AckedAt
		}
	}
	return d
}

// grantEvents serves POST /event-grants. No secret is in it: whoever is to read has made the key.
func (a *api) grantEvents(w http.ResponseWriter, r *http.Request) {
	var ng node.NewGrant
	var after int64
	var since string
	o := a.origin(r)
	err := readJSON(w, r, members{"name": &ng.Name, "nkey": &ng.Key, "after": &after, "since": &since, "reason": &o.Reason}, "name", "nkey")
	if err == nil && after < 0 {
		err = badRequest("member \"after\" must be a sequence, 0 or more")
	}
	if err == nil && since != "" {
		if ng.Since, err = time.Parse(time.RFC3339, since); err != nil {
			err = badRequest("member \"since\" must be a time such as 2026-01-02T15:04:05Z (RFC 3339)")
		}
	}
	var g node.Grant
	if err == nil {
		ng.After = uint64(after)
		ctx, cancel := commandContext(r, a.logoutWait)
		defer cancel()
		g, err = a.n.GrantEvents(ctx, ng, o)
	}
	if err != nil {
		fail(w, r, a.n, err)
		return
	}
	writeJSON(w, http.StatusCreated, grantDocumentOf(g))
}

// listGrants serves GET /event-grants.
func (a *api) listGrants(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := commandContext(r, a.logoutWait)
	defer cancel()
	grants, err := a.n.Grants(ctx)
	if err != nil {
		fail(w, r, a.n, err)
		return
	}
	documents := make([]grantStateDocument, 0, len(grants))
	for _, g := range grants {
		documents = append(documents, grantStateDocumentOf(g))
	}
	writeJSON(w, http.StatusOK, grantsDocument{documents})
}

// revokeGrant serves DELETE /event-grants/{name}.
func (a *api) revokeGrant(w http.ResponseWriter, r *http.Request) {
	o := a.origin(r)
	a.revoke(w, r, func(ctx context.Context) error { return a.n.RevokeGrant(ctx, chi.URLParam(r, "name"), o) })
}
