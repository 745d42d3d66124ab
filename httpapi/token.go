package httpapi

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/knell-auth/knell/node"
)

// tokenRequest is a well-formed request to the token endpoint.
type tokenRequest struct {
	form   map[string]string
	client credentials
	seq    uint64   // of the client's record when it was authenticated; 0 without a client
	scope  []string // nil: not asked for
	origin node.Origin
}

// tokenDocument is a successful answer (RFC 6749 section 5.1).
type tokenDocument struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"`
	RefreshToken string `json:"refresh_token,omitempty"`
	IDToken      string `json:"id_token,omitempty"`
	Scope        string `json:"scope"`
}

// token serves POST /token (RFC 6749 section 3.2).
func (a *api) token(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Pragma", "no-cache") // section 5.1 asks for it beside no-store
	tokens, err := a.grant(w, r)
	if err != nil {
		failToken(w, r, a.n, err)
		return
	}
	writeJSON(w, http.StatusOK, tokenDocument{
		tokens.AccessToken, "Bearer", int64(tokens.ExpiresIn / time.Second), tokens.RefreshToken, tokens.IDToken, strings.Join(tokens.Scope, " "),
	})
}

// grant carries out the grant that r asks for. The form is looked at before the client is authenticated, since that costs
// a slow hash.
func (a *api) grant(w http.ResponseWriter, r *http.Request) (node.Tokens, error) {
	form, err := readForm(w, r)
	if err != nil {
		return node.Tokens{}, err
	}
	grant, required := a.password, []string{"username", "password"}
	switch form["grant_type"] {
	case "password":
		if !a.passwords {
			return node.Tokens{}, oauthError(codeUnsupportedGrantType, "the password grant is switched off here")
		}
	case "refresh_token":
		grant, required = a.refresh, []string{"refresh_token"}
	case "authorization_code":
		grant, required = a.redeemCode, []string{"code", "code_verifier"}
	case "client_credentials":
		grant, required = a.clientGrant, nil
	case "":
		return node.Tokens{}, badRequest("parameter grant_type is missing")
	default:
		return node.Tokens{}, oauthError(codeUnsupportedGrantType, "there is no such grant_type here")
	}
	for _, name := range required {
		if form[name] == "" {
			return node.Tokens{}, badRequest("parameter %s is missing", name)
		}
	}
	req := tokenRequest{form: form, origin: a.origin(r)}
	if s := form["scope"]; s != "" {
		var ok bool
		if req.scope, ok = parseScope(s); !ok {
			return node.Tokens{}, oauthError(codeInvalidScope, "the scope is malformed")
		}
	}
	if req.client, err = clientCredentials(r, form); err != nil {
		return node.Tokens{}, err
	}
	return a.authenticated(r.Context(), req, grant)
}

// authentications is how often a client is authenticated for one request, which is again when its record has changed since.
const authentications = 3

// authenticated authenticates the client of req, if there is one, and carries out the grant for it as it was then.
func (a *api) authenticated(ctx context.Context, req tokenRequest, grant func(context.Context, tokenRequest) (node.Tokens, error)) (
	t node.Tokens, err error,
) {
	for range authentications {
		if req.client.id != "" {
			if req.seq, err = a.n.AuthenticateClient(ctx, req.client.id, req.client.secret, req.origin); err != nil {
				return node.Tokens{}, err
			}
		}
		if t, err = grant(ctx, req); !errors.Is(err, node.ErrClientChanged) {
			break
		}
	}
	return t, err
}

// password is section 4.3. Without a client it is a first-party login. The parameter remember is our own: true asks for the
// longer lifetimes.
func (a *api) password(ctx context.Context, req tokenRequest) (node.Tokens, error) {
	remember := req.form["remember"]
	if remember != "" && remember != "true" && remember != "false" {
		return node.Tokens{}, badRequest("parameter remember must be true or false")
	}
	return a.n.Login(ctx, node.LoginRequest{
		Name:     req.form["username"],
		Password: req.form["password"],
		Client:   req.client.id,
		Scope:    req.scope,
		Remember: remember == "true",
		Origin:   req.origin,

		ClientSeq: req.seq,
	})
}

// refresh is section 6. A narrower scope limits the access token alone; the session keeps what it has.
func (a *api) refresh(ctx context.Context, req tokenRequest) (node.Tokens, error) {
	if !isVisible(req.form["refresh_token"]) {
		return node.Tokens{}, node.ErrInvalidGrant
	}
	return a.n.Refresh(ctx, node.RefreshRequest{
		Token: req.form["refresh_token"], Client: req.client.id, Scope: req.scope, Origin: req.origin, ClientSeq: req.seq,
	})
}

// clientGrant is section 4.4, which only a confidential client may use.
func (a *api) clientGrant(ctx context.Context, req tokenRequest) (node.Tokens, error) {
	switch {
	case req.client.id == "":
		return node.Tokens{}, node.ErrInvalidClient
	case req.client.secret == "": // authenticated without one: a public client
		return node.Tokens{}, oauthError(codeUnauthorizedClient, "a public client cannot have a token of its own")
	}
	return a.n.ClientToken(ctx, req.client.id, req.seq, req.scope, req.origin)
}
