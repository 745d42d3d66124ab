package httpapi

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/metrics"
	"github.com/knell-auth/knell/node"
)

// everyOperation drives the operations of a replica with secrets that are marked, and collects those that it is given.
type everyOperation struct {
	*world
	t       *testing.T
	secrets []string
	told    []string // what anybody may see: errors, and what is said about the replica
	done    map[string]bool
}

// mark is in each secret that the test chooses; what is in none of them may hold it. personMark is in all that says who a user is.
const (
	mark       = "marked-7f3ac1"
	personMark = "person-5e81"
	dora       = personMark + "-dora"
)

// do calls an operation that has to succeed, or to fail with an error. It keeps the secrets that are in the answer, and returns it.
func (o *everyOperation) do(status int, method, target, body, token string, headers ...string) map[string]string {
	o.t.Helper()
	headers = append(headers, "User-Agent: "+personMark+"-browser")
	if token != "" {
		headers = append(headers, "Authorization: "+token)
	}
	switch {
	case strings.HasPrefix(body, "{"):
		headers = append(headers, jsonType)
	case body != "":
		headers = append(headers, formType)
	}
	got := call(o.handler, method, target, body, headers...)
	if expect(o.t, got, status); o.t.Failed() {
		o.t.Fatalf("%s %s", method, target)
	}
	path, _, _ := strings.Cut(target, "?")
	open := strings.HasPrefix(path, "/transparency/") || strings.HasPrefix(path, "/events/")
	if status >= 400 || open || slices.Contains([]string{"/status", "/admin", "/events", "/livez", "/readyz"}, path) {
		for name, values := range got.Header() {
			o.told = append(o.told, name+": "+strings.Join(values, " "))
		}
		o.told = append(o.told, got.Body.String())
	}
	if status < 400 {
		o.done[method+" "+path] = true
	}
	members, texts := map[string]any{}, map[string]string{}
	_ = json.Unmarshal(got.Body.Bytes(), &members)
	for name, v := range members {
		text, _ := v.(string)
		texts[name] = text
		if slices.Contains([]string{"access_token", "refresh_token", "id_token", "key", "secret"}, name) && text != "" {
			o.secret(text)
		}
	}
	return texts
}

// secret keeps a secret; of a token the signature is one by itself.
func (o *everyOperation) secret(text string) string {
	o.secrets = append(o.secrets, text)
	if i := strings.LastIndexByte(text, '.'); i >= 0 {
		o.secrets = append(o.secrets, text[i+1:])
	}
	return text
}

func form(pairs ...string) string {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v.Encode()
}

func withToken(token string) string { return "Bearer " + token }

func (o *everyOperation) login(name, password string) map[string]string {
	return o.do(200, "POST", "/token", form("grant_type", "password", "username", name, "password", password), "")
}

// users drives the accounts of users, their sessions and their keys.
func (o *everyOperation) users(root string) {
	pw, next := mark+"-password", mark+"-new-password"
	id := o.do(201, "POST", "/users", `{"name":"`+dora+`","email":"`+dora+`@example.com","full_name":"Dora `+personMark+`","password":"`+pw+
		`","roles":["reader"],"scopes":["profile","audit"]}`, root)["id"]
	at := "/users/" + id
	o.do(400, "POST", "/users", `{"name":"eve","password":"`+pw+`","hash":"`+mark+`"}`, root)
	o.do(409, "POST", "/users", `{"name":"`+dora+`","password":"`+pw+`"}`, root)
	o.do(400, "POST", "/token", form("grant_type", "password", "username", dora, "password", pw+"x"), "")
	o.do(400, "POST", "/token", form("grant_type", "password", "username", mark+"-typed-as-name", "password", pw), "")
	o.do(400, "POST", "/token", form("grant_type", "password", "username", personMark+"-who-is-not-there", "password", pw), "")
	o.do(204, "POST", at+"/unlock", `{"reason":"test"}`, root)
	t := o.login(dora, pw)
	own := withToken(t["access_token"])
	o.do(401, "GET", "/profile", "", withToken(t["access_token"]+"x"))
	o.do(401, "GET", "/profile", "", "Basic "+base64.StdEncoding.EncodeToString([]byte(dora+":"+pw)))
	o.do(400, "POST", "/token", form("grant_type", "refresh_token", "refresh_token", t["refresh_token"]+"x"), "")
	o.do(200, "GET", "/profile", "", own)
	o.do(200, "GET", "/verify", "", own)
	key := o.do(201, "POST", "/api-keys", `{"name":"`+personMark+` laptop","scopes":["profile"]}`, own)
	o.do(200, "GET", "/profile", "", withToken(key["key"]))
	o.do(401, "GET", "/profile", "", withToken(key["key"][:len(key["key"])-1]+"A"))
	o.do(200, "GET", "/api-keys", "", own)
	rotated := o.do(200, "POST", "/api-keys/"+key["id"]+"/rotate", `{}`, own)
	o.do(200, "GET", at+"/api-keys", "", root)
	o.do(204, "DELETE", "/api-keys/"+key["id"], "", own)
	o.do(401, "GET", "/profile", "", withToken(rotated["key"]))
	other := o.do(201, "POST", "/api-keys", `{"name":"`+personMark+` phone","scopes":["profile"]}`, own)
	o.do(204, "DELETE", at+"/api-keys/"+other["id"], "", root)
	o.do(403, "POST", "/profile/password", `{"old_password":"`+pw+`-wrong","new_password":"`+next+`"}`, own)
	o.do(204, "POST", "/profile/password", `{"old_password":"`+pw+`","new_password":"`+next+`"}`, own)
	for _, path := range []string{"/sessions", at + "/sessions"} {
		o.do(200, "GET", path, "", map[bool]string{true: own, false: root}[path == "/sessions"])
	}
	t = o.login(dora, next)
	t = o.do(200, "POST", "/token", form("grant_type", "refresh_token", "refresh_token", t["refresh_token"]), "")
	o.do(204, "POST", "/logout", "", withToken(t["access_token"]))
	o.do(401, "GET", "/profile", "", withToken(t["access_token"]))
	o.do(204, "DELETE", "/sessions/"+o.session(dora, next), "", own)
	o.do(204, "DELETE", at+"/sessions/"+o.session(dora, next), "", root)
	o.do(204, "POST", at+"/password", `{"password":"`+pw+`-3"}`, root)
	o.do(204, "POST", at+"/roles", `{"roles":["reader"],"scopes":["profile"]}`, root)
	o.do(204, "PATCH", at, `{"name":"`+personMark+`-dorothea","email":"`+personMark+`@example.org"}`, root)
	o.do(204, "POST", at+"/logout", `{}`, root)
	o.do(204, "POST", at+"/disable", `{}`, root)
	o.do(204, "POST", at+"/enable", `{}`, root)
	o.do(200, "GET", at, "", root)
	o.do(200, "GET", "/users", "", root)
	o.do(204, "DELETE", at, "", root)
}

// session starts a session and returns its id.
func (o *everyOperation) session(name, password string) string {
	token := o.login(name, password)["access_token"]
	got := call(o.handler, "GET", "/verify", "", "Authorization: Bearer "+token)
	return got.Header().Get(headerSession)
}

// clients drives OAuth clients, codes and what becomes of them.
func (o *everyOperation) clients(root string) {
	first, second := mark+"-client-secret-0123456789", mark+"-client-secret-9876543210"
	basic := func(secret string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte("batch:"+secret))
	}
	o.do(201, "POST", "/clients", `{"id":"batch","secret":"`+first+`","scopes":["profile"]}`, root)
	o.do(201, "POST", "/clients", `{"id":"made","confidential":true}`, root)
	o.do(200, "GET", "/clients", "", root)
	o.do(200, "GET", "/clients/batch", "", root)
	o.do(200, "PATCH", "/clients/batch", `{"name":"Batch"}`, root)
	t := o.do(200, "POST", "/token", form("grant_type", "client_credentials"), basic(first))
	o.do(401, "POST", "/token", form("grant_type", "client_credentials"), basic(first+"-wrong"))
	o.do(200, "POST", "/clients/batch/secret", `{"secret":"`+second+`"}`, root)
	o.do(200, "POST", "/clients/made/secret", "", root)
	o.do(200, "POST", "/introspect", form("token", t["access_token"]), basic(second))
	o.do(401, "POST", "/introspect", form("token", t["access_token"]), basic(second+"-wrong"))
	o.do(200, "POST", "/revoke", form("token", t["access_token"]), basic(second))
	o.do(204, "POST", "/clients/batch/disable", `{}`, root)
	o.do(204, "POST", "/clients/batch/enable", `{}`, root)
	o.do(204, "DELETE", "/clients/batch", "", root)

	request := authorization()
	o.do(200, "GET", "/authorize?"+request.Encode(), "", "")
	for _, redeemed := range []string{o.secret(testVerifier), o.secret(mark + strings.Repeat("-", 43))} {
		filled := fill(o.t, ask(o.handler, request), "carol", o.secret(carolPassword))
		code := answered(o.t, submit(o.handler, filled), appRedirect).Get("code")
		o.done["POST /authorize"] = true
		exchange := form("grant_type", "authorization_code", "code", o.secret(code), "redirect_uri", appRedirect, "client_id", "app", "code_verifier", redeemed)
		if redeemed != testVerifier {
			o.do(400, "POST", "/token", exchange, "")
			continue
		}
		t = o.do(200, "POST", "/token", exchange, "")
		o.do(200, "GET", "/userinfo", "", withToken(t["access_token"]))
		o.do(200, "POST", "/userinfo", "", withToken(t["access_token"]))
		o.do(400, "POST", "/token", exchange, "") // a code is good once
	}
}

// webhooks drives where events are sent. That the address is none of a consumer's business, either, is seen by the mark in it.
func (o *everyOperation) webhooks(root string) {
	own := "whsec_" + base64.StdEncoding.EncodeToString([]byte(mark+"-signing-key-0123456789"))
	o.secret(own)
	o.secret(own[len("whsec_"):])
	address := `"url":"https://localhost/in?token=` + mark + `"`
	o.do(201, "POST", "/webhooks", `{"name":"siem",`+address+`,"secret":"`+own+`"}`, root)
	o.do(400, "POST", "/webhooks", `{"name":"bad",`+address+`,"secret":"`+own+`x"}`, root)
	o.do(400, "POST", "/webhooks", `{"name":"bad","url":"https://`+mark+`:`+mark+`@siem.test/`+mark+`"}`, root)
	o.do(409, "POST", "/webhooks", `{"name":"siem",`+address+`}`, root)
	o.do(200, "GET", "/webhooks", "", root)
	o.do(200, "GET", "/webhooks/siem", "", root)
	o.do(200, "POST", "/webhooks/siem/test", "", root)
	o.do(200, "PATCH", "/webhooks/siem", `{"types":["revoked"]}`, root)
	o.do(200, "POST", "/webhooks/siem/secret", "", root)
	o.do(204, "POST", "/webhooks/siem/pause", "", root)
	o.do(204, "POST", "/webhooks/siem/replay", `{"after":"1"}`, root)
	o.do(204, "POST", "/webhooks/siem/resume", "", root)
	o.do(204, "DELETE", "/webhooks/siem", "", root)
}

// rest drives what is left, and reads what may be read about the replica.
func (o *everyOperation) rest(root string) {
	o.do(200, "GET", "/roles", "", root)
	o.do(204, "PUT", "/roles/reader", `{"scopes":["notes"]}`, root)
	o.do(201, "POST", "/event-grants", `{"name":"siem","nkey":"UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"}`, root)
	o.do(200, "GET", "/event-grants", "", root)
	o.do(204, "DELETE", "/event-grants/siem", "", root)
	for _, path := range []string{"/livez", "/readyz", "/status", "/.well-known/jwks.json", "/openapi.json"} {
		o.do(200, "GET", path, "", "")
	}
	o.do(200, "GET", "/keys", "", root)
	o.do(200, "GET", "/admin", "", root)
	o.do(200, "POST", "/revocations", `{"everything":true,"dry_run":true}`, root)
	page := "Accept: " + ndjson
	o.do(200, "GET", "/users/"+o.vars["alice-id"]+"/events", "", root, page)
	o.do(200, "GET", "/sessions/"+o.vars["alice-id"]+"/events", "", root, page)
	o.do(200, "GET", "/events?limit=1000", "", root, page)
	o.do(200, "GET", "/events?sealed=true&limit=1000", "", root, page)
	for path, want := range map[string]int{
		"/transparency/key": 200, "/transparency/checkpoint": 200, "/transparency/consistency?old=1": 200, "/transparency/range?before=40": 200,
		"/events/1/proof": 200, "/transparency/tile/0/x000": 400, "/transparency/tile/0/000.p/50": 200, "/transparency/tile/entries/000.p/50": 200,
		"/transparency/tile/0/x001/000.p/1": 404, "/transparency/tile/0/x001/x000/000.p/1": 404,
	} {
		o.do(want, "GET", path, "", root)
	}
	o.told = append(o.told, call(NewLocal(o.node, Config{}), "GET", "/log", "").Body.String())
	kid := o.node.Keys()[0].ID
	o.do(204, "POST", "/keys/"+kid+"/revoke", `{"reason":"test"}`, root)
}

// drive drives every operation. It fails the test for one that it does not know.
func (o *everyOperation) drive() {
	root := withToken(o.vars["root"])
	o.users(root)
	o.clients(root)
	o.webhooks(root)
	line := `{"name":"` + personMark + `-imported","password":"` + mark + `-imported"}`
	expect(o.t, call(NewLocal(o.node, Config{}), "POST", "/users/import", line, "Content-Type: "+ndjson), 200)
	o.rest(root)
	for _, op := range newAPI(o.node, Config{PasswordGrant: true}).operations() {
		pattern := strings.Split(op.path, "/")
		is := func(name string) bool {
			method, path, _ := strings.Cut(name, " ")
			parts := strings.Split(path, "/")
			same := func(i int) bool { return parts[i] == pattern[i] || strings.HasPrefix(pattern[i], "{") }
			return method == op.method && len(parts) == len(pattern) && !slices.ContainsFunc(indices(pattern), func(i int) bool { return !same(i) })
		}
		known := false
		for name := range o.done {
			known = known || is(name)
		}
		// Most paths of tiles are those of logs with more than 256,000 events.
		if !known && !strings.HasPrefix(op.path, "/.well-known/") && !strings.HasPrefix(op.path, pathTiles) {
			o.t.Errorf("%s is not among what this test drives", &op)
		}
	}
}

// TestSecretsStayInside drives every operation with marked secrets, and looks for them, and for those that were made on the way, in
// everything that consumers, operators and strangers can read: the public stream, the log lines of all levels, errors, /status, /admin,
// /events, the log on the local socket, metrics and traces.
//
// It looks for who somebody is, too, in what nobody adds names to: what consumers read from the log, and log lines.
func TestSecretsStayInside(t *testing.T) {
	in := newReceiver(t)
	tracer := in.tracer("n1")
	w := newAppWorld(t, func(c *node.Config) { c.Tracer = tracer })
	m := metrics.New(metrics.Config{Version: "test"})
	m.Attach(w.node)
	logger := slog.New(slog.NewTextHandler(w.logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.handler = asDescribed(t, New(w.node, Config{Logger: logger, PasswordGrant: true, Meter: m, Tracer: tracer}))
	o := &everyOperation{world: w, t: t, secrets: []string{mark, "$argon2id$"}, done: map[string]bool{}}
	o.drive()
	if err := tracer.Close(t.Context()); err != nil {
		t.Error(err)
	}
	seen := []string{call(m.Handler(), "GET", "/metrics", "").Body.String(), fmt.Sprint(in.spans)}
	for i, part := range []string{`route="/users/{id}/roles"`, "PATCH /users/{id}"} {
		if !strings.Contains(seen[i], part) {
			t.Errorf("no %s in %s", part, seen[i])
		}
	}
	lines := []string{seen[0], seen[1], w.logged.String(), call(NewLocal(o.node, Config{}), "GET", "/log", "").Body.String()}
	for _, m := range w.log.Messages() {
		if events.AccessTo(m.Subject) != events.Secret {
			lines = append(lines, string(m.Data))
		}
	}
	if len(lines) < 50 || len(o.secrets) < 30 || !strings.Contains(w.logged.String(), "route=/token") {
		t.Errorf("%d public messages, %d secrets", len(lines), len(o.secrets))
	}
	contain(t, append(o.told, lines...), o.secrets...)
	for i, text := range lines {
		lines[i] = strings.ReplaceAll(text, `"useragent":"`+personMark+`-browser"`, "")
	}
	contain(t, lines, personMark, "carol", "alice", "@example.com", "Example")
}

// contain fails the test for each of the texts that contains one of the parts.
func contain(t *testing.T, texts []string, parts ...string) {
	t.Helper()
	for _, text := range texts {
		for _, part := range parts {
			if i := strings.Index(text, part); i >= 0 {
				t.Errorf("%q is in %q", part, text[max(0, i-200):min(len(text), i+200)])
			}
		}
	}
}

func indices(list []string) []int {
	all := make([]int, len(list))
	for i := range all {
		all[i] = i
	}
	return all
}
