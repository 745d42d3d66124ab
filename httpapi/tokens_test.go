package httpapi

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/knell-auth/knell/node"
)

// TestPasswordGrantSwitchedOff: the grant is refused before anybody looks at the password, and not announced.
func TestPasswordGrantSwitchedOff(t *testing.T) {
	n := &scripted{login: func(node.LoginRequest) { t.Error("the password was looked at") }}
	h := New(n, Config{})
	for _, form := range []string{loginForm, loginForm + "&client_id=spa", "grant_type=password"} {
		w := call(h, "POST", "/token", form, formType)
		expect(t, w, 400, "Content-Type: application/json", "Cache-Control: no-store", "Pragma: no-cache")
		if !strings.HasPrefix(w.Body.String(), `{"error":"unsupported_grant_type",`) {
			t.Errorf("%s: %s", form, w.Body)
		}
	}
	var m struct {
		Grants []string `json:"grant_types_supported"`
	}
	if err := json.Unmarshal(call(h, "GET", "/.well-known/openid-configuration", "").Body.Bytes(), &m); err != nil || slices.Contains(m.Grants, "password") {
		t.Errorf("%v, %v", m, err)
	}
}

// TestMetadata: the document of an issuer that is a URL leads to its endpoints; of another there is none.
func TestMetadata(t *testing.T) {
	for _, issuer := range []string{"https://id.example.com", "https://id.example.com/", "http://127.0.0.1:8080", "https://example.com/login"} {
		var m map[string]any
		if err := json.Unmarshal(newMetadata(issuer, false), &m); err != nil {
			t.Fatalf("%s: %v", issuer, err)
		}
		if want := strings.TrimSuffix(issuer, "/") + "/token"; m["issuer"] != issuer || m["token_endpoint"] != want {
			t.Errorf("%s: %v", issuer, m)
		}
		for name, v := range m {
			if list, ok := v.([]any); ok && len(list) == 0 || v == nil || v == "" {
				t.Errorf("%s: %s is empty", issuer, name)
			}
		}
	}
	for _, issuer := range []string{"knell", "", "https://", "urn:example:id", "https://id.example.com/?x=1", "https://id.example.com/#x", "://"} {
		if m := newMetadata(issuer, true); m != nil {
			t.Errorf("%q: %s", issuer, m)
		}
	}
	a := &api{}
	w := call(http.HandlerFunc(a.serverMetadata), "GET", "/.well-known/openid-configuration", "")
	expect(t, w, 404, "Content-Type: application/problem+json")
}

// TestErrorsOfTokenEndpoints: every error of a node is answered at /revoke and /introspect as at /token.
func TestErrorsOfTokenEndpoints(t *testing.T) {
	basic := "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("svc:secret"))
	for _, c := range errorCases {
		t.Run(c.name, func(t *testing.T) {
			log, _ := logTo()
			h := New(&scripted{err: c.err, retry: 1500 * time.Millisecond}, Config{Logger: log})
			for _, path := range []string{"/revoke", "/introspect"} {
				for _, credentials := range []string{basic, "X-Nothing: x"} {
					w := call(h, "POST", path, "token=abc", formType, credentials)
					status, code := c.token, c.code
					if path == "/introspect" && credentials != basic {
						status, code = 401, "invalid_client"
					}
					expect(t, w, status, "Content-Type: application/json", "Cache-Control: no-store", "Pragma: no-cache")
					var body struct{ Error, Error_description string }
					if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || body.Error != code {
						t.Errorf("%s: error %q, want %q (%v)", path, body.Error, code, err)
					}
					if status == 401 {
						expect(t, w, 401, `WWW-Authenticate: Basic realm="knell", charset="UTF-8"`)
					}
					checkUnavailable(t, w.Code, w.Header(), c.err)
				}
			}
			// A bearer's own token is answered as everywhere.
			w := call(h, "POST", "/introspect", "token=abc", formType, "Authorization: Bearer abc")
			expect(t, w, c.bearer, "Content-Type: application/problem+json", "Cache-Control: no-store")
			checkChallenge(t, w.Header(), c.challenge)
			checkUnavailable(t, w.Code, w.Header(), c.err)
		})
	}
}

// TestCutOffReplicaKnowsNoToken: what a replica without a lease says about a token is 503, and nothing else.
func TestCutOffReplicaKnowsNoToken(t *testing.T) {
	replicas(t, Config{LogoutWait: time.Second}, func(t *testing.T, c *cluster) {
		token := strings.TrimPrefix(c.login("a"), "Authorization: Bearer ")
		c.log["c"].Cut()
		time.Sleep(4 * time.Second) // longer than the lease
		for _, tok := range []string{token, token + "A", "knr_x", "x"} {
			w := call(c.api["c"], "POST", "/revoke", "token="+tok, formType)
			expect(t, w, 503, "WWW-Authenticate: -", "Content-Type: application/json")
			if !strings.HasPrefix(w.Body.String(), `{"error":"temporarily_unavailable"`) || w.Header().Get("Retry-After") == "" {
				t.Errorf("%v %s", w.Header(), w.Body)
			}
			w = call(c.api["c"], "POST", "/introspect", "client_id=svc&client_secret=x&token="+tok, formType)
			expect(t, w, 503, "WWW-Authenticate: -")
		}
		expect(t, call(c.api["c"], "GET", "/.well-known/jwks.json", ""), 503, "Cache-Control: no-store")
		expect(t, call(c.api["c"], "GET", "/.well-known/openid-configuration", ""), 200)

		// A revocation elsewhere waits for it: 202 for who prefers to know, 503 otherwise.
		other := strings.TrimPrefix(c.login("b"), "Authorization: Bearer ")
		c.log["c"].Heal()
		time.Sleep(4 * time.Second)
		c.log["c"].Cut()
		w := call(c.api["a"], "POST", "/revoke", "token="+other, formType, "Prefer: wait=1")
		expect(t, w, 202, "Preference-Applied: wait=1")
		if !strings.Contains(w.Body.String(), `"pending":["c"]`) {
			t.Error(w.Body)
		}
		w = call(c.api["a"], "POST", "/revoke", "token="+other, formType)
		expect(t, w, 503)
		time.Sleep(4 * time.Second)
		expect(t, call(c.api["a"], "POST", "/revoke", "token="+other, formType), 200)
		c.log["c"].Heal()
	})
}

// TestOthersVerify: who knows the JWKS alone verifies access tokens, and finds all claims of RFC 9068 section 2.2.
func TestOthersVerify(t *testing.T) {
	w := newWorld(t)
	keys := jwksOf(t, w.handler)
	for name, want := range map[string]map[string]any{
		"alice": {"sub": w.vars["alice-id"], "client_id": "knell:first-party", "scope": "profile notes"},
		"svc":   {"sub": "svc", "client_id": "svc", "scope": "profile notes"},
	} {
		text := w.vars["alice"]
		if name == "svc" {
			tok, err := w.node.ClientToken(t.Context(), "svc", 0, nil, node.Origin{})
			if err != nil {
				t.Fatal(err)
			}
			text = tok.AccessToken
		}
		claims := jwt.MapClaims{}
		parsed, err := jwt.ParseWithClaims(text, claims, func(tok *jwt.Token) (any, error) {
			kid, _ := tok.Header["kid"].(string)
			return keys[kid], nil
		}, jwt.WithValidMethods([]string{"EdDSA"}), jwt.WithIssuer("https://knell.test"), jwt.WithAudience("api"), jwt.WithExpirationRequired())
		if err != nil || parsed.Header["typ"] != "at+jwt" {
			t.Fatalf("%s: %v, %v", name, err, parsed.Header)
		}
		for _, required := range []string{"iss", "sub", "aud", "exp", "iat", "jti", "client_id", "scope", "sid"} {
			if claims[required] == nil || claims[required] == "" {
				t.Errorf("%s: no %s", name, required)
			}
		}
		if _, has := claims["auth_time"]; has != (name == "alice") {
			t.Errorf("%s: auth_time %v", name, claims["auth_time"])
		}
		for member, value := range want {
			if claims[member] != value {
				t.Errorf("%s: %s is %v, want %v", name, member, claims[member], value)
			}
		}
	}
}

// jwksOf reads the Ed25519 keys of a JWKS as somebody else would.
func jwksOf(t *testing.T, h http.Handler) map[string]ed25519.PublicKey {
	t.Helper()
	var set struct {
		Keys []struct{ Kty, Crv, X, Kid, Alg, Use string }
	}
	if err := json.Unmarshal(call(h, "GET", "/.well-known/jwks.json", "").Body.Bytes(), &set); err != nil {
		t.Fatal(err)
	}
	keys := map[string]ed25519.PublicKey{}
	for _, k := range set.Keys {
		x, err := base64.RawURLEncoding.DecodeString(k.X)
		if err != nil || k.Kty != "OKP" || k.Crv != "Ed25519" || k.Alg != "EdDSA" || k.Use != "sig" {
			t.Errorf("%+v: %v", k, err)
		}
		keys[k.Kid] = x
	}
	return keys
}

// TestRevokeSigningKey: an administrator revokes a replica's key at another replica; the JWKS of all has the new one.
func TestRevokeSigningKey(t *testing.T) {
	replicas(t, Config{}, func(t *testing.T, c *cluster) {
		token := c.login("a")
		parts := strings.Split(strings.TrimPrefix(token, "Authorization: Bearer "), ".")
		var header struct{ Kid string }
		raw, err := base64.RawURLEncoding.DecodeString(parts[0])
		if err == nil {
			err = json.Unmarshal(raw, &header)
		}
		if err != nil {
			t.Fatal(err)
		}
		local := NewLocal(c.node, Config{})
		expect(t, call(local, "POST", "/keys/"+header.Kid+"/revoke", `{"reason":"lost"}`, jsonType), 204)
		synctest.Wait()
		for at := range c.api {
			c.verified(at, token, 401)
			keys := jwksOf(t, c.api[at])
			if _, has := keys[header.Kid]; has || len(keys) != 3 {
				t.Errorf("%s: %v", at, keys)
			}
		}
		if w := call(local, "GET", "/keys", ""); strings.Count(w.Body.String(), `"revoked":true`) != 1 || strings.Count(w.Body.String(), `"kid"`) != 4 {
			t.Error(w.Body)
		}
		c.verified("b", c.login("a"), 200)
	})
}
