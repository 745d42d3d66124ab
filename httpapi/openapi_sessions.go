package httpapi

import "net/http"

// sessionOperations are those of whoever has logged in, and what proxies ask.
func (a *api) sessionOperations() []operation {
	return append(a.accountOfToken(),
		operation{
			// New mounts it by itself, for all methods and without what costs time.
			method: http.MethodGet, path: "/verify", guard: guardToken,
			summary: "For whom a credential speaks",
			text: "For proxies: nginx `auth_request`, Caddy `forward_auth`, Traefik, HAProxy. Every method is answered alike. The headers of " +
				"a 200 are always there, even when they are empty.",
			params: []parameter{
				{in: "query", name: "scope", text: "Scopes that the credential must have, separated by spaces."},
				{in: "query", name: "role", text: "Roles that it must have, separated by spaces."},
				{in: "header", name: headerRequireScope, text: "More scopes."},
				{in: "header", name: headerRequireRole, text: "More roles."},
			},
			replies: []reply{
				{status: http.StatusOK, text: "The credential is good.", headers: []string{headerUser, headerScopes, headerRoles, headerSession}},
				replyForbidden, replyLimited,
			},
		},
		operation{
			method: http.MethodPost, path: "/logout", serve: a.logout, guard: guardToken, session: true, browser: true,
			summary: "End the session of the token, or others of its user",
			text: "When it returns 204, no replica accepts a token of these sessions any more. An expired token will do. The parameter is in " +
				"the body or in the URL.",
			params: []parameter{{in: "query", name: "scope", text: "As in the body."}, preferWait},
			body: &requestBody{media: mediaForm, fields: []field{
				{name: "scope", value: "", text: "`this`, which is the default: the session of the token; `others`: the others of its user; `all`."},
			}},
			replies: append([]reply{replyForbidden, replyLimited}, revocationReplies...),
		})
}

// accountOfToken are what users see of their own account, and do with it.
func (a *api) accountOfToken() []operation {
	list := []operation{
		{
			method: http.MethodGet, path: "/profile", serve: a.profile,
			summary: "Who the bearer is, and what the credential may do",
			replies: []reply{{status: http.StatusOK, text: "The account.", body: profileDocument{}}},
		},
		{
			method: http.MethodPost, path: "/profile/password", serve: a.changePassword, session: true,
			summary: "Change one's own password",
			text:    "It ends the user's other sessions, and returns when no replica accepts a token of theirs any more.",
			params:  []parameter{preferWait},
			body: &requestBody{media: mediaJSON, required: true, fields: []field{
				{name: "old_password", value: "", required: true}, {name: "new_password", value: "", required: true},
			}},
			replies: append([]reply{
				{status: http.StatusForbidden, text: "A scope is lacking, which is said in WWW-Authenticate, or it is no access token, or the old password is wrong.",
					headers: []string{"WWW-Authenticate"}},
				replyNotFound,
			}, revocationReplies...),
		},
		{
			method: http.MethodGet, path: "/sessions", serve: a.ownSessions, session: true,
			summary: "One's own sessions, the newest first",
			replies: []reply{{status: http.StatusOK, text: "The sessions.", body: sessionsDocument{}}},
		},
		{
			method: http.MethodDelete, path: "/sessions/{id}", serve: a.endOwnSession, session: true,
			summary: "End one of one's own sessions",
			text:    "One that ended lately is answered alike.",
			params:  []parameter{{in: "path", name: "id", text: "The session's id.", required: true}, preferWait},
			replies: append([]reply{replyNotFound}, revocationReplies...),
		},
	}
	for i := range list {
		list[i].guard, list[i].scope, list[i].browser = guardScope, "profile", true
	}
	return list
}

// preferWait bounds how long an answer is waited for.
var preferWait = parameter{in: "header", name: "Prefer", text: "`wait=N` (RFC 7240): answer 202 after N seconds if replicas are still pending then. " +
	"`return=representation`: answer with a receipt that verifies offline (docs/verifiable.md)."}

// replyAccepted is the answer when a command may not be followed by every replica yet.
var replyAccepted = reply{status: http.StatusAccepted, text: "Recorded, and certain at the given instant; only upon `Prefer: wait`.",
	body: pendingDocument{}, headers: []string{"Server-Timing", "Preference-Applied"}}

// revocationReplies are the answers of a command that returns when every replica follows it.
var revocationReplies = []reply{
	{status: http.StatusNoContent, text: "Done: every replica follows it.", headers: []string{"Server-Timing", "Preference-Applied"}},
	replyAccepted, replyReceipt,
}
