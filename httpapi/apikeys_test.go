package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/knell-auth/knell/node"
)

// keys returns n API keys of as many users.
func (w *world) keys(t testing.TB, n int) []string {
	t.Helper()
	texts := make([]string, n)
	for i := range texts {
		u, err := w.node.CreateUser(t.Context(), node.NewUser{Name: fmt.Sprintf("robot-%d", i), Password: passwords["alice"], Scope: []string{"notes"}}, node.Origin{})
		if err != nil {
			t.Fatal(err)
		}
		if _, texts[i], err = w.node.CreateAPIKey(t.Context(), node.NewAPIKey{User: u.ID, Scope: []string{"notes"}}, node.Origin{}); err != nil {
			t.Fatal(err)
		}
	}
	return texts
}

// An accept of a known API key allocates nothing in the handler either, and each key has its own headers.
func TestVerifyOfAPIKeyAllocatesNothing(t *testing.T) {
	w := newWorld(t)
	h := newVerifyHandler(newAPI(w.node, Config{}))
	d := newDiscard()
	seen := map[string]bool{}
	for _, key := range w.keys(t, 3) {
		for name, value := range map[string]string{"X-API-Key": key, "Authorization": "Bearer " + key} {
			r, _ := http.NewRequest("GET", "/verify", http.NoBody)
			r.Header.Set(name, value)
			allocs := testing.AllocsPerRun(1000, func() {
				clear(d.h)
				h.ServeHTTP(d, r)
			})
			if d.status != 0 || d.h.Get(headerScopes) != "notes" || len(d.h[headerSession]) != 1 || d.h.Get(headerSession) != "" {
				t.Fatalf("not accepted: %d %v", d.status, d.h)
			}
			if allocs != 0 {
				t.Errorf("%s: %v allocations", name, allocs)
			}
			seen[d.h.Get(headerUser)] = true
		}
	}
	if len(seen) != 3 {
		t.Errorf("users %v", seen)
	}
}

// The operator of a replica makes keys for others on its own machine.
func TestLocalAPIKeys(t *testing.T) {
	w := newWorld(t)
	h := NewLocal(w.node, Config{})
	path := "/users/" + w.vars["alice-id"] + "/api-keys"
	var made struct{ ID, Key string }
	for _, c := range []struct {
		path, body string
		status     int
	}{{path, `{"name":"x","scopes":["notes"]}`, 201}, {path, `{"name":"x","scopes":["admin"]}`, 400}, {path + "/{id}/rotate", `{"overlap":60}`, 200}} {
		got := call(h, "POST", strings.Replace(c.path, "{id}", made.ID, 1), c.body, jsonType)
		expect(t, got, c.status)
		if got.Code < 300 {
			if err := json.Unmarshal(got.Body.Bytes(), &made); err != nil {
				t.Fatal(err)
			}
			expect(t, call(w.handler, "GET", "/verify", "", "X-API-Key: "+made.Key), 200)
		}
	}
	expect(t, call(h, "DELETE", path+"/"+made.ID, ""), 204)
	expect(t, call(w.handler, "GET", "/verify", "", "X-API-Key: "+made.Key), 401)
	expect(t, call(h, "PUT", "/roles/member", `{"scopes":["notes"]}`, jsonType), 204)
	if got := call(h, "GET", "/roles", ""); !strings.Contains(got.Body.String(), "member") {
		t.Error(got.Body)
	}
	expect(t, call(h, "GET", "/api-keys", ""), 404)
}

// In a service that mounts the middleware the three kinds of credentials are told apart, and requirements add up.
func TestMiddlewareTellsKindsApart(t *testing.T) {
	w := newWorld(t, withBasic)
	key := w.keys(t, 1)[0]
	var seen node.Kind
	service := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _ := IdentityFrom(r.Context())
		seen = id.Kind()
		w.WriteHeader(http.StatusTeapot)
	})
	token, basic := "Authorization: Bearer "+w.vars["alice"], "Authorization: Basic "+w.vars["alice-basic"]
	both := func(h http.Handler) http.Handler { return RequireRole("reader")(RequireScope("notes")(h)) }
	for _, c := range []struct {
		name  string
		guard func(http.Handler) http.Handler
		as    string
		want  int
		kind  node.Kind
	}{
		{"token", RequireScope("notes"), token, 418, node.KindSession},
		{"key", RequireScope("notes"), "X-API-Key: " + key, 418, node.KindAPIKey},
		{"basic", RequireScope("notes"), basic, 418, node.KindBasic},
		{"session, token", RequireSession(), token, 418, node.KindSession},
		{"session, key", RequireSession(), "Authorization: Bearer " + key, 403, 0},
		{"session, basic", RequireSession(), basic, 403, 0},
		{"role and scope", both, token, 418, node.KindSession},
		{"role and scope, the scope alone", both, "X-API-Key: " + key, 403, 0},
		{"role and scope, the role alone", func(h http.Handler) http.Handler { return RequireRole("reader")(RequireScope("admin")(h)) }, basic, 403, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			seen = 0
			expect(t, call(Authenticate(w.node)(c.guard(service)), "GET", "/", "", c.as), c.want)
			if seen != c.kind {
				t.Errorf("kind %v, want %v", seen, c.kind)
			}
			expect(t, call(c.guard(service), "GET", "/", "", c.as), 401) // without Authenticate
		})
	}
}
