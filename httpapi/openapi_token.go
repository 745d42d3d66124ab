package httpapi

import "net/http"

// tokenOperations are those of OAuth clients.
func (a *api) tokenOperations() []operation {
	return []operation{{
		method: http.MethodPost, path: "/token", serve: a.token, guard: guardClient, browser: true,
		summary: "Get or refresh tokens",
		text: "The token endpoint of RFC 6749 section 3.2. A client authenticates by Basic or with `client_id` and `client_secret`, " +
			"not with both. `password` without a client is a first-party login.",
		body: &requestBody{media: mediaForm, required: true, fields: []field{
			{name: "grant_type", value: "", required: true, text: "`password`, `refresh_token` or `client_credentials`."},
			{name: "username", value: "", text: "Of `password`."},
			{name: "password", value: "", text: "Of `password`."},
			{name: "refresh_token", value: "", text: "Of `refresh_token`."},
			{name: "scope", value: "", text: "Scopes separated by spaces; all that are allowed when it is left away."},
			{name: "client_id", value: ""},
			{name: "client_secret", value: ""},
		}},
		replies: []reply{
			{status: http.StatusOK, text: "Tokens.", body: tokenDocument{}, headers: []string{"Pragma"}},
			{status: http.StatusBadRequest, text: "An error of RFC 6749 section 5.2: wrong user name or password is `invalid_grant`."},
			{status: http.StatusUnauthorized, text: "The client could not be authenticated.", headers: []string{"WWW-Authenticate"}},
			{status: http.StatusTooManyRequests, headers: []string{"Retry-After"},
				text: "`slow_down`: too many wrong guesses at this account or from this address, or a session that is refreshed too often. " +
					"It does not tell whether the account exists."},
		},
	}}
}
