//go:build interop && linux

package interop

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// installation is docker-compose.yml on an engine.
type installation struct {
	*engine
	http *http.Client
}

// front is the balancer, as docker-compose.yml publishes it.
const front = "http://127.0.0.1:8080"

// tokens are what a log-in gives.
type tokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
}

// TestCompose brings docker-compose.yml up as it stands, and does to it what operators do. KNELL_STATIC names a static knell that is
// built already. Of the images that a registry has, Debian's programs stand in.
func TestCompose(t *testing.T) {
	e := startEngine(t)
	knell := os.Getenv("KNELL_STATIC")
	if knell == "" {
		knell = filepath.Join(t.TempDir(), "knell")
		e.run("", "go", "run", "./internal/release", "-program", knell, "-version", "of-the-test")
	}
	e.run("", "deploy/image", knell, "knell")
	e.standIn("haproxy:3.2-alpine", `["haproxy","-W","-db","-f","/usr/local/etc/haproxy/haproxy.cfg"]`, "haproxy")
	e.standIn("prom/prometheus:v3.5.0", `["prometheus","--config.file=/etc/prometheus/prometheus.yml","--storage.tsdb.path=/prometheus"]`, "prometheus")
	e.env = append(e.env, "KNELL_PASSWORD_GRANT=true", "KNELL_LOG_MAX_BYTES=1GiB")
	i := &installation{e, e.client()}
	t.Cleanup(func() {
		if t.Failed() {
			logs := exec.Command("docker-compose", "logs", "--no-color", "--tail", "30")
			logs.Dir, logs.Env = "../..", e.env
			out, _ := logs.CombinedOutput()
			t.Logf("%s", out)
		}
	})
	i.compose("up", "-d", "--no-build")
	i.ready(front)
	i.run("the-first-password\n", "docker-compose", "exec", "-T", "r1", "knell", "init")
	i.run("alice"+passwordTail+"\n", "docker-compose", "exec", "-T", "r2", "knell", "user", "add", "alice")

	dead := i.killed()
	kept := i.login()
	i.stopped()
	i.quiet()
	i.restarted(kept, dead)
	i.scaled()
	i.audited()
	i.monitored()
	i.quiet()
}

// ready waits until a replica, or one of those behind the balancer, may serve.
func (i *installation) ready(base string) {
	i.t.Helper()
	for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(50 * time.Millisecond) {
		if status, _, err := answer(i.http, "GET", base+"/readyz", "", ""); err == nil && status == 200 {
			return
		}
	}
	i.t.Fatalf("%s does not get ready", base)
}

// replicas are the URLs of all that run, past the balancer, when each is ready.
func (i *installation) replicas(services ...string) (urls []string) {
	i.t.Helper()
	for _, a := range i.addresses(services...) {
		urls = append(urls, "http://"+a+":8080")
	}
	for _, u := range urls {
		i.ready(u)
	}
	return urls
}

// grant asks the token endpoint, and is "" when all is well.
func (i *installation) grant(form url.Values) (t tokens, why string) {
	status, body, err := answer(i.http, "POST", front+"/token", "", form.Encode())
	if err != nil || status != 200 || json.Unmarshal([]byte(body), &t) != nil {
		return t, fmt.Sprintf("%s: %d %s %v", form.Get("grant_type"), status, body, err)
	}
	return t, ""
}

var password = url.Values{"grant_type": {"password"}, "username": {"alice"}, "password": {"alice" + passwordTail}}

func (i *installation) login() tokens {
	i.t.Helper()
	got, why := i.grant(password)
	if why != "" {
		i.t.Fatal(why)
	}
	return got
}

// expect fails the test unless a request has this answer, at each of these addresses.
func (i *installation) expect(want int, method, path, token string, at ...string) {
	i.t.Helper()
	for _, base := range at {
		began := time.Now()
		if status, body, err := answer(i.http, method, base+path, token, ""); err != nil || status != want {
			i.t.Errorf("%s %s: %d %s %v, want %d", method, base+path, status, body, err, want)
		}
		if took := time.Since(began); took > time.Second {
			i.t.Logf("%v: %s %s", took.Round(time.Millisecond), method, path)
		}
	}
}

// killed: a log-out while a container is dead is complete when it returns, there too. It returns the token.
func (i *installation) killed() string {
	i.t.Helper()
	token := i.login().Access
	i.expect(200, "GET", "/verify", token, append(i.replicas("r1", "r2", "r3"), front)...)
	i.compose("kill", "r2")
	i.expect(204, "POST", "/logout", token, front)
	i.expect(401, "GET", "/verify", token, append(i.replicas("r1", "r3"), front, front, front)...)
	i.compose("start", "r2")
	i.expect(401, "GET", "/verify", token, append(i.replicas("r1", "r2", "r3"), front)...)
	return token
}

// stopped: nobody behind the balancer sees that a replica stops and starts again.
func (i *installation) stopped() {
	i.t.Helper()
	finish := i.load()
	i.compose("stop", "r3")
	i.compose("start", "r3")
	i.replicas("r3")
	finish()
}

// load sends requests through the balancer until finish is called, which fails the test if one of them was not answered as it should be.
func (i *installation) load() (finish func()) {
	i.t.Helper()
	var requests, failed atomic.Int64
	var end atomic.Bool
	var users sync.WaitGroup
	step := func(what, why string) {
		requests.Add(1)
		if why != "" {
			if failed.Add(1) < 10 {
				i.t.Errorf("%s: %s", what, why)
			}
		}
	}
	ask := func(want int, method, path, token string) {
		status, body, err := answer(i.http, method, front+path, token, "")
		why := ""
		if err != nil || status != want {
			why = fmt.Sprintf("%d %s %v, want %d", status, body, err, want)
		}
		step(method+" "+path, why)
	}
	for user := range 3 {
		session := i.login()
		pace := time.NewTicker(10 * time.Millisecond) // a busy machine has work enough
		users.Go(func() {
			defer pace.Stop()
			for !end.Load() {
				for range 100 {
					<-pace.C
					ask(200, "GET", "/verify", session.Access)
				}
				got, why := i.grant(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {session.Refresh}})
				if step("refresh", why); why != "" {
					return
				}
				if session = got; user > 0 { // more log-ins at a time than can be hashed are refused
					continue
				}
				ask(204, "POST", "/logout", session.Access)
				ask(401, "GET", "/verify", session.Access)
				session, why = i.grant(password)
				if step("log-in", why); why != "" {
					return
				}
			}
		})
	}
	return func() {
		i.t.Helper()
		end.Store(true)
		users.Wait()
		i.t.Logf("%d requests, %d failed", requests.Load(), failed.Load())
		if requests.Load() < 200 {
			i.t.Error("that was no load")
		}
	}
}

// restarted: new containers on the same volumes know what the old ones knew. They are six now, of which three have no volume.
func (i *installation) restarted(kept tokens, dead string) {
	i.t.Helper()
	i.compose("down")
	i.compose("--profile", "joined", "up", "-d", "--no-build", "--scale", "joined=3")
	all := i.replicas("r1", "r2", "r3", "joined")
	if len(all) != 6 {
		i.t.Fatalf("%d replicas", len(all))
	}
	i.ready(front)
	i.expect(401, "GET", "/verify", dead, all...)
	i.expect(200, "GET", "/verify", kept.Access, all...)
	got, why := i.grant(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {kept.Refresh}})
	if why != "" {
		i.t.Fatal(why)
	}
	i.expect(204, "POST", "/logout", got.Access, all[5])
	i.expect(401, "GET", "/verify", got.Access, all...)
}

// scaled: replicas without a copy of the log go, and the others go on.
func (i *installation) scaled() {
	i.t.Helper()
	i.compose("--profile", "joined", "up", "-d", "--no-build", "--no-recreate", "--scale", "joined=1")
	i.expect(204, "POST", "/logout", i.login().Access, front)
	if left := i.replicas("r1", "r2", "r3", "joined"); len(left) != 4 {
		i.t.Errorf("%d replicas", len(left))
	}
}

// audited: the consumer of the profile "audit" prints what has happened, and goes on.
func (i *installation) audited() {
	i.t.Helper()
	i.compose("exec", "-T", "r1", "knell", "apikey", "create", "admin", "audit", "--scope", "audit", "--expires", "0", "--out", "/audit/key")
	i.compose("--profile", "audit", "up", "-d", "--no-build", "--no-recreate", "--no-deps", "audit")
	for _, want := range []string{`"type":"knell.session.started"`, `"type":"knell.revoked.session"`} {
		i.printed("audit", want)
	}
}

// monitored: Prometheus reaches each replica that keeps the log, and has loaded the rules. Grafana's image is none that can be stood in for.
func (i *installation) monitored() {
	i.t.Helper()
	i.compose("--profile", "monitoring", "up", "-d", "--no-build", "--no-recreate", "--no-deps", "prometheus")
	at := i.addresses("prometheus")
	if len(at) != 1 {
		i.t.Fatalf("%d running Prometheus", len(at))
	}
	for path, want := range map[string]string{
		"/api/v1/query?query=" + url.QueryEscape(`count(up{job="knell"} == 1)`): `"3"]`,
		"/api/v1/rules": `"name":"KnellReplicaMissing"`,
	} {
		body := ""
		for began := time.Now(); !strings.Contains(body, want); time.Sleep(200 * time.Millisecond) {
			if time.Since(began) > 30*time.Second {
				i.t.Fatalf("Prometheus, %s: %s, want %s", path, body, want)
			}
			_, body, _ = answer(i.http, "GET", "http://"+at[0]+":9090"+path, "", "")
		}
	}
}

// quiet fails the test if replicas find each other's certificates wrong.
func (i *installation) quiet() {
	i.t.Helper()
	out, err := i.command("docker-compose", "logs", "--no-color").CombinedOutput()
	if err != nil || strings.Contains(string(out), "handshake error") {
		i.t.Errorf("routes have the wrong names: %v", err)
	}
}

// printed waits until a service has printed a text.
func (i *installation) printed(service, want string) {
	i.t.Helper()
	for began := time.Now(); time.Since(began) < 30*time.Second; time.Sleep(200 * time.Millisecond) {
		out, err := i.command("docker-compose", "logs", "--no-color", service).CombinedOutput()
		if err == nil && strings.Contains(string(out), want) {
			return
		}
	}
	i.t.Errorf("%s does not print %s", service, want)
}
