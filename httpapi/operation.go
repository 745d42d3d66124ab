package httpapi

import (
	"net/http"

	"github.com/go-chi/chi/v5"
)

// operation is one route: what the router is built from, and what /openapi.json says about it. Whoever adds a route adds an
// operation beside its handler; TestEveryRouteIsDescribed names those that were added otherwise.
type operation struct {
	method, path string // path as chi and OpenAPI have it: /users/{id}
	summary      string
	text         string // more, in Markdown; may be ""
	guard        guard
	scope        string // of guardScope and guardEither
	session      bool   // the credential has to be an access token of the user's own, which has a session and was issued to no client
	stream       bool   // the answer may go on: it ends with the credential
	browser      bool   // pages of the origins in Config.Origins may call it
	params       []parameter
	body         *requestBody // nil: none is read
	replies      []reply      // those that guard and body imply are added
	serve        http.HandlerFunc
}

// guard says what stands before a handler.
type guard int

const (
	guardNone   guard = iota // anybody may call it
	guardClient              // the handler authenticates an OAuth client, by Basic or in the form
	guardEither              // the handler authenticates a client, or looks at a bearer token with the scope
	guardToken               // the handler looks at the credential itself
	guardScope               // Authenticate and RequireScope
)

// parameter is a parameter outside of the body.
type parameter struct {
	in, name string // in: path, query or header
	text     string
	required bool
}

// requestBody describes a body. With required false it may be left away.
type requestBody struct {
	media    string
	required bool
	fields   []field
}

// field is a parameter of a form, or a member of a JSON object.
type field struct {
	name     string
	value    any // of the Go type that it is read into
	required bool
	text     string
}

// reply is an answer. Body is a value of the Go type that is written as JSON; nil: there is none, or one of another media type.
type reply struct {
	status  int
	text    string
	body    any
	media   string   // "": application/json when body is set
	other   string   // another media type of the same; "": none
	headers []string // beside those of every answer
}

// Media types.
const (
	mediaJSON    = "application/json"
	mediaForm    = "application/x-www-form-urlencoded"
	mediaProblem = "application/problem+json"
	mediaText    = "text/plain"
	mediaHTML    = "text/html"
	mediaKeys    = "application/jwk-set+json"
)

// mount adds the routes of operations that have a handler, behind what guards them. On the local socket nothing does.
func (a *api) mount(r chi.Router, operations ...operation) {
	shared := map[string][]string{} // path → methods
	for _, op := range operations {
		if op.serve == nil {
			continue
		}
		h := http.Handler(op.serve)
		if !a.local {
			h = op.guarded(a.n, h)
			if op.guard == guardScope {
				h = a.unforged(h)
			}
			if op.browser && len(a.origins) > 0 {
				h = a.share(h)
				shared[op.path] = append(shared[op.path], op.method)
			}
		}
		r.Method(op.method, op.path, h)
		if op.method == http.MethodGet { // net/http leaves the body of an answer to HEAD away
			r.Method(http.MethodHead, op.path, h)
		}
	}
	for path, methods := range shared {
		r.Method(http.MethodOptions, path, a.preflight(methods))
	}
}

// guarded puts before h what op asks for.
func (op *operation) guarded(n Watcher, h http.Handler) http.Handler {
	if op.stream {
		h = EndWithToken(n)(h)
	}
	if op.session && op.guard != guardToken {
		h = RequireSession()(firstPartyOnly(h))
	}
	if op.guard == guardScope {
		return Authenticate(n)(RequireScope(op.scope)(h))
	}
	return h
}
