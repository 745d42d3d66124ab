package httpapi

import "net/http"

// authorizeOperations are those of the authorization code and of OpenID Connect.
func (a *api) authorizeOperations() []operation {
	info := operation{
		method: http.MethodGet, path: "/userinfo", serve: a.userInfo, guard: guardScope, scope: "openid", browser: true,
		summary: "Claims about the user",
		text:    "OpenID Connect Core 1.0 section 5.3: the id, and what the scopes `profile` and `email` of the token add.",
		replies: []reply{{status: http.StatusOK, text: "The claims.", body: userInfoDocument{}}},
	}
	posted := info
	posted.method = http.MethodPost
	return []operation{
		{
			method: http.MethodGet, path: "/authorize", serve: a.authorize,
			summary: "Ask a user to log in",
			text:    "The authorization endpoint of RFC 6749 section 3.1, for browsers. PKCE is required of every client (RFC 7636).",
			params: []parameter{
				{in: "query", name: "response_type", text: "`code`.", required: true},
				{in: "query", name: "client_id", required: true},
				{in: "query", name: "redirect_uri", text: "One that is registered for the client; needed unless it has exactly one."},
				{in: "query", name: "code_challenge", text: "RFC 7636 section 4.2.", required: true},
				{in: "query", name: "code_challenge_method", text: "`S256`.", required: true},
				{in: "query", name: "scope", text: "Scopes separated by spaces; `openid` asks for an ID token."},
				{in: "query", name: "state", text: "It comes back with the answer."},
				{in: "query", name: "nonce", text: "It comes back in the ID token."},
				{in: "query", name: "response_mode", text: "`query`."},
				{in: "query", name: "prompt", text: "`none` is answered `login_required`: there are no browser sessions."},
				{in: "query", name: "login_hint", text: "The user's name, for the page."},
			},
			replies: pageReplies,
		},
		{
			method: http.MethodPost, path: "/authorize", serve: a.authorize,
			summary: "Ask a user to log in, or log in",
			text:    "An authorization request with the parameters of GET in the body, or what the log-in page sends.",
			body: &requestBody{media: mediaForm, required: true, fields: []field{
				{name: fieldRequest, value: "", text: "The authorization request, as the page has it."},
				{name: "username", value: ""}, {name: "password", value: ""},
				{name: "cancel", value: "", text: "The user does not want to."},
			}},
			replies: append([]reply{
				{status: http.StatusRequestEntityTooLarge, text: "A page: the body is too large.", media: mediaHTML},
				{status: http.StatusTooManyRequests, text: "The page again: too many wrong guesses.", media: mediaHTML, headers: []string{"Retry-After"}},
			}, pageReplies...),
		},
		info, posted,
	}
}

// pageReplies are the answers of the authorization endpoint to browsers.
var pageReplies = []reply{
	{status: http.StatusOK, text: "A log-in page.", media: mediaHTML},
	{status: http.StatusSeeOther, text: "To the client, with a code or an error of RFC 6749 section 4.1.2.1.", headers: []string{"Location"}},
	{status: http.StatusBadRequest, text: "A page that says what is wrong, and not to the client: its redirect URI may be the fault.", media: mediaHTML},
	{status: http.StatusServiceUnavailable, text: "A page: this replica cannot answer now.", media: mediaHTML, headers: []string{"Retry-After"}},
	{status: http.StatusInternalServerError, text: "A page: something went wrong here; the details are in the log.", media: mediaHTML},
}
