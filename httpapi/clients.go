package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/knell-auth/knell/node"
)

// Clients administers OAuth clients.
type Clients interface {
	Clients() ([]node.Client, error)
	ClientByID(id string) (node.Client, error)
	CreateClient(context.Context, node.NewClient, node.Origin) error
	ChangeClient(ctx context.Context, id string, ch node.ClientChange, o node.Origin) error
	RotateClientSecret(ctx context.Context, id, secret string, overlap time.Duration, o node.Origin) error
	DisableClient(ctx context.Context, id string, o node.Origin) error
	EnableClient(ctx context.Context, id string, o node.Origin) error
	DeleteClient(ctx context.Context, id string, o node.Origin) error
}

// defaultOverlap is how long an old client secret stays good unless the request says otherwise.
const defaultOverlap = 24 * time.Hour

// clientDocument is a client as JSON.
type clientDocument struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Scopes    []string   `json:"scopes"`
	Public    bool       `json:"public"`
	Redirects []string   `json:"redirect_uris"`
	Disabled  bool       `json:"disabled"`
	Created   time.Time  `json:"created"`
	OldSecret *time.Time `json:"old_secret_expires,omitempty"`
}

// clientsDocument is a list of clients.
type clientsDocument struct {
	Clients []clientDocument `json:"clients"`
}

func clientDocumentOf(c node.Client) clientDocument {
	d := clientDocument{c.ID, c.Name, list(c.Scope), c.Public, list(c.Redirects), c.Disabled, c.Created.UTC(), nil}
	if !c.OldSecret.IsZero() {
		d.OldSecret = &c.OldSecret
	}
	return d
}

// newSecret is a client with the secret that was made for it. No other answer has it.
type newSecret struct {
	clientDocument
	Secret string `json:"secret,omitempty"`
}

// listClients serves GET /clients.
func (a *api) listClients(w http.ResponseWriter, r *http.Request) {
	clients, err := a.n.Clients()
	if err != nil {
		fail(w, r, a.n, err)
		return
	}
	documents := make([]clientDocument, 0, len(clients))
	for _, c := range clients {
		documents = append(documents, clientDocumentOf(c))
	}
	writeJSON(w, http.StatusOK, clientsDocument{documents})
}

// showClient serves GET /clients/{id}.
func (a *api) showClient(w http.ResponseWriter, r *http.Request) {
	a.answerClient(w, r, http.StatusOK, chi.URLParam(r, "id"), "", nil)
}

// answerClient answers with a client, and with a secret that was made for it, unless err is an error.
func (a *api) answerClient(w http.ResponseWriter, r *http.Request, status int, id, secret string, err error) {
	var c node.Client
	if err == nil {
		c, err = a.n.ClientByID(id)
	}
	if err != nil {
		fail(w, r, a.n, err)
		return
	}
	if status == http.StatusCreated {
		w.Header().Set("Location", "/clients/"+c.ID)
	}
	writeJSON(w, status, newSecret{clientDocumentOf(c), secret})
}

// createClient serves POST /clients. A client with a secret, or the hash of one, is confidential, and so is one of which this is
// said: its secret is made here and answered once. Any other one is public.
func (a *api) createClient(w http.ResponseWriter, r *http.Request) {
	var c node.NewClient
	var confidential bool
	o := a.origin(r)
	err := readJSON(w, r, members{
		"id": &c.ID, "name": &c.Name, "secret": &c.Secret, "hash": &c.Hash, "confidential": &confidential, "scopes": &c.Scope,
		"redirect_uris": &c.Redirects, "reason": &o.Reason,
	}, "id")
	var made string
	if confidential && c.Secret == "" && c.Hash == "" {
		made = node.NewClientSecret()
		c.Secret = made
	}
	if err == nil {
		ctx, cancel := commandContext(r, a.logoutWait)
		defer cancel()
		err = a.n.CreateClient(ctx, c, o)
	}
	a.answerClient(w, r, http.StatusCreated, c.ID, made, err)
}

// updateClient serves PATCH /clients/{id}: what is not named stays.
func (a *api) updateClient(w http.ResponseWriter, r *http.Request) {
	var ch node.ClientChange
	o := a.origin(r)
	id := chi.URLParam(r, "id")
	err := readJSON(w, r, members{"name": &ch.Name, "scopes": &ch.Scope, "redirect_uris": &ch.Redirects, "reason": &o.Reason})
	if err == nil && ch.Name == nil && ch.Scope == nil && ch.Redirects == nil {
		err = badRequest("nothing is to be changed: give name, scopes or redirect_uris")
	}
	if err == nil {
		ctx, cancel := commandContext(r, a.logoutWait)
		defer cancel()
		err = a.n.ChangeClient(ctx, id, ch, o)
	}
	a.answerClient(w, r, http.StatusOK, id, "", err)
}

// rotateSecret serves POST /clients/{id}/secret. Without a secret in the body one is made and answered once.
func (a *api) rotateSecret(w http.ResponseWriter, r *http.Request) {
	var secret, made string
	overlap := int64(defaultOverlap / time.Second)
	o := a.origin(r)
	id := chi.URLParam(r, "id")
	empty, err := emptyBody(w, r)
	if err == nil && !empty {
		err = readJSON(w, r, members{"secret": &secret, "overlap_seconds": &overlap, "reason": &o.Reason})
	}
	if err == nil && overlap > int64(365*24*time.Hour/time.Second) {
		err = badRequest("member \"overlap_seconds\" is too large") // for a Duration
	}
	if secret == "" {
		made = node.NewClientSecret()
		secret = made
	}
	if err == nil {
		ctx, cancel := commandContext(r, a.logoutWait)
		defer cancel()
		err = a.n.RotateClientSecret(ctx, id, secret, time.Duration(overlap)*time.Second, o)
	}
	a.answerClient(w, r, http.StatusOK, id, made, err)
}

// clientCommand serves a command upon the client whose id is in the path, which is done when every replica follows it. The body
// may have a reason.
func (a *api) clientCommand(command func(context.Context, string, node.Origin) error) http.HandlerFunc {
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
		a.revoke(w, r, func(ctx context.Context) error { return command(ctx, chi.URLParam(r, "id"), o) })
	}
}
