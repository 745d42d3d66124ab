package httpapi

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knell-auth/knell/events/eventstest"
	"github.com/knell-auth/knell/node"
)

// cluster is the HTTP surface of three replicas over one log, in fake time.
type cluster struct {
	t      *testing.T
	memory *eventstest.Memory
	log    map[string]*eventstest.Node // each replica's own way to the log
	nodes  map[string]*node.Node
	api    map[string]http.Handler
	user   node.User  // alice
	node   *node.Node // one of the replicas
}

// replicas runs f in a bubble.
func replicas(t *testing.T, cfg Config, f func(t *testing.T, c *cluster), edit ...func(*node.Config)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f(t, newCluster(t, func(_ string, n *node.Config, h *Config) {
			*h = cfg
			for _, change := range edit {
				change(n)
			}
		}))
	})
}

// newCluster starts the replicas, each with its own settings. It has to be called in a bubble.
func newCluster(t *testing.T, settings func(name string, n *node.Config, h *Config)) *cluster {
	c := &cluster{t: t, memory: eventstest.New(t), log: map[string]*eventstest.Node{}, nodes: map[string]*node.Node{}, api: map[string]http.Handler{}}
	for _, name := range []string{"a", "b", "c"} {
		c.log[name] = c.memory.Node(name)
		var cfg Config
		c.node = startNode(t, name, c.log[name], slog.New(slog.DiscardHandler), func(n *node.Config) { settings(name, n, &cfg) })
		cfg.PasswordGrant = true
		c.nodes[name], c.api[name] = c.node, New(c.node, cfg)
	}
	var err error
	c.user, err = c.node.CreateUser(t.Context(), node.NewUser{
		Name: "alice", Password: passwords["alice"], Scope: []string{"profile"},
	}, node.Origin{Actor: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// rest lets fake time pass.
func (c *cluster) rest(d time.Duration) { time.Sleep(d) }

// login returns the Authorization header of a session that alice started at a replica.
func (c *cluster) login(at string, headers ...string) string {
	c.t.Helper()
	w := call(c.api[at], "POST", "/token", loginForm, append(headers, formType)...)
	expect(c.t, w, 200)
	var body struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		c.t.Fatal(err)
	}
	return "Authorization: Bearer " + body.Token
}

// verified fails the test unless the replica answers /verify as wanted.
func (c *cluster) verified(at, token string, status int, headers ...string) {
	c.t.Helper()
	expect(c.t, call(c.api[at], "GET", "/verify", "", token), status, headers...)
}

// Log in at one replica, verify at all, log out at another: from then on all refuse.
func TestLogoutIsCompleteEverywhere(t *testing.T) {
	replicas(t, Config{}, func(t *testing.T, c *cluster) {
		token, other := c.login("a"), c.login("b")
		for _, at := range []string{"a", "b", "c"} {
			c.verified(at, token, 200, "X-Knell-User: "+c.user.ID.String(), "X-Knell-Roles: ")
		}
		start := time.Now()
		w := call(c.api["b"], "POST", "/logout", "", token)
		expect(t, w, 204)
		if took := time.Since(start); took > time.Second {
			t.Errorf("logout took %v", took)
		}
		if got := w.Header().Get("Server-Timing"); !regexp.MustCompile(`^commit;dur=\d+\.\d{3}, barrier;dur=\d+\.\d{3}(;desc="[ac]")?$`).MatchString(got) {
			t.Errorf("Server-Timing: %q", got)
		}
		for _, at := range []string{"a", "b", "c"} {
			c.verified(at, token, 401, `WWW-Authenticate: Bearer realm="knell", error="invalid_token", error_description="the session has ended"`)
			c.verified(at, other, 200)
		}
	})
}

// While a replica is cut off and may still accept, a logout is not done: 202 with its name for who prefers to know, 503 for
// everybody else. Repeated, it waits for the rest of that replica's lease.
func TestLogoutWithReplicaCutOff(t *testing.T) {
	replicas(t, Config{LogoutWait: 1500 * time.Millisecond}, func(t *testing.T, c *cluster) {
		token := c.login("a")
		c.verified("c", token, 200)
		c.log["c"].Cut()

		w := call(c.api["b"], "POST", "/logout", "", token, "Prefer: wait=1")
		expect(t, w, 202, "Preference-Applied: wait=1", "Content-Type: application/json")
		var body struct {
			Sequence uint64
			Pending  []string
			Certain  time.Time
		}
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
			t.Fatal(err)
		}
		if body.Sequence == 0 || !slices.Equal(body.Pending, []string{"c"}) || !body.Certain.After(time.Now()) {
			t.Errorf("body %s", w.Body)
		}
		c.verified("a", token, 401)
		c.verified("c", token, 200) // as was said: pending

		if got := w.Header().Get("Server-Timing"); !strings.HasPrefix(got, "commit;dur=") || strings.Contains(got, "barrier") {
			t.Errorf("Server-Timing of what is pending: %q", got)
		}

		w = call(c.api["a"], "POST", "/logout", "", token)
		expect(t, w, 503, "WWW-Authenticate: -", "Preference-Applied: -")
		if w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "not every replica") {
			t.Errorf("503: %v %s", w.Header(), w.Body)
		}

		time.Sleep(time.Until(body.Certain))
		c.verified("c", token, 503) // its lease has ended
		expect(t, call(c.api["a"], "POST", "/logout", "", token), 204)

		// The next one waits for nobody: no lease is left that could outlive it.
		w = call(c.api["a"], "POST", "/logout", "", c.login("b"))
		expect(t, w, 204)
		if got := w.Header().Get("Server-Timing"); strings.Contains(got, `"c"`) {
			t.Errorf("Server-Timing: %q", got)
		}
		c.log["c"].Heal()
	})
}

// A replica that is cut off answers 503 to everything that needs an answer, and never 401: to a good token, to a bad one,
// to a login. Only a request without any credentials, which says nothing about a session, is told so.
func TestCutOffReplicaRefuses(t *testing.T) {
	replicas(t, Config{LogoutWait: time.Second}, func(t *testing.T, c *cluster) {
		token := c.login("a")
		c.log["c"].Cut()
		time.Sleep(4 * time.Second) // longer than the lease
		forged := token[:len(token)-4] + "AAAA"
		for _, credentials := range []string{token, forged} {
			for _, target := range []string{"GET /verify", "GET /profile", "POST /logout", "GET /users"} {
				method, path, _ := strings.Cut(target, " ")
				w := call(c.api["c"], method, path, "", credentials)
				expect(t, w, 503, "WWW-Authenticate: -", "Cache-Control: no-store")
				if w.Header().Get("Retry-After") == "" {
					t.Errorf("%s: no Retry-After", target)
				}
			}
		}
		expect(t, call(c.api["c"], "POST", "/token", loginForm, formType), 503)
		expect(t, call(c.api["c"], "POST", "/token", strings.Replace(loginForm, "wonder", "blunder", 1), formType), 503)
		expect(t, call(c.api["c"], "GET", "/readyz", ""), 503)
		expect(t, call(c.api["c"], "GET", "/livez", ""), 200)
		c.verified("c", "X-Nothing: x", 401, `WWW-Authenticate: Bearer realm="knell"`)
		w := call(c.api["c"], "GET", "/status", "")
		expect(t, w, 200)
		if !strings.Contains(w.Body.String(), `"ready":false,"lease_ms":0`) {
			t.Error(w.Body)
		}

		c.log["c"].Heal()
		time.Sleep(4 * time.Second)
		c.verified("c", token, 200)
		expect(t, call(c.api["c"], "GET", "/readyz", ""), 200)
	})
}
