package httpapi

import "net/http"

// sessionOperations are those of whoever holds an access token.
func (a *api) sessionOperations() []operation {
	return []operation{
		{
			// New mounts it by itself, for all methods and without what costs time.
			method: http.MethodGet, path: "/verify", guard: guardToken,
			summary: "For whom a token speaks",
			text: "For proxies: nginx `auth_request`, Caddy `forward_auth`, Traefik, HAProxy. Every method is answered alike. The headers of " +
				"a 200 are always there, even when they are empty.",
			params: []parameter{
				{in: "query", name: "scope", text: "Scopes that the token must have, separated by spaces."},
				{in: "header", name: headerRequireScope, text: "More of them."},
			},
			replies: []reply{
				{status: http.StatusOK, text: "The token is good.", headers: []string{headerUser, headerScopes, headerRoles, headerSession}},
				replyForbidden,
			},
		},
		{
			method: http.MethodGet, path: "/profile", serve: a.profile, guard: guardScope, scope: "profile", browser: true,
			summary: "Who the bearer is",
			replies: []reply{{status: http.StatusOK, text: "What the token says.", body: profileDocument{}}},
		},
		{
			method: http.MethodPost, path: "/logout", serve: a.logout, guard: guardToken, browser: true,
			summary: "End the session of the token",
			text:    "When it returns 204, no replica accepts a token of the session any more. An expired token will do.",
			params:  []parameter{preferWait},
			body: &requestBody{media: mediaForm, fields: []field{
				{name: "scope", value: "", text: "`this`, which is the default: the session of the token."},
			}},
			replies: revocationReplies,
		},
	}
}

// preferWait bounds how long an answer is waited for.
var preferWait = parameter{in: "header", name: "Prefer", text: "`wait=N` (RFC 7240): answer 202 after N seconds if replicas are still pending then."}

// revocationReplies are the answers of a command that returns when every replica follows it.
var revocationReplies = []reply{
	{status: http.StatusNoContent, text: "Done: every replica follows it.", headers: []string{"Server-Timing", "Preference-Applied"}},
	{status: http.StatusAccepted, text: "Recorded, and certain at the given instant; only upon `Prefer: wait`.", body: pendingDocument{},
		headers: []string{"Server-Timing", "Preference-Applied"}},
}
