package httpapi

import "net/http"

// tokenOperations are those of OAuth clients.
func (a *api) tokenOperations() []operation {
	return []operation{
		{
			method: http.MethodPost, path: "/token", serve: a.token, guard: guardClient, browser: true,
			summary: "Get or refresh tokens",
			text: "The token endpoint of RFC 6749 section 3.2. A client authenticates by Basic or with `client_id` and `client_secret`, " +
				"not with both. `password` may be switched off; without a client it is a first-party login.",
			body: &requestBody{media: mediaForm, required: true, fields: append([]field{
				{name: "grant_type", value: "", required: true, text: "`authorization_code`, `refresh_token`, `client_credentials` or `password`."},
				{name: "code", value: "", text: "Of `authorization_code`."},
				{name: "code_verifier", value: "", text: "Of `authorization_code` (RFC 7636 section 4.5)."},
				{name: "redirect_uri", value: "", text: "Of `authorization_code`: that of the authorization request, when it named one."},
				{name: "username", value: "", text: "Of `password`."},
				{name: "password", value: "", text: "Of `password`."},
				{name: "remember", value: "", text: "Of `password`: `true` asks for a session of the longer lifetimes."},
				{name: "refresh_token", value: "", text: "Of `refresh_token`."},
				{name: "scope", value: "", text: "Scopes separated by spaces; all that are allowed when it is left away."},
			}, fieldsClient...)},
			replies: []reply{
				{status: http.StatusOK, text: "Tokens.", body: tokenDocument{}, headers: []string{"Pragma"}},
				{status: http.StatusBadRequest, text: "An error of RFC 6749 section 5.2: wrong user name or password is `invalid_grant`."},
				replyClient,
				{status: http.StatusTooManyRequests, headers: []string{"Retry-After"},
					text: "`slow_down`: too many wrong guesses at this account or from this address, or a session that is refreshed too often. " +
						"It does not tell whether the account exists."},
			},
		},
		{
			method: http.MethodPost, path: "/revoke", serve: a.revokeToken, guard: guardClient, browser: true,
			summary: "End the session of a token",
			text: "RFC 7009. When it returns 200, no replica accepts a token of the session any more. A token that is none, or not any more, " +
				"is answered alike.",
			params: []parameter{preferWait},
			body:   &requestBody{media: mediaForm, required: true, fields: append(fieldsToken, fieldsClient...)},
			replies: []reply{
				{status: http.StatusOK, text: "Done: every replica follows it.", headers: []string{"Pragma", "Server-Timing", "Preference-Applied"}},
				replyAccepted, replyClient, replyLimited,
			},
		},
		{
			method: http.MethodPost, path: "/introspect", serve: a.introspect, guard: guardEither, scope: scopeIntrospect,
			summary: "What a token is worth",
			text:    "RFC 7662, for a confidential client, or with an access token or an API key that has the scope `introspect`.",
			body:    &requestBody{media: mediaForm, required: true, fields: append(fieldsToken, fieldsClient...)},
			replies: []reply{
				{status: http.StatusOK, text: "Its claims; only `active` is there when it is not good.", body: introspectionDocument{}, headers: []string{"Pragma"}},
				{status: http.StatusUnauthorized, text: "The client, the token or the key could not be authenticated.", headers: []string{"WWW-Authenticate"}},
				replyLimited,
			},
		},
	}
}

var (
	fieldsToken = []field{
		{name: "token", value: "", required: true, text: "An access or a refresh token."},
		{name: "token_type_hint", value: "", text: "It is not needed: a token tells its type."},
	}
	fieldsClient = []field{{name: "client_id", value: ""}, {name: "client_secret", value: ""}}
	replyClient  = reply{status: http.StatusUnauthorized, text: "The client could not be authenticated.", headers: []string{"WWW-Authenticate"}}
)

// introspectionDocument is the form of what appendTokenInfo writes.
type introspectionDocument struct {
	Active    bool     `json:"active"`
	TokenType string   `json:"token_type,omitempty" doc:"\"Bearer\" or \"refresh_token\"."`
	Scope     string   `json:"scope,omitempty"`
	Client    string   `json:"client_id,omitempty"`
	Username  string   `json:"username,omitempty"`
	Subject   string   `json:"sub,omitempty"`
	Issuer    string   `json:"iss,omitempty"`
	Audience  any      `json:"aud,omitempty" doc:"A string, or a list of several."`
	ID        string   `json:"jti,omitempty"`
	Session   string   `json:"sid,omitempty"`
	Roles     []string `json:"roles,omitempty"`
	Expires   int64    `json:"exp,omitempty"`
	IssuedAt  int64    `json:"iat,omitempty"`
	NotBefore int64    `json:"nbf,omitempty"`
	AuthTime  int64    `json:"auth_time,omitempty"`
}

// discoveryOperations are those by which clients and services find out about the rest.
func (a *api) discoveryOperations() []operation {
	server := func(path, standard string) operation {
		return operation{
			method: http.MethodGet, path: path, serve: a.serverMetadata,
			summary: "What there is, by " + standard,
			replies: []reply{
				{status: http.StatusOK, text: "Endpoints and what they support.", body: metadata{}, headers: headersPublic},
				{status: http.StatusNotFound, text: "The issuer is not a URL."},
			},
		}
	}
	return []operation{
		{
			method: http.MethodGet, path: "/.well-known/jwks.json", serve: a.jwks,
			summary: "The keys that verify tokens",
			text:    "RFC 7517 section 5. A new key is there before the first token that it signs.",
			replies: []reply{{status: http.StatusOK, text: "A JWK set.", body: jwksDocument{}, media: mediaKeys, headers: headersPublic}, replyUnavailable},
		},
		server("/.well-known/oauth-authorization-server", "RFC 8414"),
		server("/.well-known/openid-configuration", "OpenID Connect Discovery 1.0"),
	}
}

// headersPublic are those of a document that pages of any origin may read.
var headersPublic = []string{"Access-Control-Allow-Origin"}

// jwksDocument is the form of a JWK set.
type jwksDocument struct {
	Keys []map[string]any `json:"keys"`
}
