package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

func TestMain(m *testing.M) {
	if code, ok := child(os.Args, os.Stdin, os.Stdout, os.Stderr); ok { // the program that starts services is this one
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// TestRun runs everything in its shortest form: all services answer what they are asked, and the table has all rows. What was measured
// is not looked at.
func TestRun(t *testing.T) {
	if testing.Short() {
		t.Skip("its processes measure the race detector, if that is on")
	}
	if _, err := exec.LookPath("taskset"); err != nil || runtime.NumCPU() < 2 {
		t.Skip("needs taskset and two processors")
	}
	var out, log strings.Builder
	args := strings.Fields("-rounds 2 -slice 5ms -tokens 3 -connections 2 -flood 20ms -flood-times 0.1")
	for _, name := range []string{"-min-verify", "-min-verify-many", "-min-redis", "-min-introspect", "-max-flood"} {
		args = append(args, name, "0")
	}
	if code := run(args, &out, &log); code != exitOK {
		t.Fatalf("exit code %d\n%s", code, &log)
	}
	names := []string{oneToken, manyTokens, introspect, jwtEdDSA, jwtHS256, "API key", "user name and password", "middleware", "A flood of logins"}
	if _, err := exec.LookPath("redis-server"); err == nil {
		names = append(names, jwtEdDSA+withRedis, jwtHS256+withRedis, redisAlone)
	}
	for _, name := range names {
		if !strings.Contains(out.String(), name) {
			t.Errorf("no row %q in\n%s", name, &out)
		}
	}
}

// TestDriveJudgesAnswers shows that a load does not count answers that are not those of an accepted credential.
func TestDriveJudgesAnswers(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the load needs Linux")
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("Authorization") {
		case "good":
			io.WriteString(w, `{"active":true}`)
		case "lengthless":
			w.(http.Flusher).Flush()
		case "mute":
			panic(http.ErrAbortHandler)
		default:
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer s.Close()
	for _, c := range []struct {
		credential, want, failure string
	}{
		{"good", "", ""},
		{"good", `"active":true`, ""},
		{"good", `"active":false`, `without "\"active\":false"`},
		{"bad", "", "401"},
		{"lengthless", "", "without a length"},
		{"mute", "", "closed"},
	} {
		l := load{s.Listener.Addr().String(), gets(c.credential), []byte(c.want)}
		latencies, took, err := driven(context.Background(), l, time.Millisecond)
		switch {
		case c.failure == "" && (err != nil || len(latencies) < 2 || took <= 0):
			t.Errorf("%s, %q: %d answers in %v, %v", c.credential, c.want, len(latencies), took, err)
		case c.failure != "" && (err == nil || !strings.Contains(err.Error(), c.failure)):
			t.Errorf("%s, %q: %v, want one with %q", c.credential, c.want, err, c.failure)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := driven(ctx, load{s.Listener.Addr().String(), gets("good"), nil}, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// driven is a load over two connections.
func driven(ctx context.Context, l load, d time.Duration) (latencies []time.Duration, took time.Duration, err error) {
	c, err := connect(ctx, l, 2, 0)
	if err != nil {
		return nil, 0, err
	}
	latencies, took, err = c.drive(ctx, d)
	return latencies, took, errors.Join(err, c.close())
}

// TestPeersRefuse shows that the services beside Knell do check what they are given.
func TestPeersRefuse(t *testing.T) {
	secret := []byte("0123456789abcdef0123456789abcdef")
	good, err := resign(foreign(t, time.Now().Add(time.Minute)), secret)
	if err != nil {
		t.Fatal(err)
	}
	expired, err := resign(foreign(t, time.Now().Add(-time.Minute)), secret)
	if err != nil {
		t.Fatal(err)
	}
	s := service{Kind: jwtHS256, Issuer: issuer, Secret: secret}
	h, err := s.handler(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for token, want := range map[string]int{good: 200, expired: 401, good[:len(good)-2]: 401, foreign(t, time.Now().Add(time.Minute)): 401, "": 401} {
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/verify", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		h.ServeHTTP(w, r)
		if w.Code != want || want == 200 && w.Header().Get("X-User") != "alice" {
			t.Errorf("%q: %d %q, want %d", token, w.Code, w.Header().Get("X-User"), want)
		}
	}
}

// foreign returns a token under another key.
func foreign(t *testing.T, expires time.Time) string {
	t.Helper()
	c := claims{RegisteredClaims: jwt.RegisteredClaims{
		Issuer: issuer, Audience: jwt.ClaimStrings{audience}, Subject: "alice", ID: "1", ExpiresAt: jwt.NewNumericDate(expires),
	}}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString([]byte("another secret of 32 characters!"))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestSummary(t *testing.T) {
	a := []sample{{rate: 10, cpu: 4}, {rate: 30, cpu: 2}, {rate: 20, cpu: 3}}
	b := []sample{{rate: 5, cpu: 4}, {rate: 10, cpu: 2}, {rate: 20, cpu: 3}}
	for _, c := range []struct {
		what string
		got  float64
		want float64
	}{
		{"median", summary{}.of(a, rate), 20},
		{"median of pairs", summary{}.ratio(a, b, rate), 2},
		{"best rate", summary{shared: true}.of(a, rate), 30},
		{"best cost", summary{shared: true}.of(a, cpu), 2},
		{"throughput by time", summary{shared: true}.of(a, summary{shared: true}.throughput()), 5e8},
		{"ratio of the best", summary{shared: true}.ratio(a, b, rate), 1.5},
		{"median of two", median([]float64{1, 2}), 1.5},
		{"median of none", median(nil), 0},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", c.what, c.got, c.want)
		}
	}
}

func TestRequirements(t *testing.T) {
	pair := func(name string, rate float64) *row {
		return &row{name: name, samples: []sample{{rate: rate, cpu: 1}}, bases: []sample{{rate: 100, cpu: 1}}}
	}
	rows := []*row{pair(oneToken, 95), pair(manyTokens, 80), pair(introspect, 20_000), pair(jwtEdDSA+withRedis, 19)}
	f := &floodResult{idle: []sample{{p99: time.Millisecond}}, flooded: []sample{{p99: 2 * time.Millisecond}}}
	s := settings{minOne: 0.9, minMany: 0.85, minRedis: 5, minIntrospect: 20_000, maxFlood: 2}
	var verdicts []bool
	for _, r := range requirements(s, rows, f) {
		verdicts = append(verdicts, r.reached())
		if !strings.Contains(r.String(), map[bool]string{true: "reached", false: "MISSED"}[r.reached()]) {
			t.Error(r)
		}
	}
	if want := []bool{true, true, false, true, true}; !slices.Equal(verdicts, want) {
		t.Errorf("reached: %v, want %v", verdicts, want)
	}
	if got := requirements(settings{}, rows, nil); len(got) > 0 {
		t.Errorf("nothing was required, but %v", got)
	}
}

func TestParse(t *testing.T) {
	for line, good := range map[string]bool{
		"":                          runtime.NumCPU() > 1,
		"-rounds 0":                 false,
		"-slice 0s":                 false,
		"-server-cpu 1":             false, // as the load
		"-load-cpu 4096":            false,
		"-flood 0s -server-cpu 0 x": false,
	} {
		if _, err := parse(strings.Fields(line), io.Discard); (err == nil) != good {
			t.Errorf("%q: %v", line, err)
		}
	}
}
