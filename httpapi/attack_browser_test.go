package httpapi

import (
	"net/http/httptest"
	"strings"
	"testing"
)

// TestForgedByBrowser: of all credentials a browser remembers user name and password alone, and sends them along with whatever a page of
// another site makes it send. No such request changes anything.
func TestForgedByBrowser(t *testing.T) {
	w := newWorld(t, withBasic)
	h := New(w.node, Config{Origins: []string{app}})
	basic, bearer := "Authorization: Basic "+w.vars["root-basic"], "Authorization: Bearer "+w.vars["root"]
	send := func(credential string, headers ...string) *httptest.ResponseRecorder {
		return call(h, "POST", "/users/"+w.vars["mallory-id"]+"/unlock", "", append(headers, credential)...)
	}
	for name, headers := range map[string][]string{
		"a page of another site":               {"Sec-Fetch-Site: cross-site", "Origin: https://evil.example"},
		"a form of another site":               {"Sec-Fetch-Site: cross-site", "Origin: https://evil.example", formType},
		"a page of a site beside it":           {"Sec-Fetch-Site: same-site", "Origin: https://beside.example.com"},
		"a frame without an origin":            {"Sec-Fetch-Site: cross-site", "Origin: null"},
		"a browser that says no more":          {"Sec-Fetch-Site: cross-site"},
		"an old browser":                       {"Origin: https://evil.example"},
		"an old browser, a frame":              {"Origin: null"},
		"an old browser, the host in the path": {"Origin: https://evil.example/example.com"},
		"an old browser, the host as a prefix": {"Origin: https://example.com.evil.example"},
		"a site that nobody knows":             {"Sec-Fetch-Site: nonsense"},
	} {
		t.Run(name, func(t *testing.T) {
			expect(t, send(basic, headers...), 403, "Content-Type: application/problem+json", "WWW-Authenticate: -")
			expect(t, send(strings.Replace(basic, "Basic", "bASIC", 1), headers...), 403)
			expect(t, send(bearer, headers...), 204) // no browser sends one unasked
		})
	}
	for name, headers := range map[string][]string{
		"no browser":                   nil,
		"a page of its own":            {"Sec-Fetch-Site: same-origin", "Origin: https://example.com"},
		"typed by the user":            {"Sec-Fetch-Site: none"},
		"an old browser, its own page": {"Origin: https://example.com"},
		"an origin of the list":        {"Sec-Fetch-Site: cross-site", "Origin: " + app},
	} {
		t.Run(name, func(t *testing.T) { expect(t, send(basic, headers...), 204) })
	}
	// What only reads is answered, and no page reads the answer.
	expect(t, call(h, "GET", "/users", "", basic, "Sec-Fetch-Site: cross-site", "Origin: https://evil.example"), 200, "Access-Control-Allow-Origin: -")
	// Where a browser remembers nothing, there is nothing to forge: not at the token endpoint, nor at the end of a session.
	expect(t, call(h, "POST", "/logout", "", basic, "Sec-Fetch-Site: cross-site"), 400)
}

// TestOriginsThatLookAlike: an origin is shared with when it is one of the list, byte by byte, and never as another one's beginning or end.
func TestOriginsThatLookAlike(t *testing.T) {
	w := newWorld(t)
	h := New(w.node, Config{PasswordGrant: true, Origins: []string{app, "http://localhost:3000"}})
	const method = "Access-Control-Request-Method: "
	for _, origin := range []string{
		"null", "*", "", "https://", "https://app.example.com.evil.example", "https://evilapp.example.com", "https://evil.example/app.example.com",
		"https://evil.example#https://app.example.com", "https://app.example.com@evil.example", "https://app.example.com:443",
		"https://app.example.com:8443", "https://app.example.com/", "https://app.example.com ", "https://app.example.com.", "https://app_example.com",
		"https://app-example.com", "https://APP.example.com", "http://app.example.com", "https://example.com", "https://x.app.example.com",
		"https://app.example.com, https://evil.example", "https://evil.example https://app.example.com", "https://app.example.com\thttps://evil.example",
		"https://app.ex\u00e4mple.com", "https://app.example.com%60.evil.example", "https://app.example.com_.evil.example", "file://", "http://localhost",
		"http://localhost:30000", "http://localhost:3000.evil.example", "http://127.0.0.1:3000", "http://[::1]:3000",
	} {
		t.Run(origin, func(t *testing.T) {
			with := []string{"Origin: " + origin}
			got := call(h, "OPTIONS", "/token", "", append(with, method+"POST")...)
			expect(t, got, 403, "Access-Control-Allow-Origin: -", "Access-Control-Allow-Methods: -", "Access-Control-Allow-Credentials: -")
			if !strings.Contains(strings.Join(got.Header().Values("Vary"), ", "), "Origin") {
				t.Errorf("Vary: %q: a cache would give this to others", got.Header().Values("Vary"))
			}
			expect(t, call(h, "POST", "/token", loginForm, append(with, formType)...), 200, "Access-Control-Allow-Origin: -", "Vary: Origin")
		})
	}
	// Whatever a preflight asks for, it is answered with what there is: no other method, header or network.
	for name, asked := range map[string]string{
		"a method that is not there": method + "PUT", "a method that nobody knows": method + "FROB", "a method in lower case": method + "post",
		"a method that breaks a line": method + "POST, DELETE", "all methods": method + "*", "an empty method": method,
	} {
		t.Run(name, func(t *testing.T) {
			expect(t, call(h, "OPTIONS", "/token", "", "Origin: "+app, asked, "Access-Control-Request-Headers: *, x-evil", "Access-Control-Request-Private-Network: true"),
				204, "Access-Control-Allow-Origin: "+app, "Access-Control-Allow-Methods: POST", "Access-Control-Allow-Headers: "+corsHeaders,
				"Access-Control-Allow-Credentials: -", "Access-Control-Allow-Private-Network: -")
		})
	}
}
