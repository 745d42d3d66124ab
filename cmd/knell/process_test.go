package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/knell-auth/knell/internal/natsd"
)

// process is a running knell.
type process struct {
	cmd   *exec.Cmd
	lines chan string // what it prints, both streams
	done  sync.WaitGroup
	seen  bytes.Buffer // lines that were read
}

// launch starts knell in dir.
func launch(t *testing.T, dir string, args ...string) *process {
	t.Helper()
	return launchCommand(t, dir, knell(t, args...))
}

// launchCommand starts a command that runs knell in dir.
func launchCommand(t *testing.T, dir string, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: cmd, lines: make(chan string, 1024)}
	p.cmd.Dir = dir
	p.cmd.Env = append(p.cmd.Env, "TMPDIR="+dir)
	r, w := io.Pipe()
	p.cmd.Stdout, p.cmd.Stderr = w, w
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.done.Go(func() {
		defer close(p.lines)
		for s := bufio.NewScanner(r); s.Scan(); {
			p.lines <- s.Text()
		}
	})
	p.done.Go(func() {
		p.cmd.Wait()
		w.Close()
	})
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		p.rest()
		p.done.Wait()
	})
	return p
}

// await returns the first line that contains text.
func (p *process) await(t *testing.T, text string) string {
	t.Helper()
	timeout := time.After(60 * time.Second)
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				t.Fatalf("ended without %q:\n%s", text, p.seen.String())
			}
			p.seen.WriteString(line + "\n")
			if strings.Contains(line, text) {
				return line
			}
		case <-timeout:
			t.Fatalf("no %q in time:\n%s", text, p.seen.String())
		}
	}
}

// rest reads on until the process has ended, and returns all that it printed.
func (p *process) rest() string {
	for line := range p.lines {
		p.seen.WriteString(line + "\n")
	}
	return p.seen.String()
}

// hangup sends SIGHUP.
func (p *process) hangup(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

// stop sends a signal and returns the exit code and all that the process printed.
func (p *process) stop(t *testing.T, signal os.Signal) (int, string) {
	t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil && (signal != syscall.SIGKILL || !errors.Is(err, os.ErrProcessDone)) {
		t.Fatal(err)
	}
	stuck := time.AfterFunc(30*time.Second, func() { p.cmd.Process.Kill() })
	defer stuck.Stop()
	out := p.rest()
	p.done.Wait()
	return p.cmd.ProcessState.ExitCode(), out
}

// once runs a command line of knell in dir, with input and nothing of Knell in its environment, and returns what it printed and its exit
// code. It does so in this process, which no command that ends by itself can tell: a process for each takes most of the time of these
// tests.
func once(t *testing.T, dir, input string, args ...string) (int, string) {
	t.Helper()
	if at, err := os.Getwd(); err != nil || at != dir {
		t.Chdir(dir)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	// What a pipe holds, 64 kB, is more than any test has to say.
	if _, err := io.WriteString(w, input); err != nil {
		t.Fatal(err)
	}
	w.Close()
	var out printed
	code := run(args, &terminal{in: r, out: &out, err: &out})
	return code, out.String()
}

// printed is what a command prints, from whichever goroutine.
type printed struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (p *printed) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

// String returns all of it.
func (p *printed) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// attribute returns the value of a key in a line of slog text.
func attribute(t *testing.T, line, key string) string {
	t.Helper()
	for f := range strings.FieldsSeq(line) {
		if value, ok := strings.CutPrefix(f, key+"="); ok {
			return value
		}
	}
	t.Fatalf("no %s in %s", key, line)
	return ""
}

// serveAlone is a replica with settings other than the defaults.
const serveAlone = "serve --listen 127.0.0.1:0 --nats-listen 127.0.0.1:0 --drain 0 --lease 5s --password-grant --signing-alg ES256"

// TestServe runs a standalone replica through its life: first administrator, users, login, stop, and administration of
// the store that nobody serves.
func TestServe(t *testing.T) {
	dir := t.TempDir()
	serve := func() (*process, string) {
		p := launch(t, dir, strings.Fields(serveAlone)...)
		ready := p.await(t, "msg=ready")
		attribute(t, ready, "nats")
		return p, attribute(t, ready, "http")
	}
	expect := func(code int, text, input string, args ...string) {
		t.Helper()
		if got, out := once(t, dir, input, args...); got != code || !strings.Contains(out, text) {
			t.Errorf("knell %s: exit %d, want %d with %q:\n%s", strings.Join(args, " "), got, code, text, out)
		}
	}
	p, base := serve()
	expect(0, "created administrator admin", "a good password\n", "init")
	expect(1, "administrator already: admin", "another password\n", "init")
	expect(0, "created administrator boss", "another password\n", "init", "--another", "--user", "boss")
	expect(1, "shorter than", "short\n", "user", "add", "alice")
	expect(0, "created user alice", "wonderland-1865\n", "user", "add", "alice", "--scope", "profile,notes", "--role", "reader")
	expect(1, "the name is taken", "wonderland-1865\n", "user", "add", "alice")
	expect(0, "profile,notes", "", "user", "list")
	expect(0, "yes, lease for", "", "status")
	expect(0, `"users":3`, "", "status", "--json")
	expect(0, "applied", "", "status", "--url", base)
	login(t, base, "alice", "wonderland-1865", 200)
	login(t, base, "alice", "wrong-password", 400)
	expect(0, "changed the password of alice", "looking-glass-1871\n", "user", "passwd", "alice")
	login(t, base, "alice", "wonderland-1865", 400)
	login(t, base, "alice", "looking-glass-1871", 200)
	expect(0, "disabled alice", "", "user", "disable", "alice")
	login(t, base, "alice", "looking-glass-1871", 400)
	expect(0, "enabled alice", "", "user", "enable", "alice")
	login(t, base, "alice", "looking-glass-1871", 200)
	expect(0, "ended the sessions of alice", "", "user", "logout", "alice")
	checkRoles(expect)
	checkAPIKeys(t, dir, base, expect)
	expect(1, "the name is taken", "", "user", "add", "alice") // before there is a password
	expect(1, "there is no user", "", "user", "passwd", "nobody")
	expect(2, "not UTF-8", "caf\xe9-password\n", "user", "add", "latin1")
	expect(2, "not UTF-8", "a good password\n", "user", "add", "caf\xe9")
	expect(1, "there is no user", "", "user", "disable", "nobody")
	lost := revokeOnlyKey(t, dir)
	expect(1, "in use", "", "serve", "--listen", "127.0.0.1:0")

	if code, out := p.stop(t, syscall.SIGTERM); code != 0 {
		t.Fatalf("exit %d:\n%s", code, out)
	} else if strings.Contains(out, "good password") || strings.Contains(out, "wonderland") {
		t.Errorf("a password was logged:\n%s", out)
	}
	expect(1, "no replica is running", "", "status")
	expect(2, "--name foo (or KNELL_NAME): the store in", "", "user", "list", "--name", "foo")
	expect(0, "alice", "", "user", "list")
	fresh := onlyKey(t, dir)
	expect(0, "created user bob", "can-we-fix-it\n", "user", "add", "bob")
	routes, err := natsd.LoopbackRoutes(3)
	if err != nil {
		t.Fatal(err)
	}
	expect(1, "standalone server", "", "serve", "--listen", "127.0.0.1:0", "--name", "knell", "--cluster-listen", routes[0],
		"--routes", strings.Join(routes, ","), "--cluster-secret-file", ownFile(t, "a secret of a cluster"))
	p, base = serve()
	login(t, base, "bob", "can-we-fix-it", 200)
	if now := onlyKey(t, dir); now != fresh || now == lost { // administration without a replica does not change it
		t.Errorf("key %s, was %s and %s", now, fresh, lost)
	}
	if code, out := p.stop(t, os.Interrupt); code != 0 {
		t.Fatalf("exit %d:\n%s", code, out)
	}
}

// provesPage skips the test of a page where time is short: what the page runs has tests of its own.
func provesPage(t *testing.T) {
	if testing.Short() {
		t.Skip("proves what the page says; what it runs has tests of its own")
	}
}

// provesCommands skips the test of commands that do one thing after the other where time is short, which is under the race detector. The
// replica that they ask runs in a process, whose parts have tests of their own (internal/replica, httpapi, node); of each command that goes
// on until it is stopped a test stays.
func provesCommands(t *testing.T) {
	if testing.Short() {
		t.Skip("proves what commands do, one after the other; what they ask has tests of its own")
	}
}

// ownFile returns the path of a new file for its owner alone.
func ownFile(t *testing.T, text string) string {
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestInitAlone: the first administrator can be there before the replica first runs, if it is said that it is alone. Else
// nothing is made: what init made could not become part of a cluster any more.
func TestInitAlone(t *testing.T) {
	dir := t.TempDir()
	for _, args := range [][]string{{"init", "--wait", "0"}, {"init", "--wait", "200ms"}} {
		if code, out := once(t, dir, "a good password\n", args...); code != exitUsage || !strings.Contains(out, "--standalone") {
			t.Errorf("exit %d: %s", code, out)
		}
	}
	if code, out := once(t, dir, "", "init", "--standalone"); code != exitUsage || !strings.Contains(out, "no password") {
		t.Errorf("exit %d: %s", code, out)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("made without being asked for: %v %v", left, err)
	}
	if code, out := once(t, dir, "a good password\n", "init", "--standalone"); code != 0 {
		t.Fatalf("exit %d: %s", code, out)
	}
	p := launch(t, dir, "serve", "--listen", "127.0.0.1:0", "--drain", "0", "--password-grant")
	login(t, attribute(t, p.await(t, "msg=ready"), "http"), "admin", "a good password", 200)
	if code, out := p.stop(t, syscall.SIGTERM); code != 0 {
		t.Fatalf("exit %d: %s", code, out)
	}
}

// revokeOnlyKey revokes the key of a standalone replica and returns it.
func revokeOnlyKey(t *testing.T, dir string) string {
	t.Helper()
	kid := onlyKey(t, dir)
	if code, out := once(t, dir, "", "key", "revoke", "--", kid[1:]+"x"); code != exitFailed || !strings.Contains(out, "there is no such") {
		t.Errorf("exit %d: %s", code, out)
	}
	if code, out := once(t, dir, "", "key", "revoke", "--reason", "lost", "--", kid); code != 0 || !strings.Contains(out, "revoked "+kid) {
		t.Errorf("exit %d: %s", code, out)
	}
	if code, out := once(t, dir, "", "key", "list"); code != 0 || strings.Count(out, "revoked") != 1 {
		t.Errorf("exit %d: %s", code, out)
	}
	return kid
}

// onlyKey returns the one key of a standalone replica that was not revoked.
func onlyKey(t *testing.T, dir string) string {
	t.Helper()
	code, out := once(t, dir, "", "key", "list")
	var live []string
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) == 4 && f[3] == "live" && f[1] == "ES256" {
			live = append(live, f[0])
		}
	}
	if code != 0 || len(live) != 1 {
		t.Fatalf("exit %d: %s", code, out)
	}
	return live[0]
}

// TestStopWhileStarting: a replica without its cluster can be stopped, and its data can't be opened alone.
func TestStopWhileStarting(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/secret", []byte("a-secret-of-the-cluster"), 0o600); err != nil {
		t.Fatal(err)
	}
	routes, err := natsd.LoopbackRoutes(3)
	if err != nil {
		t.Fatal(err)
	}
	p := launch(t, dir, "serve", "--listen", "127.0.0.1:0", "--name", "a", "--cluster-listen", routes[0],
		"--routes", strings.Join(routes, ","), "--cluster-secret-file", "secret")
	code, out := once(t, dir, "", "status", "--wait", "0")
	for late := time.Now().Add(time.Minute); !strings.Contains(out, "starting") && time.Now().Before(late); { // the process comes up
		code, out = once(t, dir, "", "status", "--wait", "0")
	}
	if code != exitFailed || !strings.Contains(out, "starting") {
		t.Errorf("status: exit %d: %s", code, out)
	}
	p.hangup(t) // while it starts, and without certificates: it goes on
	const waits = "connected to 0 of 2 other replicas; the first start needs all of them"
	for _, args := range [][]string{{"status"}, {"init"}, {"user", "list"}} {
		code, out := once(t, dir, "a good password\n", append(args, "--wait", "300ms")...)
		if code != exitFailed || strings.Count(out, waits) != 2 { // at the beginning and at the end
			t.Errorf("%v: exit %d: %s", args, code, out)
		}
	}
	if code, out := p.stop(t, syscall.SIGTERM); code != 0 {
		t.Fatalf("exit %d:\n%s", code, out)
	}
	if code, out := once(t, dir, "a good password\n", "user", "add", "x"); code != exitUsage || !strings.Contains(out, "start with --cluster-listen") {
		t.Errorf("exit %d:\n%s", code, out)
	}
	if code, out := once(t, dir, "a good password\n", "init", "--wait", "0"); code != exitFailed || !strings.Contains(out, "start with --cluster-listen") {
		t.Errorf("exit %d:\n%s", code, out)
	}
}

// TestInitTogether: init waits for a replica that is started in the same moment, as a pasted block of commands does.
func TestInitTogether(t *testing.T) {
	dir := t.TempDir()
	initial := knell(t, "init", "--data", dir, "--wait", "60s")
	initial.Stdin = strings.NewReader("a good password\n")
	started := make(chan string)
	said := &firstWrite{seen: started}
	var out bytes.Buffer
	initial.Stdout, initial.Stderr = &out, said
	if err := initial.Start(); err != nil {
		t.Fatal(err)
	}
	if text := <-started; !strings.Contains(text, "waiting") {
		t.Errorf("said %q", text)
	}
	p := launch(t, dir, "serve", "--data", dir, "--listen", "127.0.0.1:0", "--drain", "0", "--password-grant")
	base := attribute(t, p.await(t, "msg=ready"), "http")
	if err := initial.Wait(); err != nil || !strings.Contains(out.String(), "created administrator admin") {
		t.Errorf("%v: %s", err, &out)
	}
	login(t, base, "admin", "a good password", 200)
	if code, out := p.stop(t, syscall.SIGTERM); code != 0 {
		t.Fatalf("exit %d: %s", code, out)
	}
}

// firstWrite sends the first text that is written to it.
type firstWrite struct {
	once sync.Once
	seen chan<- string
}

// Write implements io.Writer.
func (w *firstWrite) Write(p []byte) (int, error) {
	w.once.Do(func() { w.seen <- string(p) })
	return len(p), nil
}
