package replica

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/httpapi"
	"github.com/knell-auth/knell/node"
)

// standalone returns the configuration of a replica alone, on a free port.
func standalone(t testing.TB, dir string) Config {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		Name: "knell", Dir: dir, Listener: l, Copies: 1, LogMaxBytes: 64 << 20,
		Node: node.Config{Issuer: "test", Audience: "test", Lease: 5 * time.Second},
		HTTP: httpapi.Config{PasswordGrant: true},
	}
}

// start starts a replica and waits until it serves.
func start(t testing.TB, cfg Config) *Replica {
	t.Helper()
	r := Start(cfg)
	t.Cleanup(func() { stop(t, r) })
	select {
	case <-r.Ready():
	case <-r.Failed():
		t.Fatal(r.Err())
	case <-time.After(30 * time.Second):
		t.Fatal("not ready in time")
	}
	return r
}

func stop(t testing.TB, r *Replica) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := r.Close(ctx); err != nil {
		t.Error(err)
	}
}

// get returns the answer to a GET; its body is closed.
func get(t *testing.T, c *http.Client, url string) *http.Response {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp
}

func TestStandalone(t *testing.T) {
	dir := t.TempDir()
	cfg := standalone(t, dir)
	base := "http://" + cfg.Listener.Addr().String()
	r := start(t, cfg)
	for path, want := range map[string]int{"/livez": 200, "/readyz": 200, "/profile": 401, "/status": 200} {
		if got := get(t, http.DefaultClient, base+path).StatusCode; got != want {
			t.Errorf("%s answers %d, want %d", path, got, want)
		}
	}
	checkSocket(t, dir)
	stop(t, r)
	if _, err := net.Dial("tcp", cfg.Listener.Addr().String()); err == nil {
		t.Error("HTTP is still served after Close")
	}
	if _, err := os.Stat(filepath.Join(dir, SocketName)); !os.IsNotExist(err) {
		t.Errorf("the socket is still there after Close: %v", err)
	}
	// The directory is free again, and a socket that a crash left behind is no obstacle.
	if err := os.WriteFile(filepath.Join(dir, SocketName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, standalone(t, dir))
	checkSocket(t, dir)
}

// socketClient returns a client of a socket, and what ends it.
func socketClient(path string) (c *http.Client, done func()) {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}
	return &http.Client{Transport: transport}, transport.CloseIdleConnections
}

// checkSocket checks that the socket answers, to its owner only.
func checkSocket(t *testing.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, SocketName)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the socket has mode %v", info.Mode())
	}
	local, done := socketClient(path)
	defer done()
	if got := get(t, local, "http://local/users").StatusCode; got != 200 {
		t.Errorf("/users answers %d on the socket", got)
	}
	resp, err := local.Get("http://local/log")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if log, err := io.ReadAll(resp.Body); err != nil || !bytes.Contains(log, []byte("\n{\"end\":{\"seq\":")) {
		t.Errorf("/log answers %d on the socket, %v, and has no end:\n%s", resp.StatusCode, err, log)
	}
	left, err := filepath.Glob(filepath.Join(dir, ".*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// TestWithoutQuorum: a replica whose cluster is not there answers at once, refuses with 503, and can be stopped.
func TestWithoutQuorum(t *testing.T) {
	cfg := standalone(t, t.TempDir())
	routes := routesFor(t, 3)
	cfg.Copies = 3
	cfg.NATS.Cluster = clusterOf(routes, 0)
	base := "http://" + cfg.Listener.Addr().String()
	r := Start(cfg)
	for path, want := range map[string]int{"/livez": 200, "/readyz": 503, "/profile": 503, "/token": 503} {
		resp := get(t, http.DefaultClient, base+path)
		if resp.StatusCode != want || (want == 503) != (resp.Header.Get("Retry-After") != "") {
			t.Errorf("%s answers %d %v, want %d", path, resp.StatusCode, resp.Header, want)
		}
	}
	checkProblem(t, base+"/token")
	stop(t, r)
	select {
	case <-r.Ready():
		t.Error("ready without a quorum")
	default:
	}
	if err := r.Err(); err != nil {
		t.Errorf("a stop is no failure: %v", err)
	}
}

// checkProblem checks that the 503 at url is a problem document.
func checkProblem(t *testing.T, url string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var p struct {
		Status int
		Detail string
	}
	if err := json.NewDecoder(resp.Body).Decode(&p); err != nil || p.Status != 503 || p.Detail == "" {
		t.Errorf("got %+v, %v", p, err)
	}
}

func TestFailures(t *testing.T) {
	t.Run("wrong mode", func(t *testing.T) {
		dir := t.TempDir()
		stop(t, start(t, standalone(t, dir)))
		cfg := standalone(t, dir)
		cfg.NATS.Cluster = clusterOf(routesFor(t, 3), 0)
		expectFailure(t, cfg, "standalone")
	})
	t.Run("in use", func(t *testing.T) {
		dir := t.TempDir()
		start(t, standalone(t, dir))
		expectFailure(t, standalone(t, dir), "in use")
	})
}

// expectFailure starts a replica that can't.
func expectFailure(t *testing.T, cfg Config, text string) {
	t.Helper()
	r := Start(cfg)
	defer stop(t, r)
	select {
	case <-r.Failed():
	case <-r.Ready():
		t.Fatal("it became ready")
	case <-time.After(30 * time.Second):
		t.Fatal("it did not fail in time")
	}
	if err := r.Err(); err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("got %v, want an error about %q", err, text)
	}
}

func TestLongSocketPath(t *testing.T) {
	if _, err := SocketPath("/" + strings.Repeat("d", maxSocketPath)); err == nil {
		t.Error("a path that no system takes was accepted")
	}
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", maxSocketPath))
	r := start(t, standalone(t, dir)) // serves without the socket
	if r.local != nil {
		t.Error("there is a socket")
	}
}

// TestDrain: from the moment Close is called /readyz is red, and the rest is answered until the drain time is over.
func TestDrain(t *testing.T) {
	cfg := standalone(t, t.TempDir())
	cfg.Drain = 2 * time.Second // more than the two requests below take
	base := "http://" + cfg.Listener.Addr().String()
	r := start(t, cfg)
	closed := make(chan error)
	go func() { closed <- r.Close(context.Background()) }()
	for get(t, http.DefaultClient, base+"/readyz").StatusCode != 503 {
	}
	if got := get(t, http.DefaultClient, base+"/profile").StatusCode; got != 401 {
		t.Errorf("a draining replica answers %d, want 401 to a request without a token", got)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

func TestPassing(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{fmt.Errorf("join: %w", node.ErrUnknownOutcome), true},
		{fmt.Errorf("keys: %w", &node.PendingError{}), true},
		{fmt.Errorf("state: %w", jetstream.ErrStreamNotFound), true},
		{&jetstream.APIError{Code: 503}, true},
		{&jetstream.APIError{Code: 400}, false},
		{fmt.Errorf("follow: %w", events.ErrRewound), false},
		{node.ErrClosed, false},
		{errors.New("something else"), false},
	} {
		if passing(c.err) != c.want {
			t.Errorf("passing(%v) is %v", c.err, !c.want)
		}
	}
}
