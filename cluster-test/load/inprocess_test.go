package load

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/knell-auth/knell/cluster-test/history"
	"github.com/knell-auth/knell/events/eventstest"
	"github.com/knell-auth/knell/httpapi"
	"github.com/knell-auth/knell/internal/password"
	"github.com/knell-auth/knell/node"
)

// inProcess carries requests to handlers by their host, without a network: so that a whole run fits into a bubble of fake
// time. As over a network, a client may give up while the handler goes on.
type inProcess map[string]http.Handler

func (p inProcess) RoundTrip(req *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	done := make(chan struct{})
	go func() {
		defer close(done)
		p[req.URL.Host].ServeHTTP(w, req)
	}()
	select {
	case <-done:
		return w.Result(), nil
	case <-req.Context().Done():
		return nil, req.Context().Err()
	}
}

// config returns the settings of a run of 10 s against these handlers.
func (p inProcess) config() Config {
	cfg := Config{
		Issuer: Issuer{User: Credentials{"alice", "wonderland-1865"}}, Mix: Mix{Login: 2, Verify: 100, Refresh: 4, Logout: 10},
		For: 10 * time.Second, Warmup: time.Second, Seed: 1, Recorder: history.NewRecorder(), Transport: p,
	}
	for i := range len(p) {
		cfg.Replicas = append(cfg.Replicas, Replica{Name: fmt.Sprintf("r%d", i), URL: fmt.Sprintf("http://r%d", i)})
	}
	return cfg
}

// knell is three real replicas over one log in memory.
type knell struct {
	inProcess
	links []*eventstest.Node
}

// newKnell starts them in the bubble of the test.
func newKnell(t *testing.T) *knell {
	t.Helper()
	k := &knell{inProcess: inProcess{}}
	log := eventstest.New(t)
	var n *node.Node
	for i := range 3 {
		name := fmt.Sprintf("r%d", i)
		k.links = append(k.links, log.Node(name))
		var err error
		n, err = node.Start(t.Context(), node.Config{
			Name: name, Dir: t.TempDir(), Log: k.links[i], Issuer: "https://knell.test", Audience: "api", Lease: 3 * time.Second,
			Logger:   slog.New(slog.DiscardHandler),
			Password: password.Config{Queue: 256, MaxWait: 10 * time.Second, Params: password.Params{MemoryKiB: 8, Time: 1, Lanes: 1}},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			if err := n.Close(ctx); err != nil {
				t.Error(err)
			}
		})
		k.inProcess[name] = httpapi.New(n, httpapi.Config{PasswordGrant: true})
	}
	_, err := n.CreateUser(t.Context(), node.NewUser{Name: "alice", Password: "wonderland-1865", Scope: []string{"profile"}}, node.Origin{Actor: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// toy is an OAuth 2 server of some replicas: token, revocation (RFC 7009) and introspection (RFC 7662) endpoints, and a
// protected resource. Replicas hear of a revocation late, or never, as it is told to.
type toy struct {
	grant string        // the only one that there is; "": any
	late  time.Duration // how much later than the first the other replicas follow; below 0: they never do

	mu      sync.Mutex // guards all below
	from    time.Time  // from then to to, checks are not answered
	to      time.Time
	tokens  int
	revoked map[string]time.Time
}

// serve returns the handlers of n replicas.
func (y *toy) serve(n int) inProcess {
	y.revoked = map[string]time.Time{}
	p := inProcess{}
	for i := range n {
		mux := http.NewServeMux()
		mux.HandleFunc("POST /oauth/token", y.authenticated(y.token))
		mux.HandleFunc("POST /oauth/revoke", y.authenticated(func(_ http.ResponseWriter, r *http.Request) {
			y.mu.Lock()
			defer y.mu.Unlock()
			token := r.FormValue("token")
			if r.FormValue("token_type_hint") == "refresh_token" { // the access token of the same number ends with it
				token = "a" + strings.TrimPrefix(token, "r")
			}
			y.revoked[token] = time.Now()
		}))
		mux.HandleFunc("POST /oauth/introspect", y.authenticated(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, `{"active":%v}`, y.good(i, r.FormValue("token")))
		}))
		mux.HandleFunc("GET /api/me", func(w http.ResponseWriter, r *http.Request) {
			if !y.good(i, r.Header.Get("Authorization")[len("Bearer "):]) {
				w.WriteHeader(http.StatusUnauthorized)
			}
		})
		p[fmt.Sprintf("r%d", i)] = mux
	}
	return p
}

// authenticated lets the client "app" alone do something.
func (y *toy) authenticated(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if id, secret, ok := r.BasicAuth(); !ok || id != "app" || secret != "app-secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next(w, r)
	}
}

func (y *toy) token(w http.ResponseWriter, r *http.Request) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if want := y.grant; want != "" && r.FormValue("grant_type") != want {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	y.tokens++
	fmt.Fprintf(w, `{"access_token":"a%d","refresh_token":"r%d","expires_in":3600}`, y.tokens, y.tokens)
}

// good reports whether replica i takes the token.
func (y *toy) good(i int, token string) bool {
	y.mu.Lock()
	defer y.mu.Unlock()
	if now := time.Now(); now.After(y.from) && now.Before(y.to) {
		wait := y.to.Sub(now)
		y.mu.Unlock()
		time.Sleep(wait)
		y.mu.Lock()
	}
	at, revoked := y.revoked[token]
	return !revoked || i > 0 && (y.late < 0 || time.Since(at) < y.late)
}

// standStill lets checks wait in a time to come.
func (y *toy) standStill(in, length time.Duration) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.from = time.Now().Add(in)
	y.to = y.from.Add(length)
}

// issuer returns how to talk to a toy.
func (y *toy) issuer() Issuer {
	return Issuer{
		Token: "/oauth/token", Revoke: "/oauth/revoke", Introspect: "/oauth/introspect",
		User: Credentials{"u", "p"}, Client: Credentials{"app", "app-secret"},
	}
}
