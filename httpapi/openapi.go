package httpapi

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"
)

// openAPIOperations describes the description.
func (a *api) openAPIOperations() []operation {
	return []operation{{
		method: http.MethodGet, path: "/openapi.json", serve: a.openAPI, browser: true,
		summary: "This document",
		replies: []reply{{status: http.StatusOK, text: "An OpenAPI 3.1 document.", body: map[string]any{}}},
	}}
}

// openAPI serves GET /openapi.json.
func (a *api) openAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", mediaJSON)
	w.Header().Set("Content-Length", strconv.Itoa(len(a.document)))
	_, _ = w.Write(a.document)
}

// oauthErrorDocument is an error of RFC 6749 section 5.2.
type oauthErrorDocument struct {
	Error       string `json:"error"`
	Description string `json:"error_description,omitempty"`
}

// document returns the OpenAPI 3.1 document of operations, in which nothing depends on the replica that serves it.
func document(operations []operation, version string) []byte {
	if version == "" {
		version = "unknown"
	}
	paths := map[string]object{}
	for _, op := range operations {
		if paths[op.path] == nil {
			paths[op.path] = object{}
		}
		paths[op.path][strings.ToLower(op.method)] = op.describe()
	}
	doc := object{
		"openapi": "3.1.0",
		"info": object{
			"title": "Knell", "version": version, "license": object{"name": "Apache 2.0", "identifier": "Apache-2.0"},
			"description": "Logins, tokens and accounts of one replica. A 503 says nothing about the token: ask again after " +
				"Retry-After, or another replica. A HEAD request is answered like GET, without the body.",
		},
		"servers": []object{{"url": "/"}},
		"paths":   paths,
		"components": object{
			"schemas": object{
				"Problem":    problemSchema(),
				"OAuthError": schemaOf(reflect.TypeFor[oauthErrorDocument]()),
			},
			"securitySchemes": object{
				"bearer": object{"type": "http", "scheme": "bearer", "bearerFormat": "JWT",
					"description": "An access token (RFC 6750, RFC 9068), or an API key where that is accepted."},
				"apiKey": object{"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key."},
				"basic":  object{"type": "http", "scheme": "basic", "description": "A user's name and password (RFC 7617), if the operator accepts that."},
				"client": object{"type": "http", "scheme": "basic", "description": "An OAuth client's id and secret (RFC 6749 section 2.3.1)."},
			},
		},
	}
	b, err := json.Marshal(doc)
	if err != nil {
		panic(err)
	}
	return append(b, '\n')
}

func problemSchema() object {
	s := schemaOf(reflect.TypeFor[problem]())
	s["description"] = "A problem document (RFC 9457) of the type about:blank."
	return s
}

// describe returns the operation object.
func (op *operation) describe() object {
	o := object{
		"operationId": op.id(), "summary": op.summary, "security": op.security(), "responses": op.responses(),
	}
	if op.text != "" {
		o["description"] = op.text
	}
	if parameters := op.parameters(); len(parameters) > 0 {
		o["parameters"] = parameters
	}
	if b := op.body; b != nil {
		o["requestBody"] = object{
			"required": b.required, "content": object{b.media: object{"schema": b.schema()}},
		}
	}
	return o
}

// id returns a name made of method and path, such as postUsersIdDisable.
func (op *operation) id() string {
	var b strings.Builder
	b.WriteString(strings.ToLower(op.method))
	for _, word := range strings.FieldsFunc(op.path, func(r rune) bool { return strings.ContainsRune("/{}.-_", r) }) {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}

func (op *operation) security() []object {
	switch op.guard {
	case guardNone:
		return []object{}
	case guardClient:
		return []object{{}, {"client": []string{}}}
	}
	scopes := []string{}
	if op.scope != "" {
		scopes = append(scopes, op.scope)
	}
	switch bearer, key := (object{"bearer": scopes}), (object{"apiKey": scopes}); {
	case op.guard == guardEither:
		return []object{{"client": []string{}}, bearer, key}
	case op.session:
		return []object{bearer}
	default:
		return []object{bearer, key, {"basic": scopes}}
	}
}

func (op *operation) parameters() (list []object) {
	for _, p := range op.params {
		list = append(list, object{
			"in": p.in, "name": p.name, "description": p.text, "required": p.required, "schema": object{"type": "string"},
		})
	}
	return list
}

// Answers that follow from how an operation is guarded and what it reads.
var (
	replyInternal    = reply{status: http.StatusInternalServerError, text: "Something went wrong here; the details are in the log."}
	replyUnavailable = reply{status: http.StatusServiceUnavailable, headers: []string{"Retry-After"},
		text: "This replica cannot prove that it is current, or it is not known whether the request was carried out: ask again, or another replica."}
	replyUnauthorized = reply{status: http.StatusUnauthorized, text: "The credential is missing or not good.", headers: []string{"WWW-Authenticate"}}
	replyForbidden    = reply{status: http.StatusForbidden, text: "The credential lacks a scope, or is not of the kind that this needs.", headers: []string{"WWW-Authenticate"}}
	replyLimited      = reply{status: http.StatusTooManyRequests, text: "Too many wrong guesses: the secret was not looked at. Or too much else in a short time.", headers: []string{"Retry-After"}}
	replyNotFound     = reply{status: http.StatusNotFound, text: "There is no such thing."}
	replyBadRequest   = reply{status: http.StatusBadRequest, text: "The request is malformed."}
	replyTooLarge     = reply{status: http.StatusRequestEntityTooLarge, text: "The body is too large."}
	replyNotJSON      = reply{status: http.StatusUnsupportedMediaType, text: "The body must be JSON."}
)

// implied returns the answers that follow from how op is guarded and what it reads.
func (op *operation) implied() []reply {
	list := []reply{replyInternal}
	if op.guard != guardNone {
		list = append(list, replyUnavailable, replyUnauthorized, replyBadRequest)
	}
	switch op.guard {
	case guardEither:
		list = append(list, replyForbidden)
	case guardScope:
		list = append(list, replyForbidden, replyLimited)
	}
	if op.body != nil {
		list = append(list, replyBadRequest, replyTooLarge)
		if op.body.media == mediaJSON {
			list = append(list, replyNotJSON)
		}
	}
	return list
}

// responses returns the answers of op. Its own descriptions come before the implied ones.
func (op *operation) responses() object {
	all := object{}
	for _, r := range append(op.implied(), op.replies...) {
		all[strconv.Itoa(r.status)] = r.describe(op.guard)
	}
	return all
}

// describe returns the response object.
func (r *reply) describe(g guard) object {
	o := object{"description": r.text}
	headers := object{"X-Request-Id": headerObject}
	for _, name := range r.headers {
		headers[name] = headerObject
	}
	o["headers"] = headers
	content := object{}
	switch {
	case r.body != nil:
		content[cmp.Or(r.media, mediaJSON)] = object{"schema": schemaOf(reflect.TypeOf(r.body))}
	case r.media != "":
		content[r.media] = object{"schema": object{"type": "string"}}
		if r.other != "" {
			content[r.other] = content[r.media]
		}
	case r.status >= 400:
		if g == guardClient || g == guardEither {
			content[mediaJSON] = object{"schema": object{"$ref": "#/components/schemas/OAuthError"}}
		}
		if g != guardClient {
			content[mediaProblem] = object{"schema": object{"$ref": "#/components/schemas/Problem"}}
		}
	}
	if len(content) > 0 {
		o["content"] = content
	}
	return o
}

var headerObject = object{"schema": object{"type": "string"}}

// String names the operation in messages.
func (op *operation) String() string { return fmt.Sprintf("%s %s", op.method, op.path) }
