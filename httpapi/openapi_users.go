package httpapi

import (
	"net/http"
	"slices"

	"github.com/knell-auth/knell/node"
)

// accountOperations are the administration of users, clients, sessions, roles and keys. On the local socket they need no token.
func (a *api) accountOperations() []operation {
	list := slices.Concat(a.userOperations(), a.userKeyOperations(), a.roleOperations(), a.grantOperations(), a.clientOperations(), a.webhookOperations(),
		a.revocationOperations())
	for i := range list {
		list[i].guard, list[i].scope = guardScope, node.AdminScope
	}
	return list
}

// userOperations are the administration of users.
func (a *api) userOperations() []operation {
	return []operation{
		{
			method: http.MethodGet, path: "/users", serve: a.listUsers,
			summary: "List users",
			params: []parameter{
				{in: "query", name: "limit", text: "How many at most, up to 1000; 100 when it is left away."},
				{in: "query", name: "cursor", text: "What the page before gave as `next`."},
				{in: "query", name: "name", text: "Only the user with this login name; it stands alone."},
			},
			replies: []reply{{status: http.StatusOK, text: "The users, by name.", body: usersDocument{}}},
		},
		{
			method: http.MethodPost, path: "/users", serve: a.createUser,
			summary: "Create a user",
			text:    "Returns when every replica knows the user.",
			body: &requestBody{media: mediaJSON, required: true, fields: append([]field{
				{name: "name", value: "", required: true, text: "Login name, unique whatever its case."},
				{name: "password", value: "", text: "Either this or `hash`."},
				{name: "hash", value: "", text: "An imported hash: argon2id, scrypt or PBKDF2 as a PHC string, or bcrypt."},
				{name: "roles", value: []string{}}, {name: "scopes", value: []string{}, text: "What the user may be granted."},
				{name: "disabled", value: false}, fieldReason,
			}, fieldsDescription...)},
			replies: []reply{
				{status: http.StatusCreated, text: "The user.", body: userDocument{}, headers: []string{"Location"}}, replyTaken,
			},
		},
		{
			method: http.MethodGet, path: "/users/{id}", serve: a.getUser,
			summary: "A user",
			params:  []parameter{pathUser},
			replies: []reply{{status: http.StatusOK, text: "The user.", body: userDocument{}}, replyNoUser},
		},
		a.userCommand(http.MethodPatch, "", "Change what a user is called", a.updateUser,
			append([]field{{name: "name", value: "", text: "Login name."}}, fieldsDescription...)...),
		a.userCommand(http.MethodDelete, "", "Delete a user and end its sessions", a.deleteUser),
		a.userCommand(http.MethodPost, "/disable", "Disable a user and end its sessions", a.disableUser),
		a.userCommand(http.MethodPost, "/enable", "Let a disabled user log in again", a.enableUser),
		a.userCommand(http.MethodPost, "/unlock", "Forget failed guesses at a user's password", a.unlockUser),
		a.userCommand(http.MethodPost, "/logout", "End all sessions of a user", a.logoutUser),
		a.userCommand(http.MethodPost, "/password", "Set a user's password and end its sessions", a.setPassword,
			field{name: "password", value: "", required: true}),
		a.userCommand(http.MethodPost, "/roles", "Replace a user's roles and scopes", a.setRoles,
			field{name: "roles", value: []string{}, required: true}, field{name: "scopes", value: []string{}, required: true}),
		{
			method: http.MethodGet, path: "/users/{id}/sessions", serve: a.userSessions,
			summary: "A user's sessions, the newest first",
			params:  []parameter{pathUser},
			replies: []reply{{status: http.StatusOK, text: "The sessions.", body: sessionsDocument{}}, replyNoUser},
		},
		{
			method: http.MethodDelete, path: "/users/{id}/sessions/{session}", serve: a.endUserSession,
			summary: "End a session of a user",
			params:  []parameter{pathUser, {in: "path", name: "session", text: "The session's id.", required: true}, preferWait},
			replies: append([]reply{replyNotFound}, revocationReplies...),
		},
	}
}

var (
	pathUser          = parameter{in: "path", name: "id", text: "The user's id.", required: true}
	fieldReason       = field{name: "reason", value: "", text: "Why, in at most 256 bytes; it goes into the event."}
	fieldsDescription = []field{{name: "email", value: ""}, {name: "full_name", value: ""}}
	replyTaken        = reply{status: http.StatusConflict, text: "The name is taken."}
	replyNoUser       = reply{status: http.StatusNotFound, text: "There is no such user."}
)

// userCommand describes a command upon /users/{id} with the rest of a path behind it.
func (a *api) userCommand(method, rest, summary string, serve http.HandlerFunc, fields ...field) operation {
	return operation{
		method: method, path: "/users/{id}" + rest, serve: serve, summary: summary,
		text:   "Returns when every replica follows it.",
		params: []parameter{pathUser, preferWait},
		body:   &requestBody{media: mediaJSON, required: len(fields) > 0, fields: append(fields, fieldReason)},
		replies: append([]reply{
			replyNoUser, {status: http.StatusConflict, text: "The name is taken, or it is the administrator's own account."},
		}, revocationReplies...),
	}
}
