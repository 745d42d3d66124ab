package httpapi

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/knell-auth/knell/node"
)

// A log-in page leads to a code, and the code to tokens, for the client that asked and with what it asked for.
func TestAuthorizationCode(t *testing.T) {
	w := newAppWorld(t)
	answer := ask(w.handler, authorization())
	p := checkPage(t, answer)
	var items []string
	for _, li := range p.find("li") {
		items = append(items, strings.TrimSpace(li.text))
	}
	if !slices.Equal(items, []string{"who you are (openid)", "your name (profile)"}) {
		t.Errorf("asked for: %q", items)
	}
	if text := answer.Body.String(); !strings.Contains(text, "<bdi>app.test</bdi>") {
		t.Errorf("the page does not say where it leads to\n%s", text)
	}
	if policy := answer.Header().Get("Content-Security-Policy"); !strings.Contains(policy, "form-action 'self' https:;") {
		t.Errorf("policy %q", policy)
	}
	form := obtain(t, w.handler, authorization())
	tokens := redeem(w.handler, form)
	expect(t, tokens, 200, "Cache-Control: no-store", "Content-Type: application/json")
	var body struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
		ID      string `json:"id_token"`
		Scope   string `json:"scope"`
	}
	if err := json.Unmarshal(tokens.Body.Bytes(), &body); err != nil || body.Refresh == "" || body.ID == "" || body.Scope != "openid profile" {
		t.Errorf("%v: %s", err, tokens.Body)
	}
	w.vars["code"], w.vars["code-access"], w.vars["code-id-token"] = form.Get("code"), body.Access, body.ID
	info := call(w.handler, "GET", "/userinfo", "", "Authorization: Bearer "+body.Access)
	expect(t, info, 200)
	want := `{"sub":"` + w.vars["carol-id"] + `","name":"Carol Example","preferred_username":"carol"}` + "\n"
	if got := info.Body.String(); got != want {
		t.Errorf("userinfo %s, want %s", got, want)
	}
	expect(t, redeem(w.handler, form), 400) // and the session has ended
	expect(t, call(w.handler, "POST", "/userinfo", "", "Authorization: Bearer "+body.Access), 401)
	w.checkLog(t)
}

// What /userinfo says follows the scopes; a token without openid gets nothing.
func TestUserInfoFollowsScopes(t *testing.T) {
	w := newAppWorld(t)
	for scope, want := range map[string]string{
		"openid":       `{"sub":"` + w.vars["carol-id"] + `"}`,
		"openid email": `{"sub":"` + w.vars["carol-id"] + `","email":"carol@example.com"}`,
		"profile":      "",
	} {
		tokens := redeem(w.handler, obtain(t, w.handler, with(authorization(), "scope", scope)))
		var body struct {
			Access string `json:"access_token"`
			ID     string `json:"id_token"`
		}
		if err := json.Unmarshal(tokens.Body.Bytes(), &body); err != nil {
			t.Fatal(err)
		}
		info := call(w.handler, "POST", "/userinfo", "", "Authorization: Bearer "+body.Access)
		if want == "" {
			expect(t, info, 403, `WWW-Authenticate: Bearer realm="knell", error="insufficient_scope", `+
				`error_description="a scope is required that was not granted", scope="openid"`)
			if body.ID != "" {
				t.Errorf("an ID token for %s", scope)
			}
			continue
		}
		if got := strings.TrimSpace(info.Body.String()); info.Code != 200 || got != want {
			t.Errorf("%s: %d %s, want %s", scope, info.Code, got, want)
		}
	}
}

// Of these the client is told by a redirect, with state and issuer.
func TestAuthorizationErrorsGoToTheClient(t *testing.T) {
	w := newAppWorld(t)
	for _, c := range []struct{ name, value, code string }{
		{"response_type", "-", "invalid_request"},
		{"response_type", "token", "unsupported_response_type"},
		{"response_type", "code id_token", "unsupported_response_type"},
		{"response_type", "CODE", "unsupported_response_type"},
		{"response_mode", "fragment", "invalid_request"},
		{"response_mode", "form_post", "invalid_request"},
		{"code_challenge", "-", "invalid_request"},
		{"code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM=", "invalid_request"},
		{"code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cN", "invalid_request"},
		{"code_challenge", testVerifier[:42], "invalid_request"},
		{"code_challenge_method", "-", "invalid_request"},
		{"code_challenge_method", "plain", "invalid_request"},
		{"code_challenge_method", "s256", "invalid_request"},
		{"scope", "admin", "invalid_scope"},
		{"scope", "openid  profile", "invalid_scope"},
		{"scope", `"`, "invalid_scope"},
		{"nonce", strings.Repeat("n", 256), "invalid_request"},
		{"request", "eyJ", "request_not_supported"},
		{"request_uri", "https://app.test/r", "request_uri_not_supported"},
		{"registration", "{}", "registration_not_supported"},
		{"prompt", "none", "login_required"},
		{"prompt", "none login", "invalid_request"},
	} {
		for method, answer := range bothWays(w.handler, with(authorization(), c.name, c.value)) {
			got := answered(t, answer, appRedirect)
			if got.Get("error") != c.code || got.Get("state") != "s-1" || got.Get("code") != "" || got.Get("error_description") == "" {
				t.Errorf("%s %s=%s: %v, want %s", method, c.name, c.value, got, c.code)
			}
		}
	}
	for _, name := range []string{"response_type", "state", "scope", "nonce", "code_challenge", "prompt", "foo"} {
		twice := authorization()
		twice[name] = []string{"a", "b"}
		if got := answered(t, ask(w.handler, twice), appRedirect); got.Get("error") != "invalid_request" {
			t.Errorf("%s twice: %v", name, got)
		}
	}
	for _, state := range []string{strings.Repeat("s", maxState+1), "sch\u00f6n"} {
		got := answered(t, ask(w.handler, with(authorization(), "state", state)), appRedirect)
		if got.Get("error") != "invalid_request" || got.Has("state") {
			t.Errorf("state %.10q: %v", state, got)
		}
	}
}

// bothWays sends an authorization request by GET and by POST (OpenID Connect Core 1.0 section 3.1.2.1).
func bothWays(h http.Handler, values url.Values) map[string]*httptest.ResponseRecorder {
	return map[string]*httptest.ResponseRecorder{"GET": ask(h, values), "POST": submit(h, values)}
}

// Of these nobody is told but the user: a redirect would make this server one for everybody (RFC 9700 section 4.11).
func TestAuthorizationErrorsThatRedirectNobody(t *testing.T) {
	w := newAppWorld(t)
	for _, pairs := range [][]string{
		{"client_id", "-"},
		{"client_id", "nobody"},
		{"client_id", "APP"},
		{"client_id", "spa"}, // has no redirect URI
		{"client_id", "spa", "redirect_uri", "-"},
		{"redirect_uri", "-"}, // app has two
		{"redirect_uri", "https://app.test/cb"},
		{"redirect_uri", "https://app.test/cb?tenant=2"},
		{"redirect_uri", "https://app.test/cb?tenant=1&x=y"},
		{"redirect_uri", "https://app.test/cb/?tenant=1"},
		{"redirect_uri", "https://APP.test/cb?tenant=1"},
		{"redirect_uri", "https://app.test:443/cb?tenant=1"},
		{"redirect_uri", "https://u@app.test/cb?tenant=1"},
		{"redirect_uri", "https://app.test/%63b?tenant=1"},
		{"redirect_uri", "https://app.test/x/../cb?tenant=1"},
		{"redirect_uri", "https://app.test/cb?tenant=1#"},
		{"redirect_uri", "https://app.test.evil.test/cb?tenant=1"},
		{"redirect_uri", "https://evil.test"},
		{"redirect_uri", "//evil.test"},
		{"redirect_uri", "javascript:alert(1)"},
		{"redirect_uri", "http://127.0.0.1:1@evil.test/cb"},
		{"redirect_uri", "http://127.0.0.2:8000/cb"},
		{"redirect_uri", "http://localhost:8000/cb"},
		{"redirect_uri", "http://127.0.0.1:8000/cb/"},
	} {
		for method, answer := range bothWays(w.handler, with(authorization(), pairs...)) {
			if answer.Code != 400 {
				t.Errorf("%s %v: status %d", method, pairs, answer.Code)
			}
			if p := checkPage(t, answer); p.alert() == "" || len(p.find("form")) != 0 {
				t.Errorf("%s %v: no alert, or a form\n%s", method, pairs, answer.Body)
			}
		}
	}
	for _, name := range []string{"client_id", "redirect_uri"} {
		twice := authorization()
		twice[name] = append(twice[name], twice[name][0])
		expect(t, ask(w.handler, twice), 400, "Location: -")
	}
	for _, query := range []string{
		"client_id=app;x", "client_id=%zz", "client_id=%ff", "client_id=app&state=a%0d%0aX:y", "%00=1&client_id=app",
	} {
		expect(t, call(w.handler, "GET", "/authorize?"+query, ""), 400, "Location: -", "X: -")
	}
	if err := w.node.DisableClient(t.Context(), "app", node.Origin{}); err != nil {
		t.Fatal(err)
	}
	expect(t, ask(w.handler, authorization()), 400, "Location: -")
}

// A loopback client gets its answer on whatever port it listens on; the policy lets its scheme through.
func TestLoopbackRedirect(t *testing.T) {
	w := newAppWorld(t)
	values := with(authorization(), "redirect_uri", "http://127.0.0.1:54321/cb")
	page := ask(w.handler, values)
	if policy := page.Header().Get("Content-Security-Policy"); !strings.Contains(policy, "form-action 'self' http:;") {
		t.Errorf("policy %q", policy)
	}
	form := obtain(t, w.handler, values)
	expect(t, redeem(w.handler, with(form, "redirect_uri", "http://127.0.0.1:54322/cb")), 400)
	expect(t, redeem(w.handler, form), 200)
}

// Nothing that a client, a link or a user wrote becomes part of the page.
func TestLogInPageIsNotInjectable(t *testing.T) {
	w := newAppWorld(t)
	const evil = `"><script>alert(1)</script><form action=https://evil.test>'` + "`" + `{{.}}</style><!--`
	asked := ask(w.handler, with(authorization(), "state", evil, "login_hint", evil, "nonce", evil, "foo", evil))
	p := checkPage(t, asked)
	if len(p.find("form")) != 1 || p.find("form")[0].attrs["action"] != "authorize" || p.fields.Get("username") != evil {
		t.Errorf("form %v, fields %v", p.find("form"), p.fields)
	}
	if !strings.Contains(asked.Body.String(), "Orders&lt;/title&gt;") {
		t.Error("the page does not name the client")
	}
	wrong := submit(w.handler, fill(t, asked, evil, "wrong-password"))
	p = checkPage(t, wrong)
	if wrong.Code != 400 || p.fields.Get("username") != evil || p.alert() != "The name or the password is not right." {
		t.Errorf("%d %q\n%s", wrong.Code, p.alert(), wrong.Body)
	}
	got := answered(t, submit(w.handler, with(p.fields, "username", "carol", "password", carolPassword)), appRedirect)
	if got.Get("state") != evil || got.Get("code") == "" {
		t.Errorf("answer %v", got)
	}
	expect(t, call(w.handler, "GET", "/authorize?client_id="+url.QueryEscape(evil), ""), 400)
}

// Wrong names, wrong passwords and disabled users look alike; what was typed into the password field never comes back.
func TestLogInPageSaysWhatIsWrong(t *testing.T) {
	w := newAppWorld(t)
	answers := map[string]bool{}
	for name, password := range map[string]string{"carol": "wrong-password", "nobody": "wrong-password", "mallory": passwords["mallory"]} {
		answer := submit(w.handler, fill(t, ask(w.handler, authorization()), name, password))
		p := checkPage(t, answer)
		if answer.Code != 400 || p.fields.Get("username") != name || p.fields.Get("password") != "" {
			t.Errorf("%s: %d, fields %v", name, answer.Code, p.fields)
		}
		if strings.Contains(answer.Body.String(), password) {
			t.Errorf("%s: the password is in the page", name)
		}
		body := strings.ReplaceAll(answer.Body.String(), name, "")
		answers[strings.ReplaceAll(body, p.fields.Get(fieldRequest), "")] = true
	}
	if len(answers) != 1 {
		t.Errorf("%d different answers", len(answers))
	}
	for _, missing := range []string{"username", "password"} {
		answer := submit(w.handler, with(fill(t, ask(w.handler, authorization()), "carol", carolPassword), missing, ""))
		if p := checkPage(t, answer); answer.Code != 400 || p.alert() == "" {
			t.Errorf("no %s: %d %q", missing, answer.Code, p.alert())
		}
	}
	untouched := readPage(t, ask(w.handler, authorization()).Body.String()).fields
	got := answered(t, submit(w.handler, with(untouched, "cancel", "yes")), appRedirect)
	if got.Get("error") != "access_denied" || got.Get("state") != "s-1" {
		t.Errorf("cancelled: %v", got)
	}
	page := ask(w.handler, with(authorization(), "scope", "email"))
	got = answered(t, submit(w.handler, fill(t, page, "root", passwords["root"])), appRedirect)
	if got.Get("error") != "invalid_scope" {
		t.Errorf("a user who has none of it: %v", got)
	}
	w.checkLog(t)
}

// A form counts only if it was sent from a page that was made here, for what that page showed.
func TestForgedForms(t *testing.T) {
	w := newAppWorld(t)
	good := fill(t, ask(w.handler, authorization()), "carol", carolPassword)
	sealed := good.Get(fieldRequest)
	code := redeemable(t, w)
	for what, form := range map[string]url.Values{
		"altered":      with(good, fieldRequest, sealed[:40]+"AAAA"+sealed[44:]),
		"cut":          with(good, fieldRequest, sealed[:len(sealed)-2]),
		"made up":      with(good, fieldRequest, "kna_eyJjbGllbnQiOiJhcHAifQ"),
		"a code":       with(good, fieldRequest, code),
		"a code's MAC": with(good, fieldRequest, "kna_"+strings.TrimPrefix(code, "knc_")),
		"twice":        {fieldRequest: {sealed, sealed}, "username": {"carol"}, "password": {carolPassword}},
		"two users":    {fieldRequest: {sealed}, "username": {"carol", "root"}, "password": {carolPassword}},
	} {
		answer := submit(w.handler, form)
		if answer.Code != 400 {
			t.Errorf("%s: %d", what, answer.Code)
		}
		checkPage(t, answer)
	}
	for _, site := range []string{"cross-site", "same-site", "nonsense"} {
		expect(t, submit(w.handler, good, "Sec-Fetch-Site: "+site), 400, "Location: -")
	}
	// What stands beside the sealed request counts for nothing.
	beside := with(good, "client_id", "spa", "redirect_uri", "https://evil.test/", "scope", "admin", "state", "other", "code_challenge", "x")
	got := answered(t, submit(w.handler, beside, "Sec-Fetch-Site: same-origin"), appRedirect)
	if got.Get("state") != "s-1" || got.Get("code") == "" {
		t.Errorf("answer %v", got)
	}
	expect(t, call(w.handler, "POST", "/authorize?state=x", good.Encode(), formType), 400, "Location: -")
	expect(t, call(w.handler, "POST", "/authorize", good.Encode(), "Content-Type: text/plain"), 400, "Location: -")
	expect(t, call(w.handler, "POST", "/authorize", "{}", jsonType), 400, "Location: -")
	expect(t, call(w.handler, "PUT", "/authorize", ""), 405, "Allow: GET, HEAD, POST")
	// What was sealed is checked again against what is registered now.
	if err := w.node.ChangeClient(t.Context(), "app", node.ClientChange{Redirects: []string{"https://new.test/"}}, node.Origin{}); err != nil {
		t.Fatal(err)
	}
	for _, form := range []url.Values{good, with(good, "cancel", "yes"), with(good, "password", ""), with(good, "password", "wrong-password")} {
		answer := submit(w.handler, form)
		expect(t, answer, 400, "Location: -")
		if p := checkPage(t, answer); len(p.find("form")) != 0 {
			t.Errorf("a form that leads to a redirect URI that was taken away\n%s", answer.Body)
		}
	}
	if err := w.node.DisableClient(t.Context(), "app", node.Origin{}); err != nil {
		t.Fatal(err)
	}
	expect(t, submit(w.handler, good), 400, "Location: -")
}

func redeemable(t *testing.T, w *world) string {
	return obtain(t, w.handler, authorization()).Get("code")
}

// A body that is too large is refused without being read to its end.
func TestAuthorizeBodies(t *testing.T) {
	w := newAppWorld(t)
	good := fill(t, ask(w.handler, authorization()), "carol", carolPassword)
	huge := submit(w.handler, with(good, "username", strings.Repeat("a", maxAuthorize)))
	expect(t, huge, 413)
	checkPage(t, huge)
	long := submit(w.handler, with(good, "username", strings.Repeat("a", 4000), "password", strings.Repeat("p", 4000)))
	expect(t, long, 400)
	// The longest request that is taken makes a page, an answer and a token request that are.
	values := with(authorization(), "state", strings.Repeat("<", maxState), "nonce", strings.Repeat("&", maxNonce))
	form := obtain(t, w.handler, values)
	expect(t, redeem(w.handler, form), 200)
}
