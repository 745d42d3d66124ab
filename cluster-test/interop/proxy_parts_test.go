//go:build interop

package interop

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// identity: the service gets the request as it was, with what Knell says and nothing that the client made up.
func identity(t *testing.T, p *proxy) {
	for user, want := range map[string][2]string{"alice": {"profile notes openid", "reader"}, "bob": {"profile", ""}} {
		token := p.login(user)
		resp, err := request("GET", replicas.Replicas[0].URL+"/verify", token)
		if err != nil {
			t.Fatal(err)
		}
		id, session := resp.Header.Get("X-Knell-User"), resp.Header.Get("X-Knell-Session")
		resp, seen := p.send("POST", "/any/path?x=y", "a body", token, "X-Knell-User: root", "x-knell-user: root", "X-KNELL-ROLES: admin",
			"X_Knell_User: root", "x_knell-roles: admin", "X-Knell_Scopes: admin", "X-Knell-Scopes: admin", "X-Knell-Session: forged",
			"X.Knell.User: root", "X!Knell!User: root", "x-knell~roles: admin", "X+Knell.Roles: admin")
		if resp.StatusCode != 200 || seen.Method != "POST" || seen.Path != "/any/path" || seen.Body != "a body" {
			t.Errorf("%d: the service saw %+v", resp.StatusCode, seen)
		}
		for name, value := range map[string]string{
			"X-Knell-User": id, "X-Knell-Session": session, "X-Knell-Scopes": want[0], "X-Knell-Roles": want[1],
		} {
			if got := strings.Join(seen.Header[name], "|"); got != value || id == "" || session == "" {
				t.Errorf("%s: %s %q, want %q", user, name, got, value)
			}
		}
		for name, values := range seen.Header {
			if strings.Contains(strings.ToLower(name), "knell") && strings.ContainsAny(name, "_.!~+") {
				t.Errorf("the client's %s: %q came through", name, values)
			}
		}
		// Connection names headers that a proxy has to take away. It may refuse that, but must not send the request on without them.
		resp, seen = p.send("GET", "/", "", token, "Connection: X-Knell-User, X-Knell-Roles")
		if resp.StatusCode == 200 && seen.Header.Get("X-Knell-User") != id {
			t.Errorf("Connection took the user away: %v", seen.Header)
		}
	}
}

// demands: scopes and roles are the route's; a client can add nothing to them and take nothing away.
func demands(t *testing.T, p *proxy) {
	alice, bob, root := p.login("alice"), p.login("bob"), p.login("root")
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"} {
		p.expect(200, method, "/notes/1", alice)
		resp := p.expect(403, method, "/notes/1", bob)
		if c := resp.Header.Get("Www-Authenticate"); !strings.Contains(c, `error="insufficient_scope"`) || !strings.Contains(c, `scope="notes"`) {
			t.Errorf("challenge %q", c)
		}
	}
	p.expect(403, "GET", "/notes/1?scope=profile", bob)
	p.expect(403, "GET", "/notes/1?scope=profile&role=", bob, "X-Knell-Require-Scope: profile")
	if resp, _ := p.send("GET", "/notes/1", "", bob, "Connection: X-Knell-Require-Scope, keep-alive"); resp.StatusCode != 403 && resp.StatusCode != 400 {
		t.Errorf("Connection took the demand away: %d", resp.StatusCode)
	}
	p.expect(403, "GET", "/admin/", alice)
	p.expect(200, "GET", "/admin/", root)
	p.expect(200, "GET", "/others?scope=admin&x=y", bob)
}

// refusals: no credentials, bad ones, and two of them. Never a redirect.
func refusals(t *testing.T, p *proxy) {
	good := p.login("alice")
	for name, headers := range map[string][]string{
		"none": nil, "forged": {good[:len(good)-6] + "AAAAAA"}, "empty": {"Authorization: "}, "scheme": {"Authorization: Digest x"},
	} {
		for _, path := range []string{"/", "/notes/", "/admin/"} {
			resp := p.expect(401, "GET", path, headers...)
			if c := resp.Header["Www-Authenticate"]; len(c) == 0 || !strings.HasPrefix(c[0], `Bearer realm="knell"`) {
				t.Errorf("%s: challenge %q", name, c)
			}
		}
	}
	bob := p.login("bob")
	if resp, _ := p.send("GET", "/", "", good, bob); resp.StatusCode != 400 && resp.StatusCode != 401 {
		t.Errorf("two credentials: %d", resp.StatusCode)
	}
}

// limited: who guesses is told to wait, and for how long. A token is not in the way of that.
func limited(t *testing.T, p *proxy) {
	token := p.login("alice")
	pair := base64.StdEncoding.EncodeToString([]byte("nobody-" + t.Name() + ":wrong-password")) // each proxy's own, so that all have to find out
	for range 12 {
		resp, _ := p.send("GET", "/notes/", "", "Authorization: Basic "+pair)
		switch resp.StatusCode {
		case http.StatusUnauthorized:
			continue
		case http.StatusTooManyRequests:
			if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err != nil || seconds < 1 {
				t.Errorf("Retry-After: %q", resp.Header.Get("Retry-After"))
			}
		default:
			t.Errorf("status %d", resp.StatusCode)
		}
		p.expect(200, "GET", "/notes/", token)
		return
	}
	t.Error("guesses go on")
}

// logout: when it has returned, the token is refused, whatever replica is asked, and by each of them.
func logout(t *testing.T, p *proxy) {
	for range 5 {
		token := p.login("alice")
		p.expect(200, "GET", "/notes/", token)
		p.expect(204, "POST", "/logout", token)
		for range 10 {
			p.expect(401, "GET", "/notes/", token)
		}
		for _, r := range replicas.Replicas {
			if resp, err := request("GET", r.URL+"/verify", token); err != nil || resp.StatusCode != 401 {
				t.Errorf("%s: %v, %v", r.Name, resp, err)
			}
		}
	}
}

// killed: nobody sees that a replica dies.
func killed(t *testing.T, p *proxy) {
	token := p.login("alice")
	for range 10 { // connections to all of them
		p.expect(200, "GET", "/notes/", token)
	}
	victim := replicas.Replicas[0]
	if err := victim.Kill(); err != nil {
		t.Fatal(err)
	}
	for range 40 {
		p.expect(200, "GET", "/notes/", token)
	}
	p.expect(204, "POST", "/logout", token) // waits for the lease of the dead
	p.expect(401, "GET", "/notes/", token)
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	if err := victim.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// paused: a replica that accepts connections and does not answer costs a moment. A logout that has to wait for it is waited for.
func paused(t *testing.T, p *proxy) {
	victim := replicas.Replicas[1]
	for range 2 {
		token := p.login("alice")
		p.expect(200, "GET", "/notes/", token)
		if err := victim.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second) // health checks notice; nginx has none
		began := time.Now()
		for range 20 {
			p.expect(200, "GET", "/notes/", token)
		}
		t.Logf("20 requests took %v", time.Since(began))
		began = time.Now()
		p.expect(204, "POST", "/logout", token)
		t.Logf("the logout took %v", time.Since(began))
		if err := victim.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		for range 20 { // the one that wakes up, too
			p.expect(401, "GET", "/notes/", token)
		}
		resp, err := request("GET", victim.URL+"/verify", token)
		if err != nil || resp.StatusCode == 200 {
			t.Errorf("the one that woke up: %v, %v", resp, err)
		}
		if err := victim.WaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// unavailable: without a majority the leases end, and that is said as 503 with Retry-After: nobody's token is called bad.
func unavailable(t *testing.T, p *proxy) {
	token := p.login("alice")
	others := replicas.Replicas[1:]
	for _, r := range others {
		if err := r.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(6 * time.Second) // longer than the lease
	for range 3 {
		resp := p.expect(503, "GET", "/notes/", token)
		if resp.Header.Get("Retry-After") == "" || resp.Header.Get("Www-Authenticate") != "" {
			t.Errorf("headers %v", resp.Header)
		}
	}
	for _, r := range others {
		if err := r.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
	if err := replicas.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) { // until the proxy has noticed
		resp, _ := p.send("GET", "/notes/", "", token)
		if resp.StatusCode == 200 {
			return
		}
		if resp.StatusCode != 503 || time.Since(began) > 10*time.Second {
			t.Fatalf("afterwards: %d", resp.StatusCode)
		}
	}
}

// request asks a replica itself.
func request(method, url, token string) (*http.Response, error) {
	r, err := http.NewRequest(method, url, nil)
	if err != nil {
		return nil, err
	}
	name, value, _ := strings.Cut(token, ": ")
	r.Header.Set(name, value)
	resp, err := http.DefaultClient.Do(r)
	if err == nil {
		resp.Body.Close()
	}
	return resp, err
}
