package httpapi

import (
	"net/http"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/node"
)

// userInfo serves GET and POST /userinfo (OpenID Connect Core 1.0 section 5.3): the user's id, and what the scopes of the token
// add to it.
func (a *api) userInfo(w http.ResponseWriter, r *http.Request) {
	id, _ := IdentityFrom(r.Context()) // Authenticate stands before
	var user node.User
	userID, err := events.ParseID(id.Subject())
	known := err == nil // a client's own token has no user
	if known {
		user, known = a.n.UserByID(userID)
	}
	if !known {
		fail(w, r, a.n, node.ErrRevoked) // deleted since the token was verified
		return
	}
	claims := struct {
		Subject  string `json:"sub"`
		Name     string `json:"name,omitempty"`
		Username string `json:"preferred_username,omitempty"`
		Email    string `json:"email,omitempty"`
	}{Subject: id.Subject()}
	if id.HasScope("profile") {
		claims.Name, claims.Username = user.FullName, user.Name
	}
	if id.HasScope("email") {
		claims.Email = user.Email
	}
	writeJSON(w, http.StatusOK, claims)
}
