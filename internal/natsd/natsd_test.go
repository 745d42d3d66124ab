package natsd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// testContext ends a test that hangs, with an error instead of a stack dump.
func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// startTest starts a server that is killed when the test ends.
func startTest(t testing.TB, cfg Config) *Server {
	t.Helper()
	s, err := Start(testContext(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	return s
}

// connectTest connects as the replica until the test ends.
func connectTest(t testing.TB, s *Server) *nats.Conn {
	t.Helper()
	nc, err := s.Connect(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// retry calls f until it succeeds. Each attempt has a quarter of a second; one that fails earlier waits for its end.
func retry(t testing.TB, f func(ctx context.Context) error) {
	t.Helper()
	for ctx := testContext(t); ; {
		try, cancel := context.WithTimeout(ctx, 250*time.Millisecond)
		err := f(try)
		if err != nil {
			<-try.Done()
		}
		cancel()
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

// createStream creates the stream as the log has it, once the cluster has a leader and enough servers.
func createStream(t testing.TB, nc *nats.Conn, replicas int) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	retry(t, func(ctx context.Context) error {
		_, err := js.CreateStream(ctx, jetstream.StreamConfig{
			Name: StreamName, Subjects: []string{"knell.event.>", "knell.secret.>", "knell.node.>"},
			Replicas: replicas, Storage: jetstream.FileStorage, Discard: jetstream.DiscardNew, DenyDelete: true,
			RePublish: &jetstream.RePublish{Source: ">", Destination: "knell.live.>"},
		})
		return err
	})
	return js
}

// publish appends one message and returns its sequence.
func publish(ctx context.Context, nc *nats.Conn, subject string) (seq uint64, err error) {
	var ack struct {
		Seq uint64 `json:"seq"`
	}
	if err := request(ctx, nc, subject, nil, &ack); err != nil {
		return 0, err
	}
	if ack.Seq == 0 {
		return 0, errors.New("no sequence in the answer")
	}
	return ack.Seq, nil
}

// TestNoSync: only a build that may be broken obeys it.
func TestNoSync(t *testing.T) {
	users, err := newUsers()
	if err != nil {
		t.Fatal(err)
	}
	o, err := options(Config{Dir: t.TempDir(), Name: "n1", NoSync: true}, users, &credentials{})
	if err != nil || o.SyncAlways == breakable {
		t.Errorf("SyncAlways is %v in a build that is breakable: %v (%v)", o.SyncAlways, breakable, err)
	}
}

// TestRestart: what was appended is there after a stop and after a kill, on disk with a sync each.
func TestRestart(t *testing.T) {
	cfg := Config{Dir: filepath.Join(t.TempDir(), "new", "data"), Name: "n1"}
	for want, end := range []func(*Server){
		func(s *Server) {
			if err := errors.Join(s.Stop(testContext(t)), s.Stop(testContext(t))); err != nil {
				t.Error(err)
			}
			s.Kill() // does nothing, and returns
		},
		(*Server).Kill,
		(*Server).Kill,
	} {
		s := startTest(t, cfg)
		if c := s.srv.JetStreamConfig(); !c.SyncAlways || c.MaxStore != s.MaxStore() || s.MaxStore() <= 0 {
			t.Errorf("JetStream runs with %+v", c)
		}
		if s.ClientURL() != "" || s.RouteAddr() != "" || s.srv.Addr() != nil || s.srv.MonitorAddr() != nil {
			t.Error("a standalone server without a client address listens")
		}
		nc := connectTest(t, s)
		createStream(t, nc, 1)
		seq, err := publish(testContext(t), nc, "knell.node.n1")
		if err != nil || seq != uint64(want+1) {
			t.Errorf("sequence %d, want %d: %v", seq, want+1, err)
		}
		end(s)
		if _, err := s.Connect(testContext(t)); err == nil {
			t.Error("connected to a server that has ended")
		}
		nc.Close()
	}
	if info, err := os.Stat(cfg.Dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("data directory: %v, %v", info.Mode(), err)
	}
}

// TestReconnect: a connection that breaks comes back, and what is published meanwhile fails instead of waiting.
func TestReconnect(t *testing.T) {
	s := startTest(t, Config{Dir: t.TempDir(), Name: "n1"})
	down, up := make(chan error, 1), make(chan struct{}, 1)
	nc, err := s.Connect(testContext(t),
		nats.MaxReconnects(0), nats.ReconnectBufSize(1000), // overridden
		nats.DisconnectErrHandler(func(nc *nats.Conn, _ error) { down <- nc.Publish("knell.event.x", nil) }),
		nats.ReconnectHandler(func(*nats.Conn) { up <- struct{}{} }))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for range 2 {
		id, err := nc.GetClientID()
		if err != nil {
			t.Fatal(err)
		}
		if err := s.srv.DisconnectClientByID(id); err != nil {
			t.Fatal(err)
		}
		// The handler may run when the connection is back already.
		if err := <-down; err != nil && !errors.Is(err, nats.ErrReconnectBufExceeded) {
			t.Errorf("publish without a connection: %v", err)
		}
		<-up
	}
}

// refusal is a configuration and a part of the error that Start gives for it. Dir "d" stands for an empty directory.
type refusal struct {
	cfg  Config
	want string
}

// badCluster returns a good cluster, changed.
func badCluster(change func(*Cluster)) *Cluster {
	c := &Cluster{Name: "c", Listen: "127.0.0.1:0", Secret: testSecret, Routes: []string{"127.0.0.1:1", "127.0.0.1:2", "localhost:3"}}
	change(c)
	return c
}

// badJoin returns a good Join, changed.
func badJoin(change func(*Join)) *Join {
	j := &Join{Name: "c", Servers: []string{"127.0.0.1:7422"}, Secret: testSecret, Silence: time.Second}
	change(j)
	return j
}

// badConfigs returns configurations that are wrong wherever they are used.
func badConfigs() []refusal {
	return []refusal{
		{Config{Dir: "d", Name: ""}, "server name"},
		{Config{Dir: "d", Name: "N1"}, "server name"},
		{Config{Dir: "d", Name: "n1", MaxStore: -1}, "negative"},
		{Config{Dir: "d", Name: "n1", FixedTimers: true}, "FixedTimers"},
		{Config{Dir: "d", Name: "n1", ClientListen: "127.0.0.1"}, "want host:port"},
		{Config{Dir: "d", Name: "n1", ClientListen: ":4222"}, "want host:port"},
		{Config{Dir: "d", Name: "n1", ClientListen: "0.0.0.0:0"}, "needs a certificate"},
		{Config{Dir: "d", Name: "n1", ClientListen: "127.0.0.1:0", ClientCertFile: "c"}, "both a certificate and its key"},
		{Config{Dir: "d", Name: "n1", ClientListen: "127.0.0.1:0", ClientCertFile: "c", ClientKeyFile: "k"}, "open c: no such file"},
		{Config{Dir: "d", Name: "n1", Users: []User{{Key: "SUAnot"}}}, "not the public NKey"},
		{Config{Dir: "d", Name: "n1", Join: badJoin(func(j *Join) { j.Name = "a b" })}, "cluster name"},
		{Config{Dir: "d", Name: "n1", Join: badJoin(func(j *Join) { j.Servers = nil })}, "no server to join"},
		{Config{Dir: "d", Name: "n1", Join: badJoin(func(j *Join) { j.Servers[0] = "127.0.0.1:0" })}, "port 0"},
		{Config{Dir: "d", Name: "n1", Join: badJoin(func(j *Join) { j.Servers[0] = "n2.example:7422" })}, "mutual TLS is required"},
		{Config{Dir: "d", Name: "n1", Join: badJoin(func(j *Join) { j.Silence = 0 })}, "Silence"},
		{Config{Dir: "d", Name: "n1", Join: badJoin(func(j *Join) { j.Secret = "short" })}, "secret has fewer"},
		{Config{Dir: "d", Name: "n1", Join: badJoin(func(j *Join) {}), ClientListen: "127.0.0.1:0"}, "takes no clients"},
		{Config{Dir: "d", Name: "n1", Join: badJoin(func(j *Join) {}), Cluster: badCluster(func(*Cluster) {})}, "no member"},
		{Config{Dir: "d", Name: "n1", Cluster: badCluster(func(c *Cluster) { c.JoinListen = "127.0.0.1:0" })}, "port 0"},
		{Config{Dir: "d", Name: "n1", Cluster: badCluster(func(c *Cluster) { c.JoinListen = "0.0.0.0:7422" })}, "mutual TLS is required"},
		{Config{Dir: "d", Name: "n1", Cluster: badCluster(func(c *Cluster) { c.Name = "a b" })}, "cluster name"},
		{Config{Dir: "d", Name: "n1", Cluster: badCluster(func(c *Cluster) { c.Routes = c.Routes[1:] })}, "2 routes given"},
		{Config{Dir: "d", Name: "n1", Cluster: badCluster(func(c *Cluster) { c.Routes[1] = "127.0.0.1:0" })}, "port 0"},
		{Config{Dir: "d", Name: "n1", Cluster: badCluster(func(c *Cluster) { c.Routes[1] = "10.0.0.1:6222" })}, "mutual TLS is required"},
		{Config{Dir: "d", Name: "n1", Cluster: badCluster(func(c *Cluster) { c.Routes[1] = "n2.example:6222" })}, "mutual TLS is required"},
		{Config{Dir: "d", Name: "n1", Cluster: badCluster(func(c *Cluster) { c.Listen = "0.0.0.0:6222" })}, "mutual TLS is required"},
		{Config{Dir: "d", Name: "n1", Cluster: badCluster(func(c *Cluster) { c.Secret = "short" })}, "secret has fewer"},
		{Config{Dir: "d", Name: "n1", Cluster: badCluster(func(c *Cluster) { c.CAFile = "ca" })}, "the CA"},
		{Config{Dir: "d", Name: "n1", Cluster: badCluster(func(c *Cluster) { c.CertFile, c.KeyFile, c.CAFile = "c", "k", "a" })}, "stat c: no such file"},
	}
}

// TestStartFails: each start fails with an error that says what to do, and leaves the directory free.
func TestStartFails(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().String()
	locked := t.TempDir()
	startTest(t, Config{Dir: locked, Name: "n1"})
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range append(badConfigs(), []refusal{
		{Config{}, "no data directory"},
		{Config{Dir: locked, Name: "n1"}, locked + " is in use"},
		{Config{Dir: file, Name: "n1"}, file + ": not a directory"},
		{Config{Dir: file + "/x", Name: "n1"}, "not a directory"},
		{Config{Dir: "d", Name: "n1", ClientListen: taken}, taken},
		{Config{Dir: "d", Name: "n1", Cluster: badCluster(func(c *Cluster) { c.Listen = taken })}, "address already in use"},
	}...) {
		if c.cfg.Dir == "d" {
			c.cfg.Dir = t.TempDir()
		}
		_, err := Start(testContext(t), c.cfg)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "natsd: ") {
			t.Errorf("error %v, want %q", err, c.want)
		}
		if c.cfg.Dir == locked || c.cfg.Dir == "" || strings.HasPrefix(c.cfg.Dir, file) {
			continue
		}
		lock, err := lockDir(c.cfg.Dir)
		if err != nil {
			t.Errorf("after %q: %v", c.want, err)
			continue
		}
		lock.Close()
	}
	if _, err := Start(testContext(t), Config{Dir: t.TempDir(), Name: "n1", ClientListen: taken}); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("error %v does not wrap EADDRINUSE", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Start(ended, Config{Dir: t.TempDir(), Name: "n1"}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want the context's", err)
	}
}

// TestFatal: what nats-server calls fatal ends the start.
func TestFatal(t *testing.T) {
	dir := t.TempDir()
	// A file where JetStream wants a directory, which the start does not check itself.
	if err := errors.Join(os.Mkdir(storeDir(dir), 0o700), os.WriteFile(filepath.Join(dir, markerFile),
		fmt.Appendf(nil, `{"format":1,"mode":"standalone","server":"n1","created":"2026-01-01T00:00:00Z"}`), 0o600),
		os.WriteFile(filepath.Join(storeDir(dir), "jetstream"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	_, err := Start(testContext(t), Config{Dir: dir, Name: "n1"})
	if err == nil || !strings.Contains(err.Error(), "natsd: Can't start JetStream") {
		t.Errorf("error %v", err)
	}
}
