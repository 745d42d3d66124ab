package httpapi

import (
	"net/http"
	"time"

	"github.com/knell-auth/knell/events"
)

// profileDocument is what a token says about its bearer.
type profileDocument struct {
	Subject string    `json:"sub"`
	Name    string    `json:"name,omitempty"`
	Scope   string    `json:"scope"`
	Roles   []string  `json:"roles"`
	Session string    `json:"session"`
	Expires time.Time `json:"expires"`
}

// profile serves GET /profile: what the token says about its bearer.
func (a *api) profile(w http.ResponseWriter, r *http.Request) {
	id, _ := IdentityFrom(r.Context()) // Authenticate stands before
	var name string
	if userID, err := events.ParseID(id.Subject()); err == nil { // a client's own token has no user
		user, _ := a.n.UserByID(userID)
		name = user.Name
	}
	writeJSON(w, http.StatusOK, profileDocument{id.Subject(), name, id.Scope(), list(id.Roles()), id.Session().String(), id.Expires().UTC()})
}

// list returns s, or an empty list instead of none, since clients stumble over null.
func list(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}
