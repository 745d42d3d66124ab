package httpapi

import (
	"encoding/json"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knell-auth/knell/node"
)

// appCluster runs f with three replicas, carol and app.
func appCluster(t *testing.T, f func(t *testing.T, c *cluster)) {
	t.Helper()
	replicas(t, Config{LogoutWait: 5 * time.Second}, func(t *testing.T, c *cluster) {
		addApp(t, c.node)
		f(t, c)
	})
}

// The page of one replica is sent to another one, and the code is redeemed at a third, at once.
func TestAuthorizationAcrossReplicas(t *testing.T) {
	appCluster(t, func(t *testing.T, c *cluster) {
		form := fill(t, ask(c.api["a"], authorization()), "carol", carolPassword)
		code := answered(t, submit(c.api["b"], form), appRedirect).Get("code")
		red := url.Values{
			"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {appRedirect}, "client_id": {"app"},
			"code_verifier": {testVerifier},
		}
		token := bearerOf(t, redeem(c.api["c"], red))
		for at := range c.api {
			c.verified(at, token, 200, "X-Knell-Scopes: openid profile")
		}
		// A second redemption is refused and ends what the first one started, everywhere.
		w := redeem(c.api["a"], red)
		expect(t, w, 400)
		if !strings.Contains(w.Body.String(), `"error":"invalid_grant"`) {
			t.Error(w.Body)
		}
		for at := range c.api {
			c.verified(at, token, 401)
		}
	})
}

func bearerOf(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	var body struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || w.Code != 200 {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	return "Authorization: Bearer " + body.Token
}

// Redemptions at once at all replicas: one is answered at most, and when all have been answered its session has ended.
func TestRedemptionRace(t *testing.T) {
	appCluster(t, func(t *testing.T, c *cluster) {
		form := obtain(t, c.api["b"], authorization())
		answers := make(chan *httptest.ResponseRecorder)
		for _, h := range c.api {
			for range 3 {
				go func() { answers <- redeem(h, form) }()
			}
		}
		var won []string
		for range 9 {
			w := <-answers
			if w.Code == 200 {
				won = append(won, bearerOf(t, w))
			} else if w.Code != 400 || !strings.Contains(w.Body.String(), `"error":"invalid_grant"`) {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		}
		if len(won) > 1 {
			t.Errorf("%d winners", len(won))
		}
		for _, token := range won {
			for at := range c.api {
				c.verified(at, token, 401)
			}
		}
	})
}

// What a token request may get wrong about a code. Each is refused, and none of them spoils the code.
func TestCodeAttacks(t *testing.T) {
	appCluster(t, func(t *testing.T, c *cluster) {
		for _, nc := range []node.NewClient{
			{ID: "other", Redirects: []string{appRedirect}, Scope: []string{"openid"}},
			{ID: "secret", Secret: "secret-of-secret", Redirects: []string{appRedirect}, Scope: []string{"openid", "profile"}},
		} {
			if err := c.node.CreateClient(t.Context(), nc, node.Origin{}); err != nil {
				t.Fatal(err)
			}
		}
		form := obtain(t, c.api["a"], authorization())
		theirs := obtain(t, c.api["b"], with(authorization(), "client_id", "other", "scope", "openid"))
		twice := with(form)
		twice.Add("code", form.Get("code"))
		for what, attack := range map[string]struct {
			form url.Values
			code string
		}{
			"no verifier":                       {with(form, "code_verifier", "-"), "invalid_request"},
			"another verifier":                  {with(form, "code_verifier", strings.Repeat("a", 43)), "invalid_grant"},
			"the challenge for a verifier":      {with(form, "code_verifier", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"), "invalid_grant"},
			"a verifier that is too short":      {with(form, "code_verifier", testVerifier[:42]), "invalid_grant"},
			"injected into another client":      {with(form, "client_id", "other"), "invalid_grant"},
			"another client's code":             {with(form, "code", theirs.Get("code")), "invalid_grant"},
			"no client":                         {with(form, "client_id", "-"), "invalid_client"},
			"an unknown client":                 {with(form, "client_id", "nobody"), "invalid_client"},
			"a confidential client unproven":    {with(form, "client_id", "secret"), "invalid_client"},
			"a public client with a secret":     {with(form, "client_secret", "x"), "invalid_client"},
			"no redirect URI":                   {with(form, "redirect_uri", "-"), "invalid_grant"},
			"another redirect URI of it":        {with(form, "redirect_uri", "http://127.0.0.1/cb"), "invalid_grant"},
			"the redirect URI, another case":    {with(form, "redirect_uri", strings.ToUpper(appRedirect)), "invalid_grant"},
			"the redirect URI with a slash":     {with(form, "redirect_uri", appRedirect+"/"), "invalid_grant"},
			"no code":                           {with(form, "code", "-"), "invalid_request"},
			"a refresh token for a code":        {with(form, "code", "knr_x"), "invalid_grant"},
			"a code in another case":            {with(form, "code", strings.ToUpper(form.Get("code"))), "invalid_grant"},
			"a wider scope":                     {with(form, "scope", "openid profile email notes"), "invalid_request"},
			"the code for a refresh token":      {with(form, "grant_type", "refresh_token", "refresh_token", form.Get("code")), "invalid_grant"},
			"the grant's name with a space":     {with(form, "grant_type", "authorization_code "), "unsupported_grant_type"},
			"the implicit grant":                {with(form, "grant_type", "implicit"), "unsupported_grant_type"},
			"a code twice":                      {twice, "invalid_request"},
			"the end of a code on another code": {with(form, "code", form.Get("code")[:60]+theirs.Get("code")[60:]), "invalid_grant"},
		} {
			for at, h := range c.api {
				w := redeem(h, attack.form)
				var body struct{ Error string }
				if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || body.Error != attack.code || w.Code != 400 && w.Code != 401 {
					t.Errorf("%s at %s: %d %s, want %s", what, at, w.Code, w.Body, attack.code)
				}
			}
		}
		token := bearerOf(t, redeem(c.api["c"], form))
		for at := range c.api {
			c.verified(at, token, 200)
		}
		expect(t, redeem(c.api["a"], theirs), 200)

		// A confidential client proves itself as well.
		form = obtain(t, c.api["a"], with(authorization(), "client_id", "secret"))
		basic := "Authorization: Basic c2VjcmV0OnNlY3JldC1vZi1zZWNyZXQ="
		expect(t, call(c.api["b"], "POST", "/token", with(form, "client_id", "-").Encode(), formType, basic), 200)
	})
}

// A replica that is cut off shows that it cannot answer, keeps what was typed, and redirects nobody.
func TestCutOffReplicaAsksToWait(t *testing.T) {
	appCluster(t, func(t *testing.T, c *cluster) {
		form := fill(t, ask(c.api["a"], authorization()), "carol", carolPassword)
		code := obtain(t, c.api["b"], authorization())
		c.log["c"].Cut()
		time.Sleep(4 * time.Second)
		synctest.Wait()
		for what, w := range map[string]*httptest.ResponseRecorder{
			"request": ask(c.api["c"], authorization()), "unknown client": ask(c.api["c"], with(authorization(), "client_id", "nobody")),
			"form": submit(c.api["c"], form),
		} {
			expect(t, w, 503)
			p := checkPage(t, w)
			if w.Header().Get("Retry-After") == "" || p.alert() == "" {
				t.Errorf("%s: no Retry-After or alert", what)
			}
			if what == "form" && (p.fields.Get("username") != "carol" || p.fields.Get(fieldRequest) == "") {
				t.Errorf("%s: %v", what, p.fields)
			}
		}
		expect(t, redeem(c.api["c"], code), 503)
		c.log["c"].Heal()
		time.Sleep(4 * time.Second)
		synctest.Wait()
		answered(t, submit(c.api["c"], form), appRedirect)
		expect(t, redeem(c.api["c"], code), 200)
	})
}
