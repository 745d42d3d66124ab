package rival

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/redis/go-redis/v9"

	"github.com/knell-auth/knell/cluster-test/redisd"
)

const secret = "0123456789abcdef0123456789abcdef"

// store starts a real Redis, or skips the test.
func store(t *testing.T) *redisd.Server {
	s, err := redisd.New(t.Context(), t.TempDir())
	if errors.Is(err, redisd.ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	return s
}

// replica starts a server of cfg and returns its URL.
func replica(t *testing.T, cfg Config) string {
	cfg.Secret, cfg.User, cfg.Password = secret, "alice", "wonderland"
	s, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		h.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return h.URL
}

func login(t *testing.T, base string) string {
	form := url.Values{"grant_type": {"password"}, "username": {"alice"}, "password": {"wonderland"}}
	resp, err := http.PostForm(base+"/token", form)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var grant struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&grant); err != nil || grant.AccessToken == "" {
		t.Fatalf("login: status %d, %v", resp.StatusCode, err)
	}
	return grant.AccessToken
}

func ask(t *testing.T, method, target, token string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

func want(t *testing.T, what string, got, status int) {
	t.Helper()
	if got != status {
		t.Errorf("%s: status %d, want %d", what, got, status)
	}
}

// patience bounds how long something that takes its time may take.
const patience = 10 * time.Second

// refuses asks again and again until the token is refused.
func refuses(t *testing.T, base, token string) {
	t.Helper()
	for begin := time.Now(); time.Since(begin) < patience; {
		if ask(t, http.MethodGet, base+"/verify", token) == http.StatusUnauthorized {
			return
		}
	}
	t.Errorf("%s still accepts the token", base)
}

func TestJWTOutlivesItsLogout(t *testing.T) {
	base := replica(t, Config{Profile: JWT})
	token := login(t, base)
	want(t, "verify", ask(t, http.MethodGet, base+"/verify", token), 200)
	want(t, "logout", ask(t, http.MethodPost, base+"/logout", token), 204)
	want(t, "verify after logout", ask(t, http.MethodGet, base+"/verify", token), 200)
}

func TestBadTokensAreRefused(t *testing.T) {
	base := replica(t, Config{Profile: JWT})
	now := time.Now()
	good := jwt.RegisteredClaims{
		Issuer: issuer, Audience: jwt.ClaimStrings{issuer}, Subject: "alice", ID: "1", ExpiresAt: jwt.NewNumericDate(now.Add(time.Hour)),
	}
	sign := func(method jwt.SigningMethod, key any, change func(*jwt.RegisteredClaims)) string {
		claims := good
		change(&claims)
		token, err := jwt.NewWithClaims(method, claims).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	key := []byte(secret)
	same := func(*jwt.RegisteredClaims) {}
	want(t, "good", ask(t, http.MethodGet, base+"/verify", sign(jwt.SigningMethodHS256, key, same)), 200)
	for name, token := range map[string]string{
		"none":      sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, same),
		"HS512":     sign(jwt.SigningMethodHS512, key, same),
		"other key": sign(jwt.SigningMethodHS256, []byte("other"), same),
		"expired":   sign(jwt.SigningMethodHS256, key, func(c *jwt.RegisteredClaims) { c.ExpiresAt = jwt.NewNumericDate(now.Add(-time.Second)) }),
		"no exp":    sign(jwt.SigningMethodHS256, key, func(c *jwt.RegisteredClaims) { c.ExpiresAt = nil }),
		"issuer":    sign(jwt.SigningMethodHS256, key, func(c *jwt.RegisteredClaims) { c.Issuer = "other" }),
		"audience":  sign(jwt.SigningMethodHS256, key, func(c *jwt.RegisteredClaims) { c.Audience = nil }),
		"no id":     sign(jwt.SigningMethodHS256, key, func(c *jwt.RegisteredClaims) { c.ID = "" }),
		"empty":     "",
		"garbage":   "a.b.c",
	} {
		want(t, "verify with "+name, ask(t, http.MethodGet, base+"/verify", token), 401)
		want(t, "logout with "+name, ask(t, http.MethodPost, base+"/logout", token), 401)
	}
}

func TestBadLoginsAreRefused(t *testing.T) {
	base := replica(t, Config{Profile: JWT})
	for form, wanted := range map[string]string{
		"":                                   "unsupported_grant_type",
		"grant_type=implicit":                "unsupported_grant_type",
		"grant_type=password":                "invalid_grant",
		"grant_type=password&username=alice": "invalid_grant",
		"grant_type=password&password=wonderland":       "invalid_grant",
		"grant_type=password&username=alice&password=x": "invalid_grant",
	} {
		resp, err := http.Post(base+"/token", "application/x-www-form-urlencoded", strings.NewReader(form))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 400 || !strings.Contains(string(body), wanted) {
			t.Errorf("%q: status %d, %s", form, resp.StatusCode, body)
		}
	}
}

func TestDenyList(t *testing.T) {
	s := store(t)
	closed := Config{Profile: DenyList, Redis: s.Addr}
	open := closed
	open.FailOpen = true
	a, b, lax := replica(t, closed), replica(t, closed), replica(t, open)
	token, other := login(t, a), login(t, a)
	want(t, "logout", ask(t, http.MethodPost, a+"/logout", token), 204)
	for _, base := range []string{a, b, lax} {
		want(t, "revoked", ask(t, http.MethodGet, base+"/verify", token), 401)
		want(t, "another session", ask(t, http.MethodGet, base+"/verify", other), 200)
	}
	s.Kill()
	want(t, "without store, closed", ask(t, http.MethodGet, b+"/verify", other), 503)
	want(t, "without store, open, revoked", ask(t, http.MethodGet, lax+"/verify", token), 200)
	for _, base := range []string{a, lax} {
		want(t, "logout without store", ask(t, http.MethodPost, base+"/logout", other), 503)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	refuses(t, lax, token) // the append-only file has it
}

// A replica in memory hears of the revocations before its start, of those after it, and keeps them without the store.
func TestMemory(t *testing.T) {
	for _, profile := range []Profile{PubSub, Polling} {
		t.Run(string(profile), func(t *testing.T) {
			s := store(t)
			cfg := Config{Profile: profile, Redis: s.Addr, PollEvery: 10 * time.Millisecond}
			a := replica(t, cfg)
			token, later, other := login(t, a), login(t, a), login(t, a)
			want(t, "logout", ask(t, http.MethodPost, a+"/logout", token), 204)
			want(t, "at the revoker", ask(t, http.MethodGet, a+"/verify", token), 401)
			b := replica(t, cfg)
			want(t, "from before the start", ask(t, http.MethodGet, b+"/verify", token), 401)
			want(t, "logout", ask(t, http.MethodPost, a+"/logout", later), 204)
			refuses(t, b, later)
			want(t, "another session", ask(t, http.MethodGet, b+"/verify", other), 200)

			s.Kill()
			want(t, "without store, revoked", ask(t, http.MethodGet, b+"/verify", token), 401)
			want(t, "without store, good", ask(t, http.MethodGet, b+"/verify", other), 200)
			want(t, "logout without store", ask(t, http.MethodPost, a+"/logout", other), 503)
			want(t, "after a logout without success", ask(t, http.MethodGet, a+"/verify", other), 200)
			if err := s.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			for ask(t, http.MethodPost, a+"/logout", other) != 204 && t.Context().Err() == nil {
			}
			refuses(t, b, other)
		})
	}
}

// What was published while a subscriber's connection was lost is found by loading again.
func TestPubSubLoadsAfterReconnecting(t *testing.T) {
	s := store(t)
	base := replica(t, Config{Profile: PubSub, Redis: s.Addr})
	token := login(t, base)
	claims, err := newSigner(secret, time.Hour).check(token)
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(&redis.Options{Addr: s.Addr})
	defer c.Close()
	if err := save(t.Context(), c, claims.ID, claims.ExpiresAt.Time, func(redis.Pipeliner) {}); err != nil {
		t.Fatal(err)
	}
	want(t, "not published", ask(t, http.MethodGet, base+"/verify", token), 200)
	if err := c.ClientKillByFilter(t.Context(), "TYPE", "pubsub").Err(); err != nil {
		t.Fatal(err)
	}
	refuses(t, base, token)
}

func TestDenySetForgetsWhatHasExpired(t *testing.T) {
	var s denySet
	now := time.Now()
	s.addOne("old", now.Add(-time.Second))
	s.addOne("new", now.Add(time.Second))
	s.add(map[string]time.Time{"more": now.Add(time.Second)}, now)
	if s.has("old") || !s.has("new") || !s.has("more") {
		t.Errorf("has %v", s.until)
	}
}

func TestBadSettings(t *testing.T) {
	good := Config{Profile: DenyList, Redis: "127.0.0.1:1", Secret: secret, User: "alice", Password: "x"}
	for text, change := range map[string]func(*Config){
		"profile":     func(c *Config) { c.Profile = "magic" },
		"host:port":   func(c *Config) { c.Redis = "" },
		"not \"foo\"": func(c *Config) { c.Redis = "foo" },
		"fail open":   func(c *Config) { c.Profile, c.FailOpen = PubSub, true },
		"negative":    func(c *Config) { c.PollEvery = -1 },
		"secret":      func(c *Config) { c.Secret = "short" },
		"user":        func(c *Config) { c.User = "" },
		"refused":     func(*Config) {}, // nobody listens there
	} {
		cfg := good
		change(&cfg)
		if _, err := New(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("want an error with %q, got %v", text, err)
		}
	}
}

func TestMainRefusesBadSettings(t *testing.T) {
	var stderr strings.Builder
	for _, input := range []string{"", "{", `{"Profil":"jwt"}`} {
		if code := Main(strings.NewReader(input), io.Discard, &stderr); code != 2 {
			t.Errorf("%q: exit code %d", input, code)
		}
	}
	if code := Main(strings.NewReader(`{"Profile":"jwt"}`), io.Discard, &stderr); code != 1 || !strings.Contains(stderr.String(), "secret") {
		t.Errorf("exit code %d:\n%s", code, &stderr)
	}
}

// A replica serves until its standard input ends.
func TestMainServes(t *testing.T) {
	stdin, feed := io.Pipe()
	said, stdout := io.Pipe()
	code := make(chan int)
	var stderr strings.Builder
	go func() { code <- Main(stdin, stdout, &stderr) }()
	go func() {
		_ = json.NewEncoder(feed).Encode(Config{Profile: JWT, Secret: secret, User: "alice", Password: "wonderland"})
	}()
	line := make([]byte, 100)
	n, err := said.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	base := strings.TrimSpace(string(line[:n]))
	want(t, "ready", ask(t, http.MethodGet, base+"/readyz", ""), 200)
	want(t, "verify", ask(t, http.MethodGet, base+"/verify", login(t, base)), 200)
	feed.Close()
	if got := <-code; got != 0 {
		t.Errorf("exit code %d:\n%s", got, &stderr)
	}
	if _, err := http.Get(base + "/readyz"); err == nil {
		t.Error("it serves after its end")
	}
}
