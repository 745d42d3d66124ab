package httpapi

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/knell-auth/knell/node"
)

// Authorization gives authorization codes to clients and sessions for codes.
type Authorization interface {
	ClientForCode(id string) (node.Client, error)
	SealRequest(node.CodeRequest) string
	OpenRequest(sealed string) (node.CodeRequest, error)
	IssueCode(context.Context, node.CodeRequest, node.LoginRequest) (code string, err error)
	RedeemCode(context.Context, node.CodeRedemption) (node.Tokens, error)
}

// Bounds in bytes: of a form sent to the authorization endpoint, and of what of it comes back in the answer.
const (
	maxAuthorize = 32 << 10
	maxState     = 2 << 10
	maxNonce     = 255
)

// fieldRequest is the form field in which a log-in page carries the authorization request. A "request" would be something else
// (OpenID Connect Core 1.0 section 6).
const fieldRequest = "login_request"

// authorize serves GET and POST /authorize (RFC 6749 section 3.1): an authorization request is answered with a log-in page, and
// what is typed there with a redirect to the client.
//
// Nothing here uses a cookie: there is no browser session at this server, so a forged request has nobody's rights to ride on.
// docs/authorize.md says what that leaves, and why it is safe.
func (a *api) authorize(w http.ResponseWriter, r *http.Request) {
	p, err := authorizeParameters(w, r)
	switch {
	case err != nil:
		a.refuse(w, r, err)
	case r.Method == http.MethodPost && p.has(fieldRequest):
		a.logIn(w, r, p)
	default:
		a.askToLogIn(w, r, p)
	}
}

// parameters are those of a request; absent and empty ones are the same (RFC 6749 section 3.1).
type parameters url.Values

// authorizeParameters returns the parameters of r: in the query of a GET and the body of a POST. Those that occur more than once
// are kept, because of most of them the client is told.
func authorizeParameters(w http.ResponseWriter, r *http.Request) (parameters, error) {
	raw := r.URL.RawQuery
	if r.Method == http.MethodPost {
		if types := r.Header["Content-Type"]; raw != "" || len(types) != 1 || !isMediaType(types[0], "application/x-www-form-urlencoded") {
			return nil, badRequest("a form with all parameters in the body is expected")
		}
		body, err := readBody(w, r, maxAuthorize)
		if err != nil {
			return nil, err
		}
		raw = string(body)
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, badRequest("the parameters are not well-formed")
	}
	for name, list := range values {
		if !isText(name) || !isText(strings.Join(list, "")) {
			return nil, badRequest("a parameter has control characters or is not UTF-8")
		}
	}
	return parameters(values), nil
}

func (p parameters) get(name string) string { return url.Values(p).Get(name) }
func (p parameters) has(name string) bool   { return p.get(name) != "" }
func (p parameters) twice(name string) bool { return len(p[name]) > 1 }

// clientError is an error of which the client is told by a redirect (RFC 6749 section 4.1.2.1, OpenID Connect Core 1.0
// section 3.1.2.6).
type clientError struct{ code, text string }

// Error implements error.
func (e *clientError) Error() string { return e.text }

// askToLogIn answers an authorization request with a log-in page.
func (a *api) askToLogIn(w http.ResponseWriter, r *http.Request, p parameters) {
	client, redirect, err := a.recipient(p)
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	req := node.CodeRequest{Client: client.ID, Redirect: redirect, Named: p.has("redirect_uri")}
	if state := p.get("state"); isVisible(state) && len(state) <= maxState && !p.twice("state") {
		req.State = state // before anything else is looked at: an error goes back with it
	}
	if failure := readRequest(&req, client, p); failure != nil {
		a.redirect(w, r, req, failure)
		return
	}
	hint := p.get("login_hint")
	if len(hint) > 128 {
		hint = ""
	}
	a.showLogIn(w, http.StatusOK, client, req, typed{Name: hint}, "")
}

// recipient returns the client of an authorization request and where the answer goes. An error here is shown to the user and
// nobody is redirected: whoever made the link would have made an open redirector (RFC 9700 section 4.11.2).
func (a *api) recipient(p parameters) (node.Client, string, error) {
	switch {
	case p.twice("client_id") || p.twice("redirect_uri"):
		return node.Client{}, "", badRequest("client_id or redirect_uri occurs more than once")
	case !p.has("client_id"):
		return node.Client{}, "", badRequest("client_id is missing")
	}
	client, err := a.n.ClientForCode(p.get("client_id"))
	if errors.Is(err, node.ErrInvalidClient) {
		return client, "", badRequest("no application of this client_id is registered here, or it is disabled")
	}
	if err != nil {
		return client, "", err
	}
	redirect, ok := client.Redirect(p.get("redirect_uri"))
	switch {
	case ok:
		return client, redirect, nil
	case p.has("redirect_uri"):
		return client, "", badRequest("the redirect_uri is not one that is registered for this application")
	}
	return client, "", badRequest("redirect_uri is missing, and this application has not exactly one")
}

// unsupported are parameters of OpenID Connect that must be refused when they are not understood, and the errors for it.
var unsupported = map[string]string{
	"request": "request_not_supported", "request_uri": "request_uri_not_supported", "registration": "registration_not_supported",
}

// readRequest completes req from p, or says what is wrong with it. Parameters that are not known are ignored (RFC 6749
// section 3.1).
func readRequest(req *node.CodeRequest, client node.Client, p parameters) *clientError {
	invalid := func(text string) *clientError { return &clientError{codeInvalidRequest, text} }
	for name, code := range unsupported {
		if p.has(name) {
			return &clientError{code, "parameter " + name + " is not supported"}
		}
	}
	for name := range p {
		if p.twice(name) && isVisible(name) {
			return invalid("parameter " + shorten(name) + " occurs more than once")
		}
	}
	scope, ok := parseScope(p.get("scope"))
	prompts := strings.Fields(p.get("prompt"))
	switch {
	case p.get("state") != req.State:
		return invalid("state is too long or has characters that cannot be sent back")
	case !p.has("response_type"):
		return invalid("parameter response_type is missing")
	case p.get("response_type") != "code":
		return &clientError{"unsupported_response_type", "response_type must be code"}
	case p.has("response_mode") && p.get("response_mode") != "query":
		return invalid("response_mode must be query")
	case !p.has("code_challenge"):
		return invalid("parameter code_challenge is missing: PKCE is required of every client")
	case p.get("code_challenge_method") != "S256": // absent means plain
		return invalid("code_challenge_method must be S256")
	case node.CheckChallenge(p.get("code_challenge")) != nil:
		return invalid("code_challenge is not the base64url text of a SHA-256")
	case len(p.get("nonce")) > maxNonce:
		return invalid("nonce is too long")
	case p.has("scope") && !ok:
		return &clientError{codeInvalidScope, "the scope is malformed"}
	case p.has("scope") && slices.ContainsFunc(scope, func(s string) bool { return !slices.Contains(client.Scope, s) }):
		return &clientError{codeInvalidScope, "the scope has one that this client may not ask for"}
	case slices.Contains(prompts, "none") && len(prompts) > 1:
		return invalid("prompt none excludes all others")
	case slices.Contains(prompts, "none"):
		return &clientError{"login_required", "nobody is logged in: there are no browser sessions"}
	}
	if p.has("scope") {
		req.Scope = scope
	}
	req.Nonce, req.Challenge = p.get("nonce"), p.get("code_challenge")
	return nil
}

// redirect sends the user back to the client with an error. 303, so that what was typed is not sent along (RFC 9700 section
// 4.12).
func (a *api) redirect(w http.ResponseWriter, r *http.Request, req node.CodeRequest, e *clientError) {
	a.answerClientAt(w, r, req, url.Values{"error": {e.code}, "error_description": {quotable(e.text)}})
}

// answerClientAt redirects to the client with an authorization response: with the state as it came, and the issuer, by which a
// client of several servers knows whom it hears (RFC 9207).
func (a *api) answerClientAt(w http.ResponseWriter, r *http.Request, req node.CodeRequest, values url.Values) {
	values.Set("iss", a.n.Issuer())
	if req.State != "" {
		values.Set("state", req.State)
	}
	separator := "?"
	if strings.Contains(req.Redirect, "?") { // its query stays (RFC 6749 section 3.1.2)
		separator = "&"
	}
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("Location", req.Redirect+separator+values.Encode())
	w.WriteHeader(http.StatusSeeOther)
}
