package httpapi

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/node"
)

// OwnAccount is what users do with their own account.
type OwnAccount interface {
	ChangePassword(context.Context, node.PasswordChange) error
}

// firstPartyOnly refuses tokens that were issued to a client. The log-in page tells a user what the client gets to know, and the
// user's other sessions and password are not among that, whatever its scopes. It stands behind Authenticate.
func firstPartyOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if id, ok := IdentityFrom(r.Context()); !ok || id.Client() != "" {
			fail(w, r, nil, node.ErrThirdParty)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// profileDocument is who a credential's bearer is, and what the credential may do.
type profileDocument struct {
	ID       string    `json:"id"`
	Username string    `json:"username,omitempty"`
	Email    string    `json:"email,omitempty"`
	FullName string    `json:"full_name,omitempty"`
	Roles    []string  `json:"roles"`
	Scope    string    `json:"scope"`
	Client   string    `json:"client_id,omitempty"`
	Kind     string    `json:"kind" doc:"Of the credential: \"session\", \"api_key\" or \"basic\"."`
	Session  string    `json:"session,omitempty"`
	Expires  time.Time `json:"expires,omitzero"`
}

// profile serves GET /profile. A client's own token has an id and no name; one that was issued to a client for a user has the email
// address only with the scope email, as at /userinfo; only an access token has a session.
func (a *api) profile(w http.ResponseWriter, r *http.Request) {
	id, _ := IdentityFrom(r.Context()) // Authenticate stands before
	var user node.User
	if userID, err := events.ParseID(id.Subject()); err == nil {
		if user, err = a.n.User(userID); err != nil {
			fail(w, r, a.n, err)
			return
		}
	}
	if id.Client() != "" && !id.HasScope("email") {
		user.Email = ""
	}
	var session string
	if id.Kind() == node.KindSession {
		session = id.Session().String()
	}
	writeJSON(w, http.StatusOK, profileDocument{
		id.Subject(), user.Name, user.Email, user.FullName, list(id.Roles()), id.Scope(), id.Client(), id.Kind().String(), session,
		id.Expires().UTC(),
	})
}

// changePassword serves POST /profile/password: it ends the user's other sessions, and the one of the token goes on.
func (a *api) changePassword(w http.ResponseWriter, r *http.Request) {
	id, _ := IdentityFrom(r.Context())
	c := node.PasswordChange{Session: id.Session(), Origin: a.origin(r)}
	var err error
	if c.User, err = events.ParseID(id.Subject()); err == nil { // firstPartyOnly stands before
		err = readJSON(w, r, members{"old_password": &c.Old, "new_password": &c.New}, "old_password", "new_password")
	}
	if err != nil {
		fail(w, r, a.n, err)
		return
	}
	a.revoke(w, r, func(ctx context.Context) error { return a.n.ChangePassword(ctx, c) })
}

// list returns s, or an empty list instead of none, since clients stumble over null.
func list(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

// joinScope returns scopes as RFC 6749 section 3.3 writes them.
func joinScope(scopes []string) string { return strings.Join(scopes, " ") }
