package httpapi

import (
	"net/http"
	"net/url"

	"github.com/knell-auth/knell/node"
)

// headerRequireScope names the scopes that a request must have; so does the query parameter scope.
const headerRequireScope = "X-Knell-Require-Scope"

// verifyHandler serves /verify for any method: nginx auth_request, Caddy forward_auth and their like send it the headers
// of a request, and let that pass upon 200. For a token whose headers are in the cache it allocates nothing.
type verifyHandler struct {
	a       *api
	n       Verifier
	noStore []string // an answer is good for one request only
	headers headerCache
	origin  func(*http.Request) node.Origin
}

func newVerifyHandler(a *api) *verifyHandler {
	return &verifyHandler{a: a, n: a.n, noStore: []string{"no-store"}, origin: a.anonymous}
}

// ServeHTTP implements http.Handler. 200 is implicit: net/http writes it when nothing else was.
func (v *verifyHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id, err := authenticate(v.n, r, v.origin)
	if err == nil && (r.URL.RawQuery != "" || r.Header[headerRequireScope] != nil) {
		err = requireScopesOf(r, id)
	}
	h := w.Header()
	if err != nil {
		setSecureHeaders(h)
		fail(w, v.a.identify(w, r), v.n, err)
		return
	}
	values := v.headers.of(id)
	h[headerUser] = values.user[:]
	h[headerScopes] = values.scopes[:]
	h[headerRoles] = values.roles[:]
	h[headerSession] = values.session[:]
	h["Cache-Control"] = v.noStore
}

// requireScopesOf returns an error unless id has every scope that the query or the header of r asks for. Both can only
// add to what is required, so it does no harm that a client may have set the header. A demand that is empty, malformed or
// misspelt is a mistake in the proxy's configuration, and refused: it must not pass for no demand.
func requireScopesOf(r *http.Request, id node.Identity) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return badRequest("the query is malformed")
	}
	for name := range query {
		if name != "scope" {
			return badRequest("the only query parameter is scope")
		}
	}
	var required []string
	for _, demands := range [][]string{query["scope"], r.Header[headerRequireScope]} {
		for _, demand := range demands {
			scopes, ok := parseScope(demand)
			if !ok {
				return badRequest("the required scope is malformed")
			}
			required = append(required, scopes...)
		}
	}
	if !hasScopes(id, required) {
		return missingScope(required)
	}
	return nil
}
