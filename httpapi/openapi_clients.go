package httpapi

import (
	"net/http"
	"slices"
)

// clientOperations are the administration of OAuth clients.
func (a *api) clientOperations() []operation {
	return []operation{
		{
			method: http.MethodGet, path: "/clients", serve: a.listClients,
			summary: "List OAuth clients",
			replies: []reply{{status: http.StatusOK, text: "The clients.", body: clientsDocument{}}},
		},
		{
			method: http.MethodPost, path: "/clients", serve: a.createClient,
			summary: "Create an OAuth client",
			text: "Returns when every replica knows it. A client with a secret, or the hash of one, is confidential; one without is public, " +
				"unless `confidential` asks for a secret to be made.",
			body: &requestBody{media: mediaJSON, required: true, fields: append([]field{
				{name: "id", value: "", required: true}, {name: "secret", value: ""},
				{name: "hash", value: "", text: "An imported hash of the secret."},
				{name: "confidential", value: false, text: "A secret is made and answered once."},
			}, fieldsOfClient...)},
			replies: []reply{
				{status: http.StatusCreated, text: "The client, and a secret that was made for it.", body: newSecret{}, headers: []string{"Location"}},
				replyTaken, replyNoClient,
			},
		},
		{
			method: http.MethodGet, path: "/clients/{id}", serve: a.showClient,
			summary: "An OAuth client",
			params:  []parameter{pathClient},
			replies: []reply{{status: http.StatusOK, text: "The client.", body: clientDocument{}}, replyNoClient},
		},
		{
			method: http.MethodPatch, path: "/clients/{id}", serve: a.updateClient,
			summary: "Change an OAuth client",
			text:    "What is not named stays. Returns when every replica follows it.",
			params:  []parameter{pathClient},
			body:    &requestBody{media: mediaJSON, required: true, fields: fieldsOfClient},
			replies: []reply{{status: http.StatusOK, text: "The client.", body: clientDocument{}}, replyNoClient},
		},
		{
			method: http.MethodPost, path: "/clients/{id}/secret", serve: a.rotateSecret,
			summary: "Replace the secret of an OAuth client",
			text:    "The old one stays good for a while. Without `secret` one is made and answered once.",
			params:  []parameter{pathClient},
			body: &requestBody{media: mediaJSON, fields: []field{
				{name: "secret", value: ""}, {name: "overlap_seconds", value: int64(0), text: "How long the old one stays good; a day when it is left away."},
				fieldReason,
			}},
			replies: []reply{{status: http.StatusOK, text: "The client, and a secret that was made for it.", body: newSecret{}}, replyNoClient},
		},
		clientCommandOperation(http.MethodDelete, "", "Delete an OAuth client and end its sessions", a.clientCommand(a.n.DeleteClient)),
		clientCommandOperation(http.MethodPost, "/disable", "Disable an OAuth client and end its sessions", a.clientCommand(a.n.DisableClient)),
		clientCommandOperation(http.MethodPost, "/enable", "Let a disabled OAuth client in again", a.clientCommand(a.n.EnableClient)),
	}
}

var (
	pathClient     = parameter{in: "path", name: "id", text: "The client's id.", required: true}
	fieldsOfClient = []field{{name: "name", value: ""}, {name: "scopes", value: []string{}}, {name: "redirect_uris", value: []string{}}, fieldReason}
	replyNoClient  = reply{status: http.StatusNotFound, text: "There is no such client."}
)

// clientCommandOperation describes a command upon /clients/{id} with the rest of a path behind it.
func clientCommandOperation(method, rest, summary string, serve http.HandlerFunc) operation {
	return operation{
		method: method, path: "/clients/{id}" + rest, serve: serve, summary: summary,
		text:    "Returns when every replica follows it.",
		params:  []parameter{pathClient, preferWait},
		body:    &requestBody{media: mediaJSON, fields: []field{fieldReason}},
		replies: append([]reply{replyNoClient}, revocationReplies...),
	}
}

// revocationOperations end what an administrator names, and the keys of replicas.
func (a *api) revocationOperations() []operation {
	return []operation{
		{
			method: http.MethodPost, path: "/revocations", serve: a.revokeAny,
			summary: "End what a session, a user, a client, a key or everybody has",
			text:    "Exactly one of `session`, `user`, `client`, `signing_key` and `everything`. Returns when every replica follows it.",
			params:  []parameter{preferWait},
			body: &requestBody{media: mediaJSON, required: true, fields: []field{
				{name: "session", value: ""}, {name: "user", value: ""}, {name: "client", value: ""}, {name: "signing_key", value: ""},
				{name: "everything", value: false},
				{name: "reason", value: "", text: "Why, in at most 256 bytes; it goes into the event. Needed unless it is a dry run."},
				{name: "dry_run", value: false, text: "Nothing ends; the answer is how many sessions would."},
			}},
			replies: append([]reply{
				replyNotFound,
				{status: http.StatusConflict, text: "It is the administrator's own account."},
			}, append(slices.Clip(revocationReplies), reply{
				status: http.StatusOK, text: "Of a dry run: what would end. Else a receipt, upon `Prefer: return=representation`.", body: revocationDocument{},
				headers: []string{"Server-Timing", "Preference-Applied"},
			})...),
		},
		{
			method: http.MethodGet, path: "/keys", serve: a.listKeys,
			summary: "The keys that replicas sign with",
			replies: []reply{{status: http.StatusOK, text: "The keys.", body: keysDocument{}}},
		},
		{
			method: http.MethodPost, path: "/keys/{kid}/revoke", serve: a.revokeKey,
			summary: "Revoke a signing key",
			text:    "Returns when no replica accepts a token of it any more. Its replica makes a new one.",
			params:  []parameter{{in: "path", name: "kid", text: "The key's id.", required: true}, preferWait},
			body:    &requestBody{media: mediaJSON, fields: []field{fieldReason}},
			replies: append([]reply{replyNotFound}, revocationReplies...),
		},
	}
}
