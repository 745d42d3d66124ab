package httpapi

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/go-chi/chi/v5"
	"github.com/pb33f/libopenapi/datamodel"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// decodeJSON returns what the schema library works on.
func decodeJSON(t testing.TB, text []byte) any {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return v
}

// theDocument returns /openapi.json as h serves it.
func theDocument(t testing.TB, h http.Handler) map[string]any {
	t.Helper()
	w := call(h, "GET", "/openapi.json", "")
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != mediaJSON {
		t.Fatalf("status %d, type %s", w.Code, w.Header().Get("Content-Type"))
	}
	return decodeJSON(t, w.Body.Bytes()).(map[string]any)
}

// The document is one by the schema of the OpenAPI Initiative.
func TestOpenAPIIsValid(t *testing.T) {
	doc := theDocument(t, New(&scripted{}, Config{}))
	c := jsonschema.NewCompiler()
	const id = "https://spec.openapis.org/oas/3.1/schema"
	if err := c.AddResource(id, decodeJSON(t, []byte(datamodel.OpenAPI31SchemaData))); err != nil {
		t.Fatal(err)
	}
	if err := c.MustCompile(id).Validate(doc); err != nil {
		t.Error(err)
	}
	doc["openapi"] = "2.0"
	if c.MustCompile(id).Validate(doc) == nil {
		t.Error("the schema takes anything")
	}
}

// Every route has an operation. To describe one that is missing, add an operation beside its handler instead of the line that
// adds the route.
func TestEveryRouteIsDescribed(t *testing.T) {
	h := New(&scripted{}, Config{Origins: []string{"https://app.example.com"}}).(*handler)
	paths := theDocument(t, h)["paths"].(map[string]any)
	var missing []string
	err := chi.Walk(h, func(method, path string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		derived := method == http.MethodHead || method == http.MethodOptions || path == "/verify" && method != http.MethodGet
		item, _ := paths[path].(map[string]any)
		if item[strings.ToLower(method)] == nil && !derived {
			missing = append(missing, method+" "+path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(missing) > 0 {
		t.Errorf("not described:\n\t%s", strings.Join(missing, "\n\t"))
	}
	ids := map[string]bool{}
	schemes := theDocument(t, h)["components"].(map[string]any)["securitySchemes"].(map[string]any)
	for _, op := range newAPI(&scripted{}, Config{}).operations() {
		if !h.Match(chi.NewRouteContext(), op.method, strings.ReplaceAll(op.path, "{id}", "x")) {
			t.Errorf("%s is described, and there is no such route", &op)
		}
		if op.summary == "" || ids[op.id()] {
			t.Errorf("%s has no summary, or the id of another", &op)
		}
		for _, way := range op.security() {
			for name := range way {
				if schemes[name] == nil {
					t.Errorf("%s asks for %q, which is no scheme", &op, name)
				}
			}
		}
		ids[op.id()] = true
	}
}

// What stands before a handler is what is described.
func TestGuardsAreAsDescribed(t *testing.T) {
	w := newWorld(t)
	made := call(w.handler, "POST", "/api-keys", `{"name":"one","scopes":["profile"]}`, jsonType, "Authorization: Bearer "+w.vars["alice"])
	expect(t, made, http.StatusCreated)
	key, _ := decodeJSON(t, made.Body.Bytes()).(map[string]any)["key"].(string)
	for _, op := range newAPI(w.node, Config{}).operations() {
		path := strings.ReplaceAll(op.path, "{id}", w.vars["alice-id"])
		got := call(w.handler, op.method, path, "")
		if asks := op.guard >= guardToken; (got.Code == http.StatusUnauthorized) != asks {
			t.Errorf("%s without a token: %d", &op, got.Code)
		}
		if op.guard == guardScope {
			got := call(w.handler, op.method, path, "", "Authorization: Bearer "+w.vars["alice"])
			if hers := op.scope == "profile"; (got.Code == http.StatusForbidden) == hers {
				t.Errorf("%s with a token for profile: %d", &op, got.Code)
			}
		}
		if op.scope == "profile" {
			got := call(w.handler, op.method, path, "", "X-API-Key: "+key)
			if (got.Code == http.StatusForbidden) != op.session {
				t.Errorf("%s with an API key for profile: %d", &op, got.Code)
			}
		}
	}
}

// described is the document as a judge of requests and answers.
type described struct {
	t        *testing.T
	doc      map[string]any
	mu       sync.Mutex // for the compiler
	compiler *jsonschema.Compiler
}

const docURL = "https://knell.test/openapi.json"

// asDescribed returns h with a watcher that fails the test when an answer is not one that /openapi.json describes, or when a
// request was successful that it does not.
func asDescribed(t *testing.T, h http.Handler) http.Handler {
	t.Helper()
	d := &described{t: t, doc: theDocument(t, h), compiler: jsonschema.NewCompiler()}
	seal(d.doc["paths"])
	seal(d.doc["components"])
	if err := d.compiler.AddResource(docURL, d.doc); err != nil {
		t.Fatal(err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var sent bytes.Buffer
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.TeeReader(r.Body, &sent), r.Body}
		got := &answerRecorder{ResponseWriter: w, status: http.StatusOK}
		h.ServeHTTP(got, r)
		d.judge(r, sent.Bytes(), got)
	})
}

// seal forbids members of answers that are not described. The document itself leaves them open, for versions to come.
func seal(v any) {
	switch v := v.(type) {
	case map[string]any:
		if v["type"] == "object" && v["properties"] != nil && v["additionalProperties"] == nil {
			v["additionalProperties"] = false
		}
		for name, member := range v {
			if name != "requestBody" {
				seal(member)
			}
		}
	case []any:
		for _, item := range v {
			seal(item)
		}
	}
}

// answerRecorder notes what is answered.
type answerRecorder struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (a *answerRecorder) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

func (a *answerRecorder) Write(p []byte) (int, error) {
	a.body.Write(p)
	return a.ResponseWriter.Write(p)
}

func (a *answerRecorder) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// find returns the path of the document that path is, "" when there is none.
func (d *described) find(path string) string {
	parts := strings.Split(path, "/")
	for pattern := range d.doc["paths"].(map[string]any) {
		want := strings.Split(pattern, "/")
		if len(want) != len(parts) {
			continue
		}
		for i, w := range want {
			if strings.HasPrefix(w, "{") {
				want[i] = parts[i]
			}
		}
		if slices.Equal(want, parts) {
			return pattern
		}
	}
	return ""
}

func (d *described) judge(r *http.Request, sent []byte, got *answerRecorder) {
	pattern, method := d.find(r.URL.Path), strings.ToLower(r.Method)
	if method == "head" {
		method = "get"
	}
	item, _ := d.doc["paths"].(map[string]any)[pattern].(map[string]any)
	op, _ := item[method].(map[string]any)
	if op == nil {
		return // no route, or not the method's; TestEveryRouteIsDescribed sees to the others
	}
	at := "#/paths/" + strings.ReplaceAll(pattern, "/", "~1") + "/" + method
	reply, _ := op["responses"].(map[string]any)[strconv.Itoa(got.status)].(map[string]any)
	if reply == nil {
		d.t.Errorf("%s %s answers %d, which is not described: %s", r.Method, pattern, got.status, &got.body)
		return
	}
	media, _, _ := mime.ParseMediaType(got.Header().Get("Content-Type"))
	content, _ := reply["content"].(map[string]any)
	switch {
	case r.Method == http.MethodHead:
	case content == nil && got.body.Len() > 0, content != nil && content[media] == nil:
		d.t.Errorf("%s %s answers %d with %q, which is not described", r.Method, pattern, got.status, media)
	case strings.HasSuffix(media, "json") && media != ndjson:
		d.check(at+"/responses/"+strconv.Itoa(got.status)+"/content/"+strings.ReplaceAll(media, "/", "~1")+"/schema", decodeJSON(d.t, got.body.Bytes()))
	}
	if got.status/100 == 2 && len(sent) > 0 {
		d.judgeBody(r, at, op, sent)
	}
}

// judgeBody checks the body of a request that was successful.
func (d *described) judgeBody(r *http.Request, at string, op map[string]any, sent []byte) {
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	body, _ := op["requestBody"].(map[string]any)
	content, _ := body["content"].(map[string]any)
	if content[media] == nil {
		d.t.Errorf("%s %s takes a body of the type %q, which is not described", r.Method, r.URL.Path, media)
		return
	}
	var v any
	if media == mediaForm {
		form, err := url.ParseQuery(string(sent))
		if err != nil {
			d.t.Error(err)
		}
		values := map[string]any{}
		for name := range form {
			values[name] = form.Get(name)
		}
		v = values
	} else {
		v = decodeJSON(d.t, sent)
	}
	d.check(at+"/requestBody/content/"+strings.ReplaceAll(media, "/", "~1")+"/schema", v)
}

func (d *described) check(pointer string, v any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	schema, err := d.compiler.Compile(docURL + strings.NewReplacer("{", "%7B", "}", "%7D").Replace(pointer))
	if err == nil {
		err = schema.Validate(v)
	}
	if err != nil {
		text, _ := json.Marshal(v)
		d.t.Errorf("%v\n%s", err, text)
	}
}
