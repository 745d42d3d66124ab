package httpapi

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/node"
)

// userDocument is a user as JSON.
type userDocument struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Roles    []string  `json:"roles"`
	Scopes   []string  `json:"scopes"`
	Disabled bool      `json:"disabled"`
	Created  time.Time `json:"created"`
	Sessions int       `json:"sessions"`
}

// usersDocument is a list of users.
type usersDocument struct {
	Users []userDocument `json:"users"`
}

// clientDocument is an OAuth client as JSON.
type clientDocument struct {
	ID     string   `json:"id"`
	Name   string   `json:"name"`
	Scopes []string `json:"scopes"`
	Public bool     `json:"public"`
}

func documentOf(u node.User) userDocument {
	return userDocument{u.ID.String(), u.Name, list(u.Roles), list(u.Scope), u.Disabled, u.Created.UTC(), u.Sessions}
}

// listUsers serves GET /users; the query parameter name asks for one user.
func (a *api) listUsers(w http.ResponseWriter, r *http.Request) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	names := query["name"]
	if err != nil || len(query) > 1 || len(query) == 1 && len(names) != 1 {
		fail(w, r, a.n, badRequest("the only query parameter is name"))
		return
	}
	var users []node.User
	if len(names) == 0 {
		users = a.n.Users()
	} else if u, ok := a.n.UserByName(names[0]); ok {
		users = append(users, u)
	}
	documents := make([]userDocument, 0, len(users))
	for _, u := range users {
		documents = append(documents, documentOf(u))
	}
	writeJSON(w, http.StatusOK, usersDocument{documents})
}

// createUser serves POST /users.
func (a *api) createUser(w http.ResponseWriter, r *http.Request) {
	var u node.NewUser
	o := a.origin(r)
	err := readJSON(w, r, members{
		"name": &u.Name, "password": &u.Password, "hash": &u.Hash, "roles": &u.Roles, "scopes": &u.Scope,
		"disabled": &u.Disabled, "reason": &o.Reason,
	}, "name")
	if err == nil && (u.Password == "") == (u.Hash == "") {
		err = badRequest("exactly one of the members \"password\" and \"hash\" must be given")
	}
	var created node.User
	if err == nil {
		ctx, cancel := commandContext(r, a.logoutWait)
		defer cancel()
		created, err = a.n.CreateUser(ctx, u, o)
	}
	if err != nil {
		fail(w, r, a.n, err)
		return
	}
	w.Header().Set("Location", "/users/"+created.ID.String())
	writeJSON(w, http.StatusCreated, documentOf(created))
}

// disableUser serves POST /users/{id}/disable. It ends the user's sessions.
func (a *api) disableUser(w http.ResponseWriter, r *http.Request) {
	a.changeUser(w, r, nil, a.n.DisableUser)
}

// enableUser serves POST /users/{id}/enable.
func (a *api) enableUser(w http.ResponseWriter, r *http.Request) {
	a.changeUser(w, r, nil, a.n.EnableUser)
}

// unlockUser serves POST /users/{id}/unlock: failed guesses at the user's password are forgotten.
func (a *api) unlockUser(w http.ResponseWriter, r *http.Request) {
	a.changeUser(w, r, nil, a.n.UnlockUser)
}

// logoutUser serves POST /users/{id}/logout: it ends all sessions of the user.
func (a *api) logoutUser(w http.ResponseWriter, r *http.Request) {
	a.changeUser(w, r, nil, a.n.RevokeUser)
}

// setPassword serves POST /users/{id}/password. It ends the user's sessions.
func (a *api) setPassword(w http.ResponseWriter, r *http.Request) {
	var password string
	a.changeUser(w, r, members{"password": &password}, func(ctx context.Context, id events.ID, o node.Origin) error {
		return a.n.SetPassword(ctx, id, password, o)
	})
}

// setRoles serves POST /users/{id}/roles: it replaces roles and scopes. Both are required, so that none is emptied by
// being forgotten.
func (a *api) setRoles(w http.ResponseWriter, r *http.Request) {
	var roles, scopes []string
	a.changeUser(w, r, members{"roles": &roles, "scopes": &scopes}, func(ctx context.Context, id events.ID, o node.Origin) error {
		return a.n.SetRoles(ctx, id, roles, scopes, o)
	})
}

// changeUser runs a command upon the user whose id is in the path. The body must have the members in m; it may have a
// reason, too, and be absent where m is empty.
func (a *api) changeUser(w http.ResponseWriter, r *http.Request, m members,
	command func(context.Context, events.ID, node.Origin) error) {
	id, err := events.ParseID(chi.URLParam(r, "id"))
	if err != nil {
		fail(w, r, a.n, node.ErrNotFound)
		return
	}
	o := a.origin(r)
	empty, err := emptyBody(w, r)
	if err != nil {
		fail(w, r, a.n, err)
		return
	}
	if len(m) > 0 || !empty {
		required := slices.Sorted(maps.Keys(m))
		all := members{"reason": &o.Reason}
		maps.Copy(all, m)
		if err := readJSON(w, r, all, required...); err != nil {
			fail(w, r, a.n, err)
			return
		}
	}
	a.revoke(w, r, func(ctx context.Context) error { return command(ctx, id, o) })
}

// createClient serves POST /clients. A client without a secret is a public one.
func (a *api) createClient(w http.ResponseWriter, r *http.Request) {
	var c node.NewClient
	o := a.origin(r)
	err := readJSON(w, r, members{"id": &c.ID, "name": &c.Name, "secret": &c.Secret, "scopes": &c.Scope, "reason": &o.Reason}, "id")
	if err == nil {
		ctx, cancel := commandContext(r, a.logoutWait)
		defer cancel()
		err = a.n.CreateClient(ctx, c, o)
	}
	if err != nil {
		fail(w, r, a.n, err)
		return
	}
	writeJSON(w, http.StatusCreated, clientDocument{c.ID, c.Name, list(c.Scope), c.Secret == ""})
}
