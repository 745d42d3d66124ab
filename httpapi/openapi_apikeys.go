package httpapi

import "net/http"

// ownKeyOperations are what users do with their own API keys. Only a session may: a key that has leaked makes no others, and does
// not outlive its rotation.
func (a *api) ownKeyOperations() []operation {
	list := []operation{
		listKeysOperation("/api-keys", "One's own API keys, the oldest first", a.listAPIKeys),
		createKeyOperation("/api-keys", "Make an API key for oneself", a.createAPIKey),
		rotateKeyOperation("/api-keys", "Give one of one's own API keys a new secret", a.rotateAPIKey),
		revokeKeyOperation("/api-keys", "Revoke one of one's own API keys", a.revokeAPIKey),
	}
	for i := range list {
		list[i].guard, list[i].scope, list[i].session, list[i].browser = guardScope, "profile", true, true
	}
	return list
}

// userKeyOperations are what administrators do with the keys of others. To make one is to become its owner: only whoever has
// access to the data directory does that.
func (a *api) userKeyOperations() []operation {
	const path = "/users/{id}/api-keys"
	list := []operation{
		listKeysOperation(path, "A user's API keys, the oldest first", a.listAPIKeys),
		revokeKeyOperation(path, "Revoke an API key of a user", a.revokeAPIKey),
	}
	if a.local {
		list = append(list,
			createKeyOperation(path, "Make an API key for a user", a.createAPIKey),
			rotateKeyOperation(path, "Give an API key of a user a new secret", a.rotateAPIKey))
	}
	for i := range list {
		list[i].params = append([]parameter{pathUser}, list[i].params...)
		list[i].replies = append([]reply{replyNotFound}, list[i].replies...)
	}
	return list
}

var (
	pathKey       = parameter{in: "path", name: "key", text: "The key's id.", required: true}
	replyConflict = reply{status: http.StatusConflict, text: "Not done: the key, or its owner, is being changed by others."}
	replyNoKey    = reply{status: http.StatusNotFound, text: "The user has no such API key."}
)

func listKeysOperation(path, summary string, serve http.HandlerFunc) operation {
	return operation{
		method: http.MethodGet, path: path, serve: serve, summary: summary,
		text:    "Without their secrets, which nobody has but the one who was told.",
		replies: []reply{{status: http.StatusOK, text: "The keys.", body: apiKeysDocument{}}},
	}
}

func createKeyOperation(path, summary string, serve http.HandlerFunc) operation {
	return operation{
		method: http.MethodPost, path: path, serve: serve, summary: summary,
		text: "Returns when every replica knows the key. Its text is answered once. It gets no scope that the user does not have, nor the " +
			"access token that asks for it.",
		body: &requestBody{media: mediaJSON, required: true, fields: []field{
			{name: "name", value: "", required: true}, {name: "scopes", value: []string{}, required: true},
			{name: "expires_in", value: int64(0), text: "Seconds; 90 days when it is left away, and 0 for a key that does not expire."},
			fieldReason,
		}},
		replies: []reply{{status: http.StatusCreated, text: "The key and its text.", body: keyDocument{}}, replyConflict},
	}
}

func rotateKeyOperation(path, summary string, serve http.HandlerFunc) operation {
	return operation{
		method: http.MethodPost, path: path + "/{key}/rotate", serve: serve, summary: summary,
		text: "When it returns, no replica accepts the old secret any more, unless `overlap` says so. The access token that asks for it must " +
			"have all scopes of the key.",
		params: []parameter{pathKey},
		body: &requestBody{media: mediaJSON, fields: []field{
			{name: "overlap", value: int64(0), text: "For how many seconds the old secret stays good; 0 when it is left away."}, fieldReason,
		}},
		replies: []reply{{status: http.StatusOK, text: "The key and its new text.", body: keyDocument{}}, replyNoKey, replyConflict},
	}
}

func revokeKeyOperation(path, summary string, serve http.HandlerFunc) operation {
	return operation{
		method: http.MethodDelete, path: path + "/{key}", serve: serve, summary: summary,
		text:    "One that was revoked lately is answered alike.",
		params:  []parameter{pathKey, preferWait},
		replies: append([]reply{replyNoKey}, revocationReplies...),
	}
}
