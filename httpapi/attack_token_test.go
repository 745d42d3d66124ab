package httpapi

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/knell-auth/knell/node"
)

// TestTokensOfOtherKinds: what a client got beside its access token opens nothing, and nor does a code.
func TestTokensOfOtherKinds(t *testing.T) {
	w := newAppWorld(t)
	form := obtain(t, w.handler, authorization())
	unused := obtain(t, w.handler, authorization()).Get("code")
	tokens := redeem(w.handler, form)
	var body struct {
		Access  string `json:"access_token"`
		ID      string `json:"id_token"`
		Refresh string `json:"refresh_token"`
	}
	if err := json.Unmarshal(tokens.Body.Bytes(), &body); err != nil || body.ID == "" {
		t.Fatalf("%v: %s", err, tokens.Body)
	}
	sealed := readPage(t, ask(w.handler, authorization()).Body.String()).fields.Get(fieldRequest)
	basic := "Authorization: Basic " + w.vars["svc-basic"]
	for what, text := range map[string]string{"an ID token": body.ID, "a code": unused, "a request in a page": sealed} {
		t.Run(what, func(t *testing.T) {
			for _, header := range []string{"Authorization: Bearer ", "X-API-Key: "} {
				for _, path := range []string{"/verify", "/profile", "/userinfo", "/admin"} {
					expect(t, call(w.handler, "GET", path, "", header+text), 401, "X-Knell-User: -")
				}
			}
			expect(t, call(w.handler, "POST", "/logout", "", "Authorization: Bearer "+text), 401)
			refresh := url.Values{"grant_type": {"refresh_token"}, "client_id": {"app"}, "refresh_token": {text}}
			expect(t, redeem(w.handler, refresh), 400)
			info := call(w.handler, "POST", "/introspect", "token="+text, formType, basic)
			expect(t, info, 200)
			if got := strings.TrimSpace(info.Body.String()); got != `{"active":false}` {
				t.Errorf("introspection: %s", got)
			}
		})
	}
	// What looks like the end of one is the other's beginning: an access token with the header of the ID token.
	head, _, _ := strings.Cut(body.ID, ".")
	_, rest, _ := strings.Cut(body.Access, ".")
	expect(t, call(w.handler, "GET", "/verify", "", "Authorization: Bearer "+head+"."+rest), 401)
	expect(t, call(w.handler, "GET", "/verify", "", "Authorization: Bearer "+body.Access), 200)
}

// TestAnsweredAlike: of names and secrets that are not good, nobody learns by the bytes of an answer why.
func TestAnsweredAlike(t *testing.T) {
	w := newWorld(t, withBasic)
	o := node.Origin{Actor: "test"}
	if err := w.node.CreateClient(t.Context(), node.NewClient{ID: "off", Secret: "off-secret-0123456789"}, o); err != nil {
		t.Fatal(err)
	}
	if err := w.node.DisableClient(t.Context(), "off", o); err != nil {
		t.Fatal(err)
	}
	type pair struct{ what, name, secret string }
	users := []pair{
		{"wrong", "alice", "wrong-password"}, {"unknown", "nobody", "wrong-password"}, {"disabled", "mallory", "wrong-password"},
		{"disabled, right", "mallory", passwords["mallory"]}, {"long", "alice", strings.Repeat("x", 2000)}, {"a client", "svc", passwords["svc"]},
	}
	clients := []pair{
		{"wrong", "svc", "wrong-secret"}, {"unknown", "nobody", "wrong-secret"}, {"disabled", "off", "wrong-secret"},
		{"disabled, right", "off", "off-secret-0123456789"}, {"public", "spa", "wrong-secret"}, {"a user", "alice", passwords["alice"]},
	}
	basic := func(p pair) string {
		return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(p.name+":"+p.secret))
	}
	h := New(w.node, Config{PasswordGrant: true, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	next := 0
	for _, way := range []struct {
		name, method, path string
		pairs              []pair
		body               func(p pair) string
		header             func(p pair) string
	}{
		{"the password grant", "POST", "/token", users, func(p pair) string {
			return url.Values{"grant_type": {"password"}, "username": {p.name}, "password": {p.secret}}.Encode()
		}, nil},
		{"Basic", "GET", "/profile", users, nil, basic},
		{"Basic at forward-auth", "GET", "/verify", users, nil, basic},
		{"a client's secret in a form", "POST", "/token", clients, func(p pair) string {
			return url.Values{"grant_type": {"client_credentials"}, "client_id": {p.name}, "client_secret": {p.secret}}.Encode()
		}, nil},
		{"a client's secret, Basic", "POST", "/token", clients, func(pair) string { return "grant_type=client_credentials" }, basic},
		{"a client's secret at introspection", "POST", "/introspect", clients, func(pair) string { return "token=x" }, basic},
		{"a client's secret at revocation", "POST", "/revoke", clients, func(pair) string { return "token=x" }, basic},
	} {
		t.Run(way.name, func(t *testing.T) {
			first := ""
			for _, p := range way.pairs {
				next++ // an address of its own: nobody has to wait
				headers, body := []string{fmt.Sprintf("X-Forwarded-For: 2001:db8:%x::1", next), "X-Request-Id: one"}, ""
				if way.body != nil {
					headers, body = append(headers, formType), way.body(p)
				}
				if way.header != nil {
					headers = append(headers, way.header(p))
				}
				got := call(h, way.method, way.path, body, headers...)
				if text := fmt.Sprintln(got.Code, got.Header(), got.Body); first == "" {
					first = text
				} else if text != first {
					t.Errorf("%s:\n%sand when it is wrong\n%s", p.what, text, first)
				}
			}
			if !strings.HasPrefix(first, "40") {
				t.Errorf("answered %s", first)
			}
		})
	}
}

// TestAddressesThatAreMadeUp: a guesser who calls himself by another address with each guess is stopped like any other, whatever header
// he uses, also behind a proxy that reports him. Who comes through the same proxy from elsewhere is not.
func TestAddressesThatAreMadeUp(t *testing.T) {
	for name, c := range map[string]struct {
		proxies []netip.Prefix
		header  string // %d is another address each time
	}{
		"X-Forwarded-For":                    {nil, "X-Forwarded-For: 198.51.100.%d"},
		"X-Real-IP":                          {nil, "X-Real-IP: 198.51.100.%d"},
		"Forwarded":                          {nil, "Forwarded: for=198.51.100.%d"},
		"CF-Connecting-IP":                   {nil, "CF-Connecting-IP: 198.51.100.%d"},
		"X-Forwarded-For before a proxy's":   {[]netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, "X-Forwarded-For: 198.51.100.%d, 203.0.113.9"},
		"Forwarded beside a proxy's":         {[]netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, "Forwarded: for=198.51.100.%d"},
		"a proxy's address before another":   {[]netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, "X-Forwarded-For: 198.51.100.%d, 192.0.2.7, 203.0.113.9"},
		"no address before a proxy's":        {[]netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, "X-Forwarded-For: evil%d, 203.0.113.9"},
		"a trusted proxy, named by a client": {[]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, "X-Forwarded-For: 198.51.100.%d, 10.0.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			replicas(t, Config{TrustedProxies: c.proxies}, func(t *testing.T, cl *cluster) {
				guess := func(name string, address func(i int) int) (stopped int) {
					for i := range 12 {
						form := "grant_type=password&password=wrong-password&username=" + name
						got := call(cl.api["a"], "POST", "/token", form, formType, fmt.Sprintf(c.header, address(i)))
						if got.Code == http.StatusTooManyRequests {
							stopped++
						}
					}
					return stopped
				}
				honest := guess("nobody", func(int) int { return 1 })
				if stopped := guess("somebody", func(i int) int { return i + 1 }); stopped != honest || stopped == 0 {
					t.Errorf("%d of 12 guesses were stopped, %d from one address", stopped, honest)
				}
				if c.proxies != nil {
					expect(t, call(cl.api["b"], "POST", "/token", loginForm, formType, "X-Forwarded-For: 203.0.113.10"), 200)
				}
			})
		})
	}
}
