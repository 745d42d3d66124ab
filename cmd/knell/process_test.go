package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/knell-auth/knell/internal/replica"
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
	p := &process{cmd: knell(t, args...), lines: make(chan string, 1024)}
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

// stop sends a signal and returns the exit code and all that the process printed.
func (p *process) stop(t *testing.T, signal os.Signal) (int, string) {
	t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	stuck := time.AfterFunc(30*time.Second, func() { p.cmd.Process.Kill() })
	defer stuck.Stop()
	out := p.rest()
	p.done.Wait()
	return p.cmd.ProcessState.ExitCode(), out
}

// once runs knell in dir with input and returns what it printed and its exit code.
func once(t *testing.T, dir, input string, args ...string) (int, string) {
	t.Helper()
	cmd := knell(t, args...)
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
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

// TestServe runs a standalone replica through its life: first administrator, users, login, stop, and administration of
// the store that nobody serves.
func TestServe(t *testing.T) {
	dir := t.TempDir()
	serve := func() (*process, string) {
		p := launch(t, dir, "serve", "--listen", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0", "--drain", "0", "--lease", "1s")
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
	expect(1, "there is no user", "", "user", "disable", "nobody")
	expect(1, "in use", "", "serve", "--listen", "127.0.0.1:0")

	if code, out := p.stop(t, syscall.SIGTERM); code != 0 {
		t.Fatalf("exit %d:\n%s", code, out)
	} else if strings.Contains(out, "good password") || strings.Contains(out, "wonderland") {
		t.Errorf("a password was logged:\n%s", out)
	}
	expect(1, "no replica is running", "", "status")
	expect(0, "alice", "", "user", "list")
	expect(0, "created user bob", "can-we-fix-it\n", "user", "add", "bob")
	expect(1, "standalone server", "", "serve", "--listen", "127.0.0.1:0", "--name", "knell", "--cluster-listen", "127.0.0.1:1",
		"--routes", "127.0.0.1:1,127.0.0.1:2,127.0.0.1:3", "--cluster-secret-file", os.Args[0])
	p, base = serve()
	login(t, base, "bob", "can-we-fix-it", 200)
	if code, out := p.stop(t, os.Interrupt); code != 0 {
		t.Fatalf("exit %d:\n%s", code, out)
	}
}

// TestInitAlone: the first administrator can be there before the replica first runs.
func TestInitAlone(t *testing.T) {
	dir := t.TempDir()
	if code, out := once(t, dir, "a good password\n", "init"); code != 0 {
		t.Fatalf("exit %d: %s", code, out)
	}
	p := launch(t, dir, "serve", "--listen", "127.0.0.1:0", "--drain", "0")
	login(t, attribute(t, p.await(t, "msg=ready"), "http"), "admin", "a good password", 200)
	if code, out := p.stop(t, syscall.SIGTERM); code != 0 {
		t.Fatalf("exit %d: %s", code, out)
	}
}

// TestStopWhileStarting: a replica without its cluster can be stopped, and its data can't be opened alone.
func TestStopWhileStarting(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/secret", []byte("a-secret-of-the-cluster"), 0o600); err != nil {
		t.Fatal(err)
	}
	routes, err := replica.LoopbackRoutes(3)
	if err != nil {
		t.Fatal(err)
	}
	p := launch(t, dir, "serve", "--listen", "127.0.0.1:0", "--name", "a", "--cluster-listen", routes[0],
		"--routes", strings.Join(routes, ","), "--cluster-secret-file", "secret")
	code, out := 0, ""
	for range 500 { // each takes as long as a process takes to run
		if code, out = once(t, dir, "", "status"); strings.Contains(out, "starting") {
			break
		}
	}
	if code != exitFailed || !strings.Contains(out, "starting") {
		t.Errorf("status: exit %d: %s", code, out)
	}
	if code, out := p.stop(t, syscall.SIGTERM); code != 0 {
		t.Fatalf("exit %d:\n%s", code, out)
	}
	if code, out := once(t, dir, "a good password\n", "init"); code != exitUsage || !strings.Contains(out, "start its cluster first") {
		t.Errorf("exit %d:\n%s", code, out)
	}
}
