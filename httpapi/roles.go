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

// roleRoutes adds the administration of roles.
func (a *api) roleRoutes(r chi.Router) {
	get(r, "/roles", a.listRoles)
	r.Put("/roles/{role}", a.setRole)
}

// listRoles serves GET /roles: the roles that give scopes.
func (a *api) listRoles(w http.ResponseWriter, _ *http.Request) {
	type document struct {
		Name   string   `json:"name"`
		Scopes []string `json:"scopes"`
	}
	documents := []document{}
	for _, role := range a.n.Roles() {
		documents = append(documents, document{role.Name, list(role.Scope)})
	}
	writeJSON(w, http.StatusOK, map[string][]document{"roles": documents})
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
