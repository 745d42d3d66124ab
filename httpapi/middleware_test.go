package httpapi

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/knell-auth/knell/internal/metrics"
	"github.com/knell-auth/knell/node"
)

// The middleware stands alone in a service that knows nothing else of this package.
func TestMiddlewareInService(t *testing.T) {
	w := newWorld(t)
	var seen node.Identity
	service := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen, _ = IdentityFrom(r.Context())
		w.WriteHeader(http.StatusTeapot)
	})
	alice, root := "Authorization: Bearer "+w.vars["alice"], "Authorization: Bearer "+w.vars["root"]
	for _, c := range []struct {
		name  string
		guard func(http.Handler) http.Handler
		as    string
		want  int
	}{
		{"no scope needed", RequireScope(), alice, 418},
		{"scope", RequireScope("profile"), alice, 418},
		{"two scopes", RequireScope("profile", "notes"), alice, 418},
		{"one of two", RequireScope("profile", "admin"), alice, 403},
		{"none", RequireScope("admin"), alice, 403},
		{"other user", RequireScope("admin"), root, 418},
		{"role", RequireRole("reader"), alice, 418},
		{"other role", RequireRole("operator"), alice, 403},
		{"part of a role", RequireRole("read"), alice, 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			seen = node.Identity{}
			h := Authenticate(w.node)(c.guard(service))
			got := call(h, "GET", "/anything", "", c.as)
			expect(t, got, c.want)
			if seen.Valid() != (c.want == 418) {
				t.Error("the service was reached, or not")
			}
			if ch := got.Header().Get("WWW-Authenticate"); c.want == 403 && !strings.Contains(ch, "insufficient_scope") {
				t.Errorf("challenge %q", ch)
			}
			expect(t, call(h, "GET", "/anything", ""), 401, `WWW-Authenticate: Bearer realm="knell"`)
			// Without Authenticate nobody passes.
			expect(t, call(c.guard(service), "GET", "/anything", "", c.as), 401)
		})
	}
}

func TestMiddlewareRefusesNonsense(t *testing.T) {
	for name, build := range map[string]func(){
		"empty scope":       func() { RequireScope("") },
		"two scopes in one": func() { RequireScope("a b") },
		"quotation mark":    func() { RequireScope(`"`) },
		"empty role":        func() { RequireRole("") },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			build()
		}()
	}
}

// The local surface asks for no token, serves nothing but administration, and leaves its mark on events.
func TestLocal(t *testing.T) {
	w := newWorld(t)
	h := NewLocal(w.node, Config{})
	got := call(h, "POST", "/users", `{"name":"carol","password":"correct horse battery","roles":["admin"],"scopes":["admin"]}`, jsonType)
	expect(t, got, 201, "Content-Type: application/json")
	location := got.Header().Get("Location")
	expect(t, call(h, "POST", location+"/disable", ""), 204)
	got = call(h, "GET", "/users?name=carol", "")
	expect(t, got, 200)
	if !strings.Contains(got.Body.String(), `"disabled":true`) {
		t.Error(got.Body)
	}
	got = call(h, "GET", "/status", "")
	expect(t, got, 200)
	if body := got.Body.String(); !strings.Contains(body, `"users":`) || !strings.Contains(body, `"lease_ms":`) ||
		strings.Count(body, `"peers":`) != 1 {
		t.Error(body)
	}
	for _, target := range []string{"/verify", "/profile", "/token", "/logout", "/admin"} {
		expect(t, call(h, "GET", target, "", "Authorization: Bearer "+w.vars["root"]), 404)
	}

}

// A replica that is behind answers no question about users, not even locally.
func TestLocalWhenBehind(t *testing.T) {
	h := NewLocal(&scripted{behind: true}, Config{})
	expect(t, call(h, "GET", "/users", ""), 503, "Retry-After: 1")
	expect(t, call(h, "POST", "/users/aaaaaaaaaaaaaaaaaaaaaaaaaa/disable", ""), 503)
	expect(t, call(h, "GET", "/status", ""), 200)
	expect(t, call(New(&scripted{behind: true}, Config{}), "GET", "/readyz", ""), 503, "Retry-After: 1")
	expect(t, call(New(&scripted{behind: true}, Config{}), "GET", "/livez", ""), 200)
}

// An accept of a known token allocates nothing in the handler, nor in what looks on.
func TestVerifyAllocatesNothing(t *testing.T) {
	in := newReceiver(t)
	tracer := in.tracer("n1")
	defer tracer.Close(t.Context())
	w := newWorld(t)
	for what, h := range map[string]http.Handler{
		"the handler": newVerifyHandler(newAPI(w.node, Config{})),
		"seen by all": New(w.node, Config{Logger: slog.New(slog.DiscardHandler), Meter: metrics.New(metrics.Config{}), Tracer: tracer}),
	} {
		t.Run(what, func(t *testing.T) { verifyAllocatesNothing(t, w, h) })
	}
}

func verifyAllocatesNothing(t *testing.T, w *world, h http.Handler) {
	r, _ := http.NewRequest("GET", "/verify", http.NoBody)
	r.Header.Set("Authorization", "Bearer "+w.vars["alice"])
	d := newDiscard()
	allocs := testing.AllocsPerRun(1000, func() {
		clear(d.h)
		h.ServeHTTP(d, r)
	})
	if d.status != 0 || d.h.Get(headerUser) == "" {
		t.Fatalf("not accepted: %d %v", d.status, d.h)
	}
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
