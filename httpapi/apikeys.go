package httpapi

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/node"
)

// APIKeys administers API keys.
type APIKeys interface {
	APIKeys(user events.ID) []node.APIKey
	CreateAPIKey(context.Context, node.NewAPIKey, node.Origin) (node.APIKey, string, error)
	RotateAPIKey(ctx context.Context, user, key events.ID, overlap time.Duration, o node.Origin) (node.APIKey, string, error)
	RevokeAPIKey(ctx context.Context, user, key events.ID, o node.Origin) error
}

// keyOwner returns whose keys r is about: those of the user in the path, or one's own.
func (a *api) keyOwner(r *http.Request) (events.ID, error) {
	if name := chi.URLParam(r, "id"); name != "" {
		id, err := events.ParseID(name)
		if _, known := a.n.UserByID(id); err != nil || !known {
			return events.ID{}, node.ErrNotFound
		}
		return id, nil
	}
	id, _ := IdentityFrom(r.Context()) // Authenticate, RequireScope, RequireSession and firstPartyOnly stand before
	return events.ParseID(id.Subject())
}

// ownedKey is keyOwner, and the key in the path.
func (a *api) ownedKey(r *http.Request) (user, key events.ID, err error) {
	if user, err = a.keyOwner(r); err != nil {
		return user, key, err
	}
	if key, err = events.ParseID(chi.URLParam(r, "key")); err != nil {
		return user, key, node.ErrNotFound
	}
	return user, key, nil
}

// keyDocument is an API key as JSON. Key is its text, in the answer that makes it.
type keyDocument struct {
	ID         string     `json:"id"`
	Name       string     `json:"name"`
	Scopes     []string   `json:"scopes"`
	Created    time.Time  `json:"created"`
	Expires    *time.Time `json:"expires" doc:"Null: never."`
	OldExpires *time.Time `json:"old_expires,omitempty" doc:"When the secret before the last rotation ends."`
	LastUsed   *time.Time `json:"last_used" doc:"Null: not yet. To about an hour."`
	Key        string     `json:"key,omitempty" doc:"Its text, which is answered once."`
}

// apiKeysDocument is a list of API keys.
type apiKeysDocument struct {
	Keys []keyDocument `json:"api_keys"`
}

func keyDocumentOf(k node.APIKey, text string) keyDocument {
	optional := func(t time.Time) *time.Time {
		if t.IsZero() {
			return nil
		}
		return &t
	}
	return keyDocument{k.ID.String(), k.Name, list(k.Scope), k.Created, optional(k.Expires), optional(k.OldExpires), optional(k.LastUsed), text}
}

// listAPIKeys serves GET /api-keys and GET /users/{id}/api-keys.
func (a *api) listAPIKeys(w http.ResponseWriter, r *http.Request) {
	user, err := a.keyOwner(r)
	if err != nil {
		fail(w, r, a.n, err)
		return
	}
	documents := []keyDocument{}
	for _, k := range a.n.APIKeys(user) {
		documents = append(documents, keyDocumentOf(k, ""))
	}
	writeJSON(w, http.StatusOK, apiKeysDocument{documents})
}

// keyWithin refuses to show the text of a key that may do more than the access token which asks for it: whoever has the text may do what
// the key may. On the local socket there is no token.
func keyWithin(r *http.Request, scopes []string) error {
	id, ok := IdentityFrom(r.Context())
	switch {
	case !ok || hasScopes(id, scopes):
		return nil
	case slices.ContainsFunc(scopes, func(s string) bool { return !isScopeToken(s) }):
		return node.ErrInvalidScope
	}
	return missingScope(scopes)
}

// createAPIKey serves POST /api-keys, and POST /users/{id}/api-keys on the local socket.
func (a *api) createAPIKey(w http.ResponseWriter, r *http.Request) {
	user, err := a.keyOwner(r)
	var nk node.NewAPIKey
	o := a.origin(r)
	var life *int64
	if err == nil {
		err = readJSON(w, r, members{"name": &nk.Name, "scopes": &nk.Scope, "expires_in": &life, "reason": &o.Reason}, "name", "scopes")
	}
	if err == nil && life != nil {
		nk.Life, err = keyLife(*life)
	}
	if err == nil {
		err = keyWithin(r, nk.Scope)
	}
	a.showKey(w, r, http.StatusCreated, err, func(ctx context.Context) (node.APIKey, string, error) {
		nk.User = user
		return a.n.CreateAPIKey(ctx, nk, o)
	})
}

// keyLife returns the life of a key for a number of seconds; 0 means for ever.
func keyLife(seconds int64) (time.Duration, error) {
	switch {
	case seconds == 0:
		return node.KeyForEver, nil
	case seconds < 0 || seconds > int64(node.MaxKeyLife/time.Second):
		return 0, badRequest("member \"expires_in\" must be 1 to %d seconds, or 0 for a key that does not expire", int64(node.MaxKeyLife/time.Second))
	}
	return time.Duration(seconds) * time.Second, nil
}

// rotateAPIKey serves POST /api-keys/{key}/rotate. The member overlap says for how many seconds the old secret stays good.
func (a *api) rotateAPIKey(w http.ResponseWriter, r *http.Request) {
	user, key, err := a.ownedKey(r)
	o := a.origin(r)
	overlap := new(int64)
	var empty bool
	if err == nil {
		empty, err = emptyBody(w, r)
	}
	if err == nil && !empty {
		err = readJSON(w, r, members{"overlap": &overlap, "reason": &o.Reason})
	}
	if limit := int64(node.MaxKeyOverlap / time.Second); err == nil && (*overlap < 0 || *overlap > limit) {
		err = badRequest("member \"overlap\" must be 0 to %d seconds", limit)
	}
	if err == nil {
		err = a.mayRotate(r, user, key)
	}
	a.showKey(w, r, http.StatusOK, err, func(ctx context.Context) (node.APIKey, string, error) {
		return a.n.RotateAPIKey(ctx, user, key, time.Duration(*overlap)*time.Second, o)
	})
}

// mayRotate looks at the scopes of a key, which never change.
func (a *api) mayRotate(r *http.Request, user, key events.ID) error {
	for _, k := range a.n.APIKeys(user) {
		if k.ID == key {
			return keyWithin(r, k.Scope)
		}
	}
	return errNoKey
}

// showKey runs a command that makes a secret, unless err says that it must not, and answers with the key and its text.
func (a *api) showKey(w http.ResponseWriter, r *http.Request, status int, err error,
	command func(context.Context) (node.APIKey, string, error)) {
	var k node.APIKey
	var text string
	if err == nil {
		ctx, cancel := commandContext(r, a.logoutWait)
		defer cancel()
		k, text, err = command(ctx)
	}
	if err != nil {
		fail(w, r, a.n, err)
		return
	}
	writeJSON(w, status, keyDocumentOf(k, text))
}

// revokeAPIKey serves DELETE /api-keys/{key} and DELETE /users/{id}/api-keys/{key}.
func (a *api) revokeAPIKey(w http.ResponseWriter, r *http.Request) {
	user, key, err := a.ownedKey(r)
	if err != nil {
		fail(w, r, a.n, err)
		return
	}
	o := a.origin(r)
	a.revoke(w, r, func(ctx context.Context) error {
		err := a.n.RevokeAPIKey(ctx, user, key, o)
		if errors.Is(err, node.ErrNotFound) {
			return errNoKey
		}
		return err
	})
}
