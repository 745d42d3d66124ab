package load

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// run runs a load in the bubble of the test.
func run(t *testing.T, cfg Config) *Result {
	t.Helper()
	r, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range r.Operations {
		if ended := o.OK + o.Refused + o.Unavailable + o.Unknown + o.Unexpected + o.Unsent + o.NoSession; ended != o.Due {
			t.Errorf("%s: of %d that were due, %d came to an end", o.Kind, o.Due, ended)
		}
	}
	return r
}

func (r *Result) operation(kind string) Operation {
	i := slices.IndexFunc(r.Operations, func(o Operation) bool { return o.Kind == kind })
	return r.Operations[i]
}

// Real replicas, in health: no leak, nothing refused or unsent, and every number is there.
func TestHealthyKnell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, newKnell(t).config())
		v := r.Revocation
		if v.Leaks != 0 || v.Logouts < 80 || v.Checks < 3*v.Logouts || v.Unanswered != 0 || v.Bound != UpperBound(0, v.Logouts, 0.95) {
			t.Errorf("revocation: %+v", v)
		}
		if r.FalseAlarms != 0 || r.Doubtful != 0 || !r.Stream || r.Interrupted || r.Measured != 10 {
			t.Errorf("%d false alarms, %d doubtful, stream %v, interrupted %v, %v s", r.FalseAlarms, r.Doubtful, r.Stream, r.Interrupted, r.Measured)
		}
		for kind, least := range map[string]int64{"login": 10, "verify": 850, "refresh": 20, "logout": 70} {
			o := r.operation(kind)
			if failed := o.Unavailable + o.Unknown + o.Unexpected + o.Unsent + o.NoSession + o.Retried; failed != 0 || o.OK < least || o.Latency.Count != o.OK+o.Refused {
				t.Errorf("%+v", o)
			}
		}
		if logouts := r.operation("logout").OK; r.Parts.Commit.Count != logouts || r.Parts.Wait.Count != logouts || r.Traced == 0 {
			t.Errorf("parts of %d logouts: %d and %d; %d traced", logouts, r.Parts.Commit.Count, r.Parts.Wait.Count, r.Traced)
		}
		for _, v := range r.Replicas {
			if len(v.Lane) != 1 || v.Lane[0] != (Span{Accepting, 0, 10}) || v.Refusing+v.Silent != 0 || v.WrongRefusals != 0 || v.Gaps != 0 {
				t.Errorf("%+v", v)
			}
			if v.FirstRefusal.Count == 0 || v.LastAccept.MaxMS > 0 {
				t.Errorf("%s: last accept %+v, first refusal %+v", v.Name, v.LastAccept, v.FirstRefusal)
			}
		}
	})
}

// A replica that is cut off serves until its lease ends and refuses with 503 from then on; logouts wait for it; nothing
// leaks.
func TestKnellCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKnell(t)
		cfg := k.config()
		cfg.Beside = func(ctx context.Context) error {
			sleep(ctx, 2*time.Second)
			end := cfg.Recorder.Fault("cut", 2)
			k.links[2].Cut()
			sleep(ctx, 5*time.Second)
			k.links[2].Heal()
			end()
			return nil
		}
		r := run(t, cfg)
		if r.Revocation.Leaks != 0 {
			t.Errorf("%+v", r.Revocation)
		}
		if len(r.Faults) != 1 || r.Faults[0] != (Fault{"cut", "r2", 2, 7}) {
			t.Errorf("faults: %+v", r.Faults)
		}
		if slowest := r.operation("logout").Latency.MaxMS; slowest < 1000 || slowest > 5100 {
			t.Errorf("slowest logout %v ms, want the rest of a lease of 3 s, and at r2 the rest of the cut", slowest)
		}
		if last := r.Parts.Last[slices.IndexFunc(r.Parts.Last, func(l Last) bool { return l.Name == "r2" })]; last.MaxMS < 1000 {
			t.Errorf("last to follow: %+v", r.Parts.Last)
		}
		if v := r.Replicas[2]; v.Refusing < 1 || v.Refusing > 4 || v.Silent != 0 || v.WrongRefusals != 0 || v.Behind < 4 || v.LagMax < 5 {
			t.Errorf("r2: refusing %v s, silent %v s, behind %v s and %d events", v.Refusing, v.Silent, v.Behind, v.LagMax)
		}
		if v := r.Replicas[0]; v.Refusing+v.Silent != 0 || v.Behind > 0.5 {
			t.Errorf("r0: %+v", v)
		}
	})
}

// An issuer whose replicas hear late of a revocation leaks, and bench sees it and for how long.
func TestLeaksAreFound(t *testing.T) {
	for _, c := range []struct {
		name string
		late time.Duration
		want func(Result) bool
	}{
		{"honest", 0, func(r Result) bool { return r.Revocation.Leaks == 0 && r.Replicas[1].FirstRefusal.MaxMS <= 1 }},
		{"300 ms late", 300 * time.Millisecond, func(r Result) bool {
			v := r.Replicas[1]
			return r.Revocation.Leaking == r.Revocation.Logouts && r.Replicas[0].Leaks == 0 && len(v.LeaksAt) > 50 &&
				v.LastAccept.MaxMS > 270 && v.LastAccept.MaxMS < 300 && v.FirstRefusal.MinMS >= 300 && v.FirstRefusal.MaxMS < 330
		}},
		{"never", -1, func(r Result) bool {
			v := r.Replicas[1]
			return r.Revocation.Bound == 1 && v.FirstRefusal.Count == 0 && v.LastAccept.MinMS > 1900 && r.Replicas[0].Leaks == 0
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				y := &toy{late: c.late}
				cfg := y.serve(2).config()
				cfg.Issuer = y.issuer()
				r := run(t, cfg)
				if r.Revocation.Logouts < 80 || !c.want(*r) {
					t.Errorf("%+v\n%+v\n%+v", r.Revocation, r.Replicas[0], r.Replicas[1])
				}
				if r.Stream || r.Parts.Commit.Count != 0 {
					t.Error("a toy has neither a stream nor parts")
				}
			})
		})
	}
}

// The same with a protected resource instead of introspection.
func TestProtectedResource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := &toy{late: time.Second}
		cfg := y.serve(2).config()
		cfg.Issuer = y.issuer()
		cfg.Issuer.Introspect, cfg.Issuer.Check = "", "/api/me"
		if r := run(t, cfg); r.Replicas[0].Leaks != 0 || r.Replicas[1].Leaks == 0 {
			t.Errorf("%+v", r.Revocation)
		}
	})
}

// Tokens of the client itself, and the refresh token revoked instead of the access token.
func TestClientCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := &toy{grant: "client_credentials"}
		cfg := y.serve(2).config()
		cfg.Issuer = y.issuer()
		cfg.Issuer.ClientCredentials, cfg.Issuer.RevokeRefresh, cfg.Mix.Refresh = true, true, 0
		if r := run(t, cfg); r.Revocation.Leaks != 0 || r.Revocation.Logouts < 80 || r.operation("login").OK < 10 {
			t.Errorf("%+v", r.Revocation)
		}
	})
}

// An issuer that stands still for a second is seen by everybody who was due in that second, as it would be by its users. A
// load that waits for answers would see it once for each of its workers.
func TestNoCoordinatedOmission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := &toy{}
		cfg := y.serve(1).config()
		cfg.Issuer, cfg.Mix, cfg.Arrivals, cfg.InFlight = y.issuer(), Mix{Verify: 100}, Uniform, 10
		cfg.Beside = func(context.Context) error {
			y.standStill(4*time.Second, time.Second)
			return nil
		}
		r := run(t, cfg)
		v := r.operation("verify")
		if v.Due < 999 || v.OK != v.Due {
			t.Fatalf("%+v", v)
		}
		// Of 1000, 100 were due then, and waited for half a second in the mean: 1 % of all for more than 0.9 s.
		for name, c := range map[string][3]float64{"p50": {v.Latency.P50MS, 0, 1}, "p99": {v.Latency.P99MS, 880, 920}, "slowest": {v.Latency.MaxMS, 980, 1000},
			"mean": {v.Latency.MeanMS, 45, 55}} {
			if c[0] < c[1] || c[0] > c[2] {
				t.Errorf("%s: %v ms, want %v to %v", name, c[0], c[1], c[2])
			}
		}
		if late := r.Lateness.MaxMS; late < 850 || late > 1000 { // ten were sent, the others had to wait
			t.Errorf("sent up to %v ms late", late)
		}
	})
}

// What can't be sent in time is counted, and not sent later in a crowd.
func TestUnsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := &toy{}
		cfg := y.serve(1).config()
		cfg.Issuer, cfg.Mix, cfg.Arrivals, cfg.InFlight = y.issuer(), Mix{Verify: 100}, Uniform, 10
		cfg.Beside = func(context.Context) error {
			y.standStill(4*time.Second, 4*time.Second)
			return nil
		}
		r := run(t, cfg)
		if v := r.operation("verify"); v.Unsent < 280 || v.Unsent > 310 || v.OK+v.Unsent != v.Due { // 4 s less 1 s of patience
			t.Errorf("%+v", v)
		}
		if v := r.Replicas[0]; v.Silent < 3 || v.Silent > 4 {
			t.Errorf("silent for %v s, want a little less than 4: what is answered within half a second counts as answered", v.Silent)
		}
	})
}

// A run that is interrupted says what it has.
func TestInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cfg := newKnell(t).config()
		reached := errors.New("faults ended early")
		cfg.Beside = func(ctx context.Context) error {
			sleep(ctx, 3*time.Second)
			cancel()
			<-ctx.Done()
			return reached
		}
		r, err := Run(ctx, cfg)
		if !errors.Is(err, reached) || r == nil {
			t.Fatal(r, err)
		}
		if !r.Interrupted || r.Measured != 3 || r.operation("logout").OK < 15 || r.Revocation.Leaks != 0 {
			t.Errorf("%v s, %+v", r.Measured, r.Revocation)
		}
	})
}

// What makes a run impossible is said before it begins.
func TestRefusesToBegin(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*Config)
		want string
	}{
		{"wrong password", func(c *Config) { c.Issuer.Client.Secret = "wrong" }, "only 0 of 172 sessions could be made: the last login was answered 401 Unauthorized (refused)"},
		{"no such endpoint", func(c *Config) { c.Issuer.Token = "/nosuch" }, "answered 404 Not Found (unexpected)"},
		{"no such check", func(c *Config) { c.Issuer.Introspect = "/nosuch" }, "r0 (http://r0) does not accept a token of a new session: it was answered 404"},
		{"no refresh tokens", func(c *Config) {
			toy := c.Transport.(inProcess)["r0"]
			plain := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/oauth/token" {
					toy.ServeHTTP(w, r)
					return
				}
				w.Write([]byte(`{"access_token":"a"}`))
			})
			c.Transport = inProcess{"r0": plain}
		}, "gives no refresh tokens: use --refresh 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				y := &toy{}
				cfg := y.serve(1).config()
				cfg.Issuer = y.issuer()
				c.edit(&cfg)
				r, err := Run(t.Context(), cfg)
				if r != nil || err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want %q", err, c.want)
				}
			})
		})
	}
}

func TestCheckEndpoint(t *testing.T) {
	for s, ok := range map[string]bool{
		"": true, "/token": true, "https://id.example.com/oauth/token": true,
		"token": false, "ftp://id.example.com": false, "https://": false, "http://u:p@h/": false, "http://h/?a=b": false,
	} {
		if err := CheckEndpoint(s); (err == nil) != ok {
			t.Errorf("%q: %v", s, err)
		}
	}
}
