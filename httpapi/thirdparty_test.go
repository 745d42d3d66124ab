package httpapi

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/knell-auth/knell/node"
)

// through logs carol in through app and returns the access token.
func (w *world) through(t *testing.T, scope string) string {
	t.Helper()
	tokens := redeem(w.handler, obtain(t, w.handler, with(authorization(), "scope", scope)))
	var body struct {
		Access string `json:"access_token"`
	}
	if err := json.Unmarshal(tokens.Body.Bytes(), &body); err != nil || body.Access == "" {
		t.Fatalf("%v: %s", err, tokens.Body)
	}
	return body.Access
}

// A client that a user logged in to does what its scopes say, and ends its own session: the user's other sessions and the password
// are none of its business.
func TestClientIsNotTheUser(t *testing.T) {
	w := newAppWorld(t)
	login := node.LoginRequest{Name: "carol", Password: carolPassword}
	own, err := w.node.Login(t.Context(), login)
	if err != nil {
		t.Fatal(err)
	}
	lent := w.through(t, "openid profile email notes")
	as := func(token, method, target, body string, headers ...string) *httptest.ResponseRecorder {
		return call(w.handler, method, target, body, append(headers, "Authorization: Bearer "+token)...)
	}
	const guess = `{"old_password":"` + carolPassword + `","new_password":"taken over 1"}`
	for _, c := range []struct{ method, target, body string }{
		{"GET", "/sessions", ""},
		{"HEAD", "/sessions", ""},
		{"DELETE", "/sessions/" + own.Session.String(), ""},
		{"POST", "/profile/password", guess},
		{"GET", "/api-keys", ""},
		{"POST", "/api-keys", `{"name":"mine","scopes":["notes"]}`},
		{"POST", "/api-keys/" + own.Session.String() + "/rotate", "{}"},
		{"DELETE", "/api-keys/" + own.Session.String(), ""},
		{"POST", "/logout?scope=others", ""},
		{"POST", "/logout?scope=all", ""},
	} {
		var headers []string
		if c.body != "" {
			headers = append(headers, jsonType)
		}
		answer := as(lent, c.method, c.target, c.body, headers...)
		expect(t, answer, 403, `WWW-Authenticate: Bearer realm="knell", error="insufficient_scope", error_description="this is for users `+
			`themselves: a token that was issued to a client may not do it, whatever its scope"`)
		if t.Failed() {
			t.Fatalf("%s %s", c.method, c.target)
		}
	}
	expect(t, as(own.AccessToken, "GET", "/sessions", ""), 200)
	if _, err := w.node.Login(t.Context(), login); err != nil {
		t.Errorf("the password: %v", err)
	}
	expect(t, as(lent, "POST", "/logout", ""), 204)
	expect(t, as(lent, "POST", "/logout?scope=all", ""), 401)
	expect(t, as(own.AccessToken, "POST", "/logout?scope=others", ""), 204)
}

// The email address at /profile follows the scope email, as at /userinfo, unless it is the user who asks.
func TestProfileThroughClient(t *testing.T) {
	w := newAppWorld(t)
	own, err := w.node.Login(t.Context(), node.LoginRequest{Name: "carol", Password: carolPassword, Scope: []string{"profile"}})
	if err != nil {
		t.Fatal(err)
	}
	for token, email := range map[string]bool{
		own.AccessToken:                true,
		w.through(t, "profile"):        false,
		w.through(t, "openid profile"): false,
		w.through(t, "profile email"):  true,
	} {
		answer := call(w.handler, "GET", "/profile", "", "Authorization: Bearer "+token)
		expect(t, answer, 200)
		body := answer.Body.String()
		if strings.Contains(body, "carol@example.com") != email || !strings.Contains(body, "Carol Example") {
			t.Errorf("email %v: %s", email, body)
		}
	}
}
