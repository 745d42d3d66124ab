package httpapi

import (
	"errors"
	"net/http"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/node"
)

// userInfoDocument are the claims about a user.
type userInfoDocument struct {
	Subject  string `json:"sub"`
	Name     string `json:"name,omitempty"`
	Username string `json:"preferred_username,omitempty"`
	Email    string `json:"email,omitempty"`
}

// userInfo serves GET and POST /userinfo (OpenID Connect Core 1.0 section 5.3): the user's id, and what the scopes of the token
// add to it.
func (a *api) userInfo(w http.ResponseWriter, r *http.Request) {
	id, _ := IdentityFrom(r.Context()) // Authenticate stands before
	userID, err := events.ParseID(id.Subject())
	if err != nil { // a client's own token, which cannot have the scope
		fail(w, r, a.n, node.ErrInvalidToken)
		return
	}
	user, err := a.n.User(userID)
	if errors.Is(err, node.ErrNotFound) { // deleted since the token was verified
		err = node.ErrRevoked
	}
	if err != nil {
		fail(w, r, a.n, err)
		return
	}
	claims := userInfoDocument{Subject: id.Subject()}
	if id.HasScope("profile") {
		claims.Name, claims.Username = user.FullName, user.Name
	}
	if id.HasScope("email") {
		claims.Email = user.Email
	}
	writeJSON(w, http.StatusOK, claims)
}
