package httpapi

import "net/http"

// accountOperations are the administration of users and clients. On the local socket they need no token.
func (a *api) accountOperations() []operation {
	list := []operation{
		{
			method: http.MethodGet, path: "/users", serve: a.listUsers,
			summary: "List users",
			params:  []parameter{{in: "query", name: "name", text: "Only the user with this login name."}},
			replies: []reply{{status: http.StatusOK, text: "The users, by name.", body: usersDocument{}}},
		},
		{
			method: http.MethodPost, path: "/users", serve: a.createUser,
			summary: "Create a user",
			text:    "Returns when every replica knows the user.",
			body: &requestBody{media: mediaJSON, required: true, fields: []field{
				{name: "name", value: "", required: true, text: "Login name, unique whatever its case."},
				{name: "password", value: "", text: "Either this or `hash`."},
				{name: "hash", value: "", text: "An imported hash: argon2id as a PHC string, or bcrypt."},
				{name: "roles", value: []string{}}, {name: "scopes", value: []string{}, text: "What the user may be granted."},
				{name: "disabled", value: false}, fieldReason,
			}},
			replies: []reply{
				{status: http.StatusCreated, text: "The user.", body: userDocument{}, headers: []string{"Location"}}, replyTaken,
			},
		},
		a.userCommand("disable", "Disable a user and end its sessions", a.disableUser),
		a.userCommand("enable", "Let a disabled user log in again", a.enableUser),
		a.userCommand("unlock", "Forget failed guesses at a user's password", a.unlockUser),
		a.userCommand("logout", "End all sessions of a user", a.logoutUser),
		a.userCommand("password", "Set a user's password and end its sessions", a.setPassword, field{name: "password", value: "", required: true}),
		a.userCommand("roles", "Replace a user's roles and scopes", a.setRoles,
			field{name: "roles", value: []string{}, required: true}, field{name: "scopes", value: []string{}, required: true}),
		{
			method: http.MethodPost, path: "/clients", serve: a.createClient,
			summary: "Create an OAuth client",
			text:    "Returns when every replica knows it. A client without a secret is a public one.",
			body: &requestBody{media: mediaJSON, required: true, fields: []field{
				{name: "id", value: "", required: true}, {name: "name", value: ""}, {name: "secret", value: ""},
				{name: "scopes", value: []string{}}, fieldReason,
			}},
			replies: []reply{{status: http.StatusCreated, text: "The client.", body: clientDocument{}}, replyTaken},
		},
	}
	for i := range list {
		list[i].guard, list[i].scope = guardScope, "admin"
	}
	return list
}

var (
	fieldReason = field{name: "reason", value: "", text: "Why; it goes into the event."}
	replyTaken  = reply{status: http.StatusConflict, text: "The name is taken."}
)

// userCommand describes POST /users/{id}/name.
func (a *api) userCommand(name, summary string, serve http.HandlerFunc, fields ...field) operation {
	return operation{
		method: http.MethodPost, path: "/users/{id}/" + name, serve: serve, summary: summary,
		text:    "Returns when every replica follows it.",
		params:  []parameter{{in: "path", name: "id", text: "The user's id.", required: true}, preferWait},
		body:    &requestBody{media: mediaJSON, required: len(fields) > 0, fields: append(fields, fieldReason)},
		replies: append([]reply{{status: http.StatusNotFound, text: "There is no such user."}}, revocationReplies...),
	}
}
