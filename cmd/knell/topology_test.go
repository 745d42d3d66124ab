package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/knell-auth/knell/internal/natsd"
)

// TestServeExternal runs a replica on a NATS server elsewhere: warned about and attested, with the wrong password, with a
// stream that has another number of copies, and with the data directory alone.
func TestServeExternal(t *testing.T) {
	dir := t.TempDir()
	o := &server.Options{}
	if err := o.ProcessConfigString(fmt.Sprintf("listen: \"127.0.0.1:-1\"\njetstream { store_dir: %q, sync_interval: always }\n"+
		"authorization { user: me, password: of-the-test }", filepath.Join(dir, "nats"))); err != nil {
		t.Fatal(err)
	}
	o.NoSigs, o.NoLog = true, true
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	defer func() {
		s.Shutdown()
		s.WaitForShutdown()
	}()
	if !s.ReadyForConnections(20 * time.Second) {
		t.Fatal("the server does not start")
	}
	for file, text := range map[string]string{"user": "me:of-the-test\n", "stranger": "me:guessed\n"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args := func(more ...string) []string {
		return append([]string{"serve", "--listen", "127.0.0.1:0", "--drain", "0", "--name", "e", "--nats-url", s.ClientURL()}, more...)
	}
	for _, c := range []struct{ attested, sync string }{{"", "not attested"}, {"--nats-sync-attested", "attested"}} {
		p := launch(t, dir, args(strings.Fields("--log-copies 1 --lease 5s --nats-user-file user "+c.attested)...)...)
		p.await(t, "msg=ready")
		if code, out := once(t, dir, "", "status"); code != 0 || !strings.Contains(out, "sync         "+c.sync) {
			t.Errorf("status: exit %d: %s", code, out)
		}
		code, out := p.stop(t, syscall.SIGTERM)
		if warned := strings.Contains(out, "--nats-sync-attested"); code != 0 || warned != (c.attested == "") || strings.Contains(out, "of-the-test") {
			t.Errorf("exit %d:\n%s", code, out)
		}
	}
	for _, c := range []struct{ flags, want string }{
		{"--log-copies 1 --nats-user-file stranger", "refuses the credentials"},
		{"--log-copies 3 --nats-user-file user", "num_replicas is 1, want 3; --replicas (with --nats-url: --log-copies)"},
	} {
		code, out := once(t, dir, "", args(strings.Fields(c.flags)...)...)
		if code != exitFailed || !strings.Contains(out, c.want) || strings.Contains(out, "guessed") {
			t.Errorf("%s: exit %d:\n%s", c.flags, code, out)
		}
	}
	if code, out := once(t, dir, "", "user", "list"); code != exitUsage || !strings.Contains(out, "start with --nats-url") {
		t.Errorf("exit %d:\n%s", code, out)
	}
}

// TestServeJoined: a replica without a copy of the log waits for its cluster, serves with it, and leaves it.
func TestServeJoined(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("a-secret-of-the-cluster"), 0o600); err != nil {
		t.Fatal(err)
	}
	addrs, err := natsd.LoopbackRoutes(6)
	if err != nil {
		t.Fatal(err)
	}
	routes, joins := addrs[:3], addrs[3:]
	serve := func(name string, more ...string) *process {
		return launch(t, dir, append([]string{"serve", "--listen", "127.0.0.1:0", "--drain", "0", "--name", name,
			"--data", name, "--cluster-secret-file", "secret", "--password-grant"}, more...)...)
	}
	j := serve("j", "--join", strings.Join(joins, ","))
	for i, name := range []string{"a", "b", "c"} {
		serve(name, "--cluster-listen", routes[i], "--routes", strings.Join(routes, ","), "--join-listen", joins[i])
	}
	base := attribute(t, j.await(t, "msg=ready"), "http")
	if code, out := once(t, dir, "a good password\n", "init", "--data", "j"); code != 0 {
		t.Fatalf("exit %d: %s", code, out)
	}
	login(t, base, "admin", "a good password", 200)
	if code, out := j.stop(t, syscall.SIGTERM); code != 0 {
		t.Fatalf("exit %d:\n%s", code, out)
	}
	if _, err := os.Stat(filepath.Join(dir, "j", "jetstream")); err == nil {
		t.Error("it keeps a store")
	}
	if code, out := once(t, dir, "", "serve", "--name", "j", "--data", "j"); code != exitFailed || !strings.Contains(out, "start with --join and --cluster-name knell") {
		t.Errorf("exit %d:\n%s", code, out)
	}
}
