package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/knell-auth/knell/cluster-test/load"
	"github.com/knell-auth/knell/cluster-test/report"
)

// TestBench starts a cluster of its own under load, pauses a replica, interrupts it when both show, and looks at what is
// reported and what is left.
func TestBench(t *testing.T) {
	t.Parallel() // so that they wait together, when all others are done
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// The replicas get a clean environment, and this binary is knell only when it is told so.
	binary := filepath.Join(dir, "knell")
	if err := os.WriteFile(binary, fmt.Appendf(nil, "#!/bin/sh\n%s=1 exec %q \"$@\"\n", asMain, self), 0o700); err != nil {
		t.Fatal(err)
	}
	p := launch(t, dir, "bench", "--binary", binary, "--dir", dir, "--sessions", "20", "--login", "0", "--verify", "20/s", "--logout", "4/s",
		"--refresh", "2/s", "--warmup", "0s", "--for", "10m", "--fault", "pause@1s:r1:1s", "--progress", "--json", "out.json", "--html", "out.html",
		"--fail-if", "leaks>0,leak_bound>99%")
	p.await(t, "starting 3 replicas")
	p.await(t, "pause: replica [1] ready again")
	code, out := p.stop(t, syscall.SIGINT)
	if code != exitFailed || !strings.Contains(out, "knell: interrupted") || !strings.Contains(out, "leaks>0 is not met: 0") {
		t.Errorf("exit %d:\n%s", code, out)
	}
	r, err := report.ReadFile(filepath.Join(dir, "out.json"))
	if err != nil {
		t.Fatal(err)
	}
	if !r.Interrupted || r.Revocation.Leaks != 0 || r.Revocation.Logouts == 0 || len(r.Faults) != 1 || r.Faults[0].To < 2 || !r.Stream {
		t.Errorf("%+v\n%+v", r.Revocation, r.Faults)
	}
	if html, err := os.ReadFile(filepath.Join(dir, "out.html")); err != nil || !strings.Contains(string(html), "</html>") {
		t.Error(err, len(html))
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "knell-bench-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestBenchGrant: --grant holds for a cluster of its own as well.
func TestBenchGrant(t *testing.T) {
	for grant, want := range map[string]bool{"password": false, "client_credentials": true} {
		c := benchCmd{Load: loadFlags{For: time.Minute, Timeout: time.Second, Sessions: 1, InFlight: 1, TraceAfter: time.Second, Login: 1}}
		c.Issuer.Grant = grant
		if p, err := c.plan(); err != nil || p.cfg.Issuer.ClientCredentials != want {
			t.Errorf("%s: %+v, %v", grant, p.cfg.Issuer, err)
		}
	}
}

func TestRate(t *testing.T) {
	for text, want := range map[string]rate{"0": 0, "20": 20, "0.5": 0.5, "20/s": 20, "90/m": 1.5, "1e3": 1000, "100000/s": 100_000} {
		var r rate
		if err := r.UnmarshalText([]byte(text)); err != nil || r != want {
			t.Errorf("%q: %v %v", text, r, err)
		}
	}
	for _, text := range []string{"", "/s", "-1", "NaN", "inf", "100001", "5/h", "5/", "5 /s", "5/s/s"} {
		var r rate
		if err := r.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q: %v", text, r)
		}
	}
}

func TestProgressLine(t *testing.T) {
	for want, p := range map[string]load.Progress{
		"logging in: 3 of 20 sessions": {Sessions: 3, Wanted: 20},
		"warming up: 2s left":          {At: -1900 * time.Millisecond, Of: time.Minute},
		"5s/1m0s  logouts 7, p99 1.50 ms  checks 80, p99 300 µs  leaks 0": {At: 5100 * time.Millisecond, Of: time.Minute, Logouts: 7, LogoutP99: 1500 * time.Microsecond, Verifies: 80, VerifyP99: 300 * time.Microsecond},
		"0s/1s  logouts 0, p99 0 µs  checks 0, p99 0 µs  leaks 2  unsent 3  b silent": {Of: time.Second, Leaks: 2, Unsent: 3,
			Replicas: []load.ReplicaProgress{{Name: "a", State: load.Accepting}, {Name: "b", State: load.Silent}}},
	} {
		if got := progressLine(p); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
