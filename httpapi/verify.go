package httpapi

import (
	"net/http"
	"net/url"
	"slices"

	"github.com/knell-auth/knell/node"
)

// Headers that name the scopes and the roles that a request must have; so do the query parameters scope and role.
const (
	headerRequireScope = "X-Knell-Require-Scope"
	headerRequireRole  = "X-Knell-Require-Role"
)

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
	if err == nil && (r.URL.RawQuery != "" || r.Header[headerRequireScope] != nil || r.Header[headerRequireRole] != nil) {
		err = requireOf(r, id)
	}
	h := w.Header()
	if err != nil {
		setSecureHeaders(h)
		sw := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		fail(sw, v.a.identify(w, r), v.n, err)
		v.count(sw.status)
		return
	}
	v.count(http.StatusOK)
	values := v.headers.of(id)
	h[headerUser] = values.user[:]
	h[headerScopes] = values.scopes[:]
	h[headerRoles] = values.roles[:]
	h[headerSession] = values.session[:]
	h["Cache-Control"] = v.noStore
}

func (v *verifyHandler) count(status int) {
	if m := v.a.meter; m != nil {
		m.Verified(status)
	}
}

// requireOf returns an error unless id has every scope and role that the query or the headers of r ask for. All of them can only
// add to what is required, so it does no harm that a client may have set a header. A demand that is empty, malformed or
// misspelt is a mistake in the proxy's configuration, and refused: it must not pass for no demand.
func requireOf(r *http.Request, id node.Identity) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return badRequest("the query is malformed")
	}
	for name := range query {
		if name != "scope" && name != "role" {
			return badRequest("the only query parameters are scope and role")
		}
	}
	scopes, ok := demanded(query["scope"], r.Header[headerRequireScope])
	if !ok {
		return badRequest("the required scope is malformed")
	}
	roles, ok := demanded(query["role"], r.Header[headerRequireRole])
	if !ok {
		return badRequest("the required role is malformed")
	}
	if !hasScopes(id, scopes) {
		return missingScope(scopes)
	}
	for _, role := range roles {
		if !id.HasRole(role) {
			return errMissingRole
		}
	}
	return nil
}

// demanded returns the names in lists of which each has at least one, separated by single spaces; ok is false when one is
// not well-formed.
func demanded(lists ...[]string) (names []string, ok bool) {
	for _, list := range slices.Concat(lists...) {
		some, ok := parseScope(list)
		if !ok {
			return nil, false
		}
		names = append(names, some...)
	}
	return names, true
}
