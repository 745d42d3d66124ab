package httpapi

import (
	"net/http"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/node"
)

// profile serves GET /profile: what the credential says about its bearer.
func (a *api) profile(w http.ResponseWriter, r *http.Request) {
	id, _ := IdentityFrom(r.Context()) // Authenticate stands before
	var name string
	if userID, err := events.ParseID(id.Subject()); err == nil { // a client's own token has no user
		user, _ := a.n.UserByID(userID)
		name = user.Name
	}
	var session string
	if id.Kind() == node.KindSession {
		session = id.Session().String()
	}
	writeJSON(w, http.StatusOK, struct {
		Subject string    `json:"sub"`
		Name    string    `json:"name,omitempty"`
		Scope   string    `json:"scope"`
		Roles   []string  `json:"roles"`
		Kind    string    `json:"kind"` // of the credential
		Session string    `json:"session,omitempty"`
		Expires time.Time `json:"expires,omitzero"`
	}{id.Subject(), name, id.Scope(), list(id.Roles()), id.Kind().String(), session, id.Expires().UTC()})
}

// list returns s, or an empty list instead of none, since clients stumble over null.
func list(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}
