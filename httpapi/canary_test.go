package httpapi

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/knell-auth/knell/internal/canary"
)

// byHost answers requests in memory, by the host that they are for.
type byHost map[string]http.Handler

// RoundTrip implements http.RoundTripper.
func (hosts byHost) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	in := r.Clone(r.Context())
	in.RemoteAddr = "192.0.2.9:1234"
	if in.Body == nil {
		in.Body = http.NoBody
	}
	hosts[r.URL.Host].ServeHTTP(w, in)
	return w.Result(), r.Context().Err()
}

// caching remembers what /verify has answered: what stands in front of a replica must not.
func caching(next http.Handler) http.Handler {
	known := map[string]*httptest.ResponseRecorder{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := r.Header.Get("Authorization")
		if r.URL.Path == pathVerify && known[token] == nil {
			known[token] = httptest.NewRecorder()
			next.ServeHTTP(known[token], r)
		}
		if answer := known[token]; r.URL.Path == pathVerify {
			w.WriteHeader(answer.Code)
			_, _ = io.Copy(w, bytes.NewReader(answer.Body.Bytes()))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// The canary sings of what is so: nothing while all is well, the replica and the part of the round when one is cut off, and a leak when
// somebody caches in front of a replica. It never says a secret.
func TestCanary(t *testing.T) {
	replicas(t, Config{}, func(t *testing.T, c *cluster) {
		hosts := byHost{}
		for name, h := range c.api {
			hosts[name+":8080"] = h
		}
		logged := &lockedBuffer{}
		bird, err := canary.New(canary.Config{
			Targets: []string{"http://a:8080", "http://b:8080", "http://c:8080"}, HTTP: &http.Client{Transport: hosts},
			User: canary.Credentials{Name: "alice", Secret: passwords["alice"]}, Logger: slog.New(slog.NewTextHandler(logged, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		metrics := func() string {
			w := httptest.NewRecorder()
			bird.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
			return w.Body.String()
		}
		said := func(lines ...string) {
			t.Helper()
			for _, line := range lines {
				if text := metrics(); !strings.Contains(text, "\n"+line+"\n") {
					t.Errorf("no %s in\n%s", line, text)
				}
			}
		}
		for range 3 {
			if err := bird.Round(t.Context()); err != nil {
				t.Error(err)
			}
		}
		said(`knell_canary_rounds_total{outcome="ok"} 3`, `knell_canary_probes_total{replica="c:8080"} 3`, `knell_canary_leaks_total{replica="c:8080"} 0`,
			`knell_canary_logout_duration_seconds_count 3`)

		c.log["c"].Cut()
		c.rest(4 * time.Second) // its lease has ended
		if err := bird.Round(t.Context()); err == nil || errors.Is(err, canary.ErrLeak) || !strings.Contains(err.Error(), "probe at c:8080: status 503") {
			t.Errorf("cut off: %v", err)
		}
		said(`knell_canary_rounds_total{outcome="failed"} 1`, `knell_canary_failures_total{replica="c:8080",stage="verify"} 1`,
			`knell_canary_failures_total{replica="c:8080",stage="probe"} 1`, `knell_canary_failures_total{replica="a:8080",stage="probe"} 0`,
			`knell_canary_probes_total{replica="b:8080"} 4`)
		c.log["c"].Heal()
		c.rest(4 * time.Second)

		hosts["b:8080"] = caching(hosts["b:8080"])
		if err := bird.Round(t.Context()); !errors.Is(err, canary.ErrLeak) || !strings.Contains(err.Error(), "b:8080") {
			t.Errorf("with a cache: %v", err)
		}
		said(`knell_canary_rounds_total{outcome="leak"} 1`, `knell_canary_leaks_total{replica="b:8080"} 1`, `knell_canary_leaks_total{replica="a:8080"} 0`)
		if text := metrics() + logged.String(); strings.Contains(text, passwords["alice"]) || strings.Contains(text, "alice") {
			t.Errorf("the canary says who it is: %s", text)
		}
	})
}
