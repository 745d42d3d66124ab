package replica

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/knell-auth/knell/internal/tracing"
)

// read returns status and body of what a URL gives.
func read(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// What is for operators is served at the private address from the start on, and nowhere else; no webhook gets there.
func TestPrivateAddress(t *testing.T) {
	dir := t.TempDir()
	cfg := standalone(t, filepath.Join(dir, "data"))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Private = l
	files := TLS{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	writePair(t, files, 1)
	cfg.TLS = &files
	r := Start(cfg)
	t.Cleanup(func() { stop(t, r) })
	private := "http://" + l.Addr().String()
	if status, body := read(t, private+"/metrics"); status != 200 || !strings.Contains(body, "\nknell_ready ") || !strings.Contains(body, "\ngo_goroutines ") {
		t.Errorf("at the start: %d %s", status, body)
	}
	select {
	case <-r.Ready():
	case <-r.Failed():
		t.Fatal(r.Err())
	case <-time.After(30 * time.Second):
		t.Fatal("not ready in time")
	}
	trusting := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer trusting.CloseIdleConnections()
	public := "https://" + cfg.Listener.Addr().String()
	for path, want := range map[string]int{"/profile": 401, "/metrics": 404, "/debug/pprof/": 404, "/verify": 401} {
		if got := get(t, trusting, public+path).StatusCode; got != want {
			t.Errorf("%s answers %d, want %d", path, got, want)
		}
	}
	for path, want := range map[string]int{"/livez": 200, "/readyz": 200, "/debug/pprof/goroutine?debug=1": 200, "/debug/pprof/cmdline": 200, "/profile": 404} {
		if got, _ := read(t, private+path); got != want {
			t.Errorf("%s answers %d there, want %d", path, got, want)
		}
	}
	_, body := read(t, private+"/metrics")
	for _, line := range []string{
		"knell_ready 1", "knell_users 0", "knell_peers 0", `knell_certificate_expiry_timestamp_seconds{use="https"} `,
		`knell_http_requests_total{code="4xx",method="GET",route="/profile"} 1`, `knell_http_requests_total{code="4xx",method="GET",route="none"} 2`,
		`knell_http_requests_total{code="4xx",method="GET",route="/verify"} 1`, `knell_http_request_duration_seconds_count{code="4xx",route="/profile"} 1`,
	} {
		if !strings.Contains(body, "\n"+line) {
			t.Errorf("no %s in\n%s", line, body)
		}
	}
	if !r.listens(netip.MustParseAddrPort(l.Addr().String())) {
		t.Error("a webhook may reach the private address")
	}
	stop(t, r)
	if _, err := net.Dial("tcp", l.Addr().String()); err == nil {
		t.Error("it is still served after Close")
	}
}

// A replica that cannot do what it was asked to says so instead of leaving it out.
func TestTracesToNowhere(t *testing.T) {
	cfg := standalone(t, t.TempDir())
	cfg.Tracing = &tracing.Config{Endpoint: "ftp://127.0.0.1"}
	r := Start(cfg)
	defer stop(t, r)
	select {
	case <-r.Failed():
	case <-time.After(30 * time.Second):
		t.Fatal("it starts")
	}
	if err := r.Err(); err == nil || !strings.Contains(err.Error(), "http") {
		t.Error(err)
	}
}

func TestPrivateAddr(t *testing.T) {
	for text, want := range map[string]bool{
		"127.0.0.1": true, "::1": true, "10.1.2.3": true, "192.168.0.1": true, "172.16.0.1": true, "fd00::1": true, "fe80::1": true,
		"0.0.0.0": false, "::": false, "8.8.8.8": false, "172.32.0.1": false, "2001:db8::1": false, "": false,
	} {
		if got := PrivateAddr(net.ParseIP(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}
