package httpapi

import (
	"context"
	"net/http"
	"net/url"

	"github.com/go-chi/chi/v5"

	"github.com/knell-auth/knell/node"
)

// Roles administers what roles give.
type Roles interface {
	Roles() []node.Role
	SetRoleScopes(ctx context.Context, role string, scope []string, o node.Origin) error
}

// roleDocument is a role as JSON.
type roleDocument struct {
	Name   string   `json:"name"`
	Scopes []string `json:"scopes"`
}

// rolesDocument is a list of roles.
type rolesDocument struct {
	Roles []roleDocument `json:"roles"`
}

// listRoles serves GET /roles: the roles of which was said what they give.
func (a *api) listRoles(w http.ResponseWriter, _ *http.Request) {
	documents := []roleDocument{}
	for _, role := range a.n.Roles() {
		documents = append(documents, roleDocument{role.Name, list(role.Scope)})
	}
	writeJSON(w, http.StatusOK, rolesDocument{documents})
}

// setRole serves PUT /roles/{role}: it replaces the scopes that a role gives.
func (a *api) setRole(w http.ResponseWriter, r *http.Request) {
	var scopes []string
	o := a.origin(r)
	if err := readJSON(w, r, members{"scopes": &scopes, "reason": &o.Reason}, "scopes"); err != nil {
		fail(w, r, a.n, err)
		return
	}
	role := chi.URLParam(r, "role")
	if r.URL.RawPath != "" { // then chi has not looked at the path without its escapes
		role, _ = url.PathUnescape(role)
	}
	a.revoke(w, r, func(ctx context.Context) error { return a.n.SetRoleScopes(ctx, role, scopes, o) })
}
