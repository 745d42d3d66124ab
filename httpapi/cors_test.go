package httpapi

import (
	"net/http"
	"strings"
	"testing"
)

const app = "https://app.example.com"

func TestCORS(t *testing.T) {
	w := newWorld(t)
	h := New(w.node, Config{PasswordGrant: true, Origins: []string{app, "http://localhost:3000"}})
	const method = "Access-Control-Request-Method: POST"
	got := call(h, "OPTIONS", "/token", "", "Origin: "+app, method, "Access-Control-Request-Headers: authorization")
	expect(t, got, 204, "Access-Control-Allow-Origin: "+app, "Access-Control-Allow-Methods: POST", "Access-Control-Max-Age: 600",
		"Access-Control-Allow-Credentials: -", "Vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers")
	for _, name := range []string{"Authorization", "X-API-Key"} {
		if !strings.Contains(got.Header().Get("Access-Control-Allow-Headers"), name) {
			t.Errorf("a page may not send %s", name)
		}
	}
	expect(t, call(h, "OPTIONS", "/api-keys", "", "Origin: "+app, "Access-Control-Request-Method: POST"), 204, "Access-Control-Allow-Methods: GET, POST")
	expect(t, call(h, "OPTIONS", "/profile", "", "Origin: http://localhost:3000", "Access-Control-Request-Method: GET"), 204,
		"Access-Control-Allow-Origin: http://localhost:3000", "Access-Control-Allow-Methods: GET")
	for _, other := range []string{"https://evil.example", "null", "http://app.example.com", app + ".evil.example", app + ":8443", "HTTPS://APP.EXAMPLE.COM", "*"} {
		expect(t, call(h, "OPTIONS", "/token", "", "Origin: "+other, method), 403, "Access-Control-Allow-Origin: -")
		// Answered, since it may be no browser, but no page can read it.
		expect(t, call(h, "POST", "/token", loginForm, formType, "Origin: "+other), 200, "Access-Control-Allow-Origin: -", "Vary: Origin")
	}
	expect(t, call(h, "OPTIONS", "/token", "", "Origin: "+app, "Origin: "+app, method), 403)
	expect(t, call(h, "OPTIONS", "/token", ""), 204, "Allow: POST, OPTIONS", "Access-Control-Allow-Origin: -")

	expect(t, call(h, "POST", "/token", loginForm, formType, "Origin: "+app), 200, "Access-Control-Allow-Origin: "+app, "Vary: Origin",
		"Access-Control-Allow-Credentials: -")
	// A page must be able to tell why: errors are shared too.
	got = call(h, "GET", "/profile", "", "Origin: "+app)
	expect(t, got, 401, "Access-Control-Allow-Origin: "+app)
	if !strings.Contains(got.Header().Get("Access-Control-Expose-Headers"), "WWW-Authenticate") {
		t.Error("a page cannot read the challenge")
	}

	// Administration, and what proxies ask, is for no page.
	root := "Authorization: Bearer " + w.vars["root"]
	for _, path := range []string{"/users", "/admin", "/verify"} {
		if got := call(h, "OPTIONS", path, "", "Origin: "+app, "Access-Control-Request-Method: GET"); got.Header()["Access-Control-Allow-Origin"] != nil {
			t.Errorf("%s is open to pages", path)
		}
		expect(t, call(h, "GET", path, "", "Origin: "+app, root), 200, "Access-Control-Allow-Origin: -")
	}
	// Without a list nothing is said, and nothing answers OPTIONS.
	expect(t, call(w.handler, "POST", "/token", loginForm, formType, "Origin: "+app), 200, "Access-Control-Allow-Origin: -", "Vary: -")
	expect(t, call(w.handler, "OPTIONS", "/token", "", "Origin: "+app, method), 405, "Allow: POST", "Access-Control-Allow-Origin: -")
}

func TestCheckOrigin(t *testing.T) {
	for _, good := range []string{app, "http://localhost:3000", "https://[2001:db8::1]:8443", "http://127.0.0.1:8080"} {
		if err := CheckOrigin(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", "*", "null", "https://*.example.com", app + "/", app + "/x", app + "?", app + "#", "https://App.example.com",
		"https://app.example.com:443", "http://a:80", "https://a:", "app.example.com", "ftp://a", "https://u@a", "https://", "https://a b"} {
		if CheckOrigin(bad) == nil {
			t.Errorf("%q passes for an origin", bad)
		}
	}
}

// No answer can be stored, framed or taken for a page that loads something, whatever became of the request.
func TestSecureHeaders(t *testing.T) {
	w := newWorld(t)
	for _, c := range [][]string{
		{"GET", "/livez"}, {"GET", "/profile"}, {"GET", "/nothing"}, {"DELETE", "/token"}, {"POST", "/token"}, {"GET", "/verify"}, {"GET", "/openapi.json"},
	} {
		got := call(w.handler, c[0], c[1], "")
		expect(t, got, got.Code, "Cache-Control: no-store", "X-Content-Type-Options: nosniff", "X-Frame-Options: DENY", "Referrer-Policy: no-referrer",
			"Content-Security-Policy: default-src 'none'; frame-ancestors 'none'", "Cross-Origin-Resource-Policy: same-origin",
			"Strict-Transport-Security: -", "Server: -", "X-Powered-By: -")
		if got.Header().Get("X-Request-Id") == "" {
			t.Errorf("%s %s: no request id", c[0], c[1])
		}
	}
	// A header that one answer adds to is not in the next.
	h := secureHeaders(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Add("Cache-Control", "private") }))
	call(h, "GET", "/", "")
	expect(t, call(w.handler, "GET", "/livez", ""), 200, "Cache-Control: no-store")
}
