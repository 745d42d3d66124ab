package httpapi

import (
	"context"
	"encoding/base64"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/node"
)

// userDocument is a user as JSON.
type userDocument struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Email    string    `json:"email,omitempty"`
	FullName string    `json:"full_name,omitempty"`
	Roles    []string  `json:"roles"`
	Scopes   []string  `json:"scopes"`
	Disabled bool      `json:"disabled"`
	Created  time.Time `json:"created"`
	Sessions int       `json:"sessions"`
}

// usersDocument is a page of users.
type usersDocument struct {
	Users []userDocument `json:"users"`
	Next  string         `json:"next,omitempty" doc:"The cursor of the next page; absent on the last."`
}

func documentOf(u node.User) userDocument {
	return userDocument{u.ID.String(), u.Name, u.Email, u.FullName, list(u.Roles), list(u.Scope), u.Disabled, u.Created.UTC(), u.Sessions}
}

// Bounds of a page of users.
const (
	defaultUserPage = 100
	maxUserPage     = 1000
)

// listUsers serves GET /users, by name. The query parameter limit bounds the page, cursor is what the page before gave as
// "next", and name asks for the one user who has it.
func (a *api) listUsers(w http.ResponseWriter, r *http.Request) {
	q, err := readUserQuery(r.URL.RawQuery)
	var page node.UserPage
	switch {
	case err != nil:
	case q.one:
		page, err = a.oneUser(q.name)
	default:
		page, err = a.n.ListUsers(q.after, q.limit)
	}
	if err != nil {
		fail(w, r, a.n, err)
		return
	}
	documents := make([]userDocument, 0, len(page.Users))
	for _, u := range page.Users {
		documents = append(documents, documentOf(u))
	}
	next := ""
	if page.Next != "" {
		next = base64.RawURLEncoding.EncodeToString([]byte(page.Next))
	}
	writeJSON(w, http.StatusOK, usersDocument{documents, next})
}

// oneUser returns the user with this name, as a page, which is empty if there is none.
func (a *api) oneUser(name string) (node.UserPage, error) {
	u, err := a.n.UserNamed(name)
	switch {
	case errors.Is(err, node.ErrNotFound):
		return node.UserPage{}, nil
	case err != nil:
		return node.UserPage{}, err
	}
	return node.UserPage{Users: []node.User{u}}, nil
}

// userQuery says which users are asked for.
type userQuery struct {
	one   bool // the one with this name
	name  string
	after string
	limit int
}

func readUserQuery(raw string) (userQuery, error) {
	q := userQuery{limit: defaultUserPage}
	query, err := url.ParseQuery(raw)
	if err != nil {
		return q, badRequest("the query is malformed")
	}
	for parameter, values := range query {
		value := values[0]
		switch {
		case len(values) > 1:
			return q, badRequest("parameter %q occurs more than once", shorten(parameter))
		case parameter == "name":
			q.one, q.name = true, value
		case parameter == "limit":
			if q.limit, err = strconv.Atoi(value); err != nil || q.limit < 1 || q.limit > maxUserPage {
				return q, badRequest("parameter limit must be a number from 1 to %d", maxUserPage)
			}
		case parameter == "cursor":
			name, err := base64.RawURLEncoding.DecodeString(value)
			if err != nil {
				return q, badRequest("parameter cursor is not what a page gave as next")
			}
			q.after = string(name)
		default:
			return q, badRequest("parameter %q is unknown: want limit and cursor, or name", shorten(parameter))
		}
	}
	if q.one && len(query) > 1 {
		return q, badRequest("parameter name stands alone")
	}
	return q, nil
}

// getUser serves GET /users/{id}.
func (a *api) getUser(w http.ResponseWriter, r *http.Request) {
	id, err := pathID(r, "id")
	var u node.User
	if err == nil {
		u, err = a.n.User(id)
	}
	if err != nil {
		fail(w, r, a.n, err)
		return
	}
	writeJSON(w, http.StatusOK, documentOf(u))
}

// createUser serves POST /users.
func (a *api) createUser(w http.ResponseWriter, r *http.Request) {
	var u node.NewUser
	o := a.origin(r)
	m := members{
		"name": &u.Name, "password": &u.Password, "hash": &u.Hash, "email": &u.Email, "full_name": &u.FullName,
		"roles": &u.Roles, "scopes": &u.Scope,
		"disabled": &u.Disabled, "reason": &o.Reason,
	}
	if a.local {
		m["first"] = &u.First
	}
	err := readJSON(w, r, m, "name")
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

// updateUser serves PATCH /users/{id}: what the user is called. What is not given stays as it is.
func (a *api) updateUser(w http.ResponseWriter, r *http.Request) {
	var c node.UserChange
	m := members{"name": &c.Name, "email": &c.Email, "full_name": &c.FullName}
	a.changeUser(w, r, m, func(ctx context.Context, id events.ID, o node.Origin) error {
		if c == (node.UserChange{}) {
			return badRequest("none of the members name, email and full_name is given")
		}
		return a.n.ChangeUser(ctx, id, c, o)
	})
}

// deleteUser serves DELETE /users/{id}. It ends the user's sessions, and the name is free again.
func (a *api) deleteUser(w http.ResponseWriter, r *http.Request) {
	a.changeUser(w, r, nil, a.n.DeleteUser)
}

// changeUser runs a command upon the user whose id is in the path. The body must have the members in m, unless they are
// optional; it may have a reason, too, and be absent where m is empty.
func (a *api) changeUser(w http.ResponseWriter, r *http.Request, m members,
	command func(context.Context, events.ID, node.Origin) error) {
	id, err := pathID(r, "id")
	if err != nil {
		fail(w, r, a.n, err)
		return
	}
	o := a.origin(r)
	empty, err := emptyBody(w, r)
	if err != nil {
		fail(w, r, a.n, err)
		return
	}
	if len(m) > 0 || !empty {
		required := slices.DeleteFunc(slices.Sorted(maps.Keys(m)), func(name string) bool { return isOptional(m[name]) })
		all := members{"reason": &o.Reason}
		maps.Copy(all, m)
		if err := readJSON(w, r, all, required...); err != nil {
			fail(w, r, a.n, err)
			return
		}
	}
	a.revoke(w, r, func(ctx context.Context) error { return command(ctx, id, o) })
}

// isOptional reports whether a member may be absent where others must be there.
func isOptional(target any) bool {
	_, ok := target.(**string)
	return ok
}
