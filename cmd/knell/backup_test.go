package main

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/knell-auth/knell/internal/natsd"
)

// pageCommands returns the commands of a page: the lines of its blocks of shell.
func pageCommands(t *testing.T, page string) (list []string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/" + page)
	if err != nil {
		t.Fatal(err)
	}
	block := false
	for line := range strings.Lines(string(text)) {
		switch line = strings.TrimSpace(line); {
		case strings.HasPrefix(line, "```"):
			block = line == "```sh"
		case block:
			list = append(list, line)
		}
	}
	return list
}

// TestBackupPage runs every command of docs/backup.md, in order, on real replicas: what was issued before a restore is refused after it,
// and what was issued before a move is good after it.
func TestBackupPage(t *testing.T) {
	provesPage(t)
	dir := t.TempDir()
	commands := pageCommands(t, "backup.md")
	run := func(want string) {
		t.Helper()
		if len(commands) == 0 {
			t.Fatal("the page has no more commands")
		}
		fields := strings.Fields(commands[0])
		commands = commands[1:]
		if code, out := once(t, dir, "", fields[1:]...); fields[0] != "knell" || code != 0 || !strings.Contains(out, want) {
			t.Fatalf("%s: exit %d:\n%s", fields, code, out)
		}
	}
	expect := func(code int, want string, args ...string) {
		t.Helper()
		if got, out := once(t, dir, "a new password\n", args...); got != code || !strings.Contains(out, want) {
			t.Errorf("knell %s: exit %d, want %d with %q:\n%s", strings.Join(args, " "), got, code, want, out)
		}
	}
	alone := func(data string) (*process, string) {
		p := launch(t, dir, append(strings.Fields(serveAlone), "--data", data)...)
		return p, attribute(t, p.await(t, "msg=ready"), "http")
	}
	p, base := alone("data")
	for _, args := range [][]string{{"init", "--data", "data"}, {"user", "add", "alice", "--data", "data"}} {
		if code, out := once(t, dir, "wonderland-1865\n", args...); code != 0 {
			t.Fatal(out)
		}
	}
	kept, gone := loginAs(t, base, "alice", "wonderland-1865"), loginAs(t, base, "alice", "wonderland-1865")

	run("in knell.backup")
	run("users      2")
	if info, err := os.Stat(filepath.Join(dir, "knell.backup")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	expect(exitUsage, "it is there already", "backup", "--data", "data", "--out", "knell.backup")
	bearer(t, "POST", base+"/logout", gone, 204)
	if code, out := p.stop(t, syscall.SIGTERM); code != 0 {
		t.Fatal(out)
	}

	if err := os.WriteFile(filepath.Join(dir, "new.password"), []byte("a new password\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run("restored the log up to")
	run("changed the password of admin")
	expect(exitUsage, "not empty", "restore", "knell.backup", "--data", "restored")
	p, base = alone("restored")
	for _, token := range []string{kept, gone} {
		bearer(t, "GET", base+"/verify", token, 401)
	}
	login(t, base, "alice", "wonderland-1865", 400)
	login(t, base, "admin", "wonderland-1865", 400)
	login(t, base, "admin", "a new password", 200)
	if code, out := p.stop(t, syscall.SIGTERM); code != 0 {
		t.Fatal(out)
	}

	run("take each to its machine")
	expect(exitFailed, "start with --cluster-listen", "serve", "--listen", "127.0.0.1:0", "--name", "r1", "--data", "restored-cluster/r1")
	damageBackup(t, dir, expect)

	moveAlone(t, dir, kept, gone, run, expect)
	if len(commands) > 0 {
		t.Errorf("not tested: %q", commands)
	}
}

// moveAlone moves the store to a cluster, on which one token goes on to be good and another one to be refused.
func moveAlone(t *testing.T, dir, kept, gone string, run func(want string), expect func(code int, want string, args ...string)) {
	t.Helper()
	if err := os.Rename(filepath.Join(dir, "data"), filepath.Join(dir, "alone")); err != nil {
		t.Fatal(err)
	}
	run("moved the log of")
	expect(exitFailed, "its log was moved already to cluster knell (r1, r2, r3)", "cluster", "adopt", "alone", "--data", "other", "--members", "r1,r2,r3")
	expect(exitFailed, "its log was moved to cluster knell (r1, r2, r3)", "serve", "--listen", "127.0.0.1:0", "--data", "alone")
	expect(exitUsage, "its log was moved to", "user", "list", "--data", "alone")
	base, all, routes := startCluster(t, dir, "cluster")
	bearer(t, "GET", base+"/verify", kept, 200)
	bearer(t, "GET", base+"/verify", gone, 401)

	// r3 is gone for good, and r4 takes its place at its address.
	all[2].stop(t, syscall.SIGKILL)
	run("removed r3")
	expect(exitFailed, "r3 is none; there are r1, r2", "cluster", "remove", "r3", "--data", "cluster/r1")
	expect(exitFailed, "r2 is there; stop it first", "cluster", "remove", "r2", "--data", "cluster/r1")
	r4 := serveMember(t, dir, "r4", "cluster/r4", routes[2], routes)
	base = attribute(t, r4.await(t, "msg=ready"), "http")
	bearer(t, "GET", base+"/verify", kept, 200)
	expect(0, "r4", "status", "--data", "cluster/r1")
}

// damageBackup fails the test unless damaged files are refused, and nothing is written.
func damageBackup(t *testing.T, dir string, expect func(code int, want string, args ...string)) {
	t.Helper()
	file, err := os.ReadFile(filepath.Join(dir, "knell.backup"))
	if err != nil {
		t.Fatal(err)
	}
	changed := append([]byte(nil), file...)
	changed[len(file)/2] ^= 1
	for want, text := range map[string][]byte{
		"its SHA-256 is not": changed, "it is cut off": file[:len(file)-10], "it is no backup of Knell": []byte("something else"),
	} {
		if err := os.WriteFile(filepath.Join(dir, "bad"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		expect(exitFailed, want, "backup", "verify", "bad")
		expect(exitFailed, "nothing was written", "restore", "bad", "--data", "nothing")
		if _, err := os.Stat(filepath.Join(dir, "nothing")); err == nil {
			t.Errorf("%s: something was written", want)
		}
	}
}

// startCluster starts r1, r2 and r3, whose directories are in data, and returns where r1 serves HTTP.
func startCluster(t *testing.T, dir, data string) (base string, all []*process, routes []string) {
	t.Helper()
	routes, err := natsd.LoopbackRoutes(3)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("a-secret-of-the-cluster"), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"r1", "r2", "r3"} {
		all = append(all, serveMember(t, dir, name, filepath.Join(data, name), routes[i], routes))
	}
	return attribute(t, all[0].await(t, "msg=ready"), "http"), all, routes
}

// serveMember starts a replica of a cluster.
func serveMember(t *testing.T, dir, name, data, listen string, routes []string) *process {
	t.Helper()
	return launch(t, dir, "serve", "--listen", "127.0.0.1:0", "--drain", "0", "--name", name, "--data", data,
		"--cluster-secret-file", "secret", "--password-grant", "--cluster-listen", listen, "--routes", strings.Join(routes, ","))
}

// TestAdoptKilled: whenever the command is killed, either the standalone store can be started or the cluster, never both; given again it
// comes to its end.
func TestAdoptKilled(t *testing.T) {
	provesCommands(t)
	dir := t.TempDir()
	if code, out := once(t, dir, "a good password\n", "init", "--standalone", "--data", "alone"); code != 0 {
		t.Fatal(out)
	}
	args := []string{"cluster", "adopt", "alone", "--data", "new", "--members", "r1,r2,r3"}
	both := func(what string) (moved bool) {
		t.Helper()
		source, err := natsd.ReadOwner(filepath.Join(dir, "alone"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"r1", "r2", "r3"} {
			if o, err := natsd.ReadOwner(filepath.Join(dir, "new", name)); err == nil && !o.Closed && !source.Closed {
				t.Errorf("%s: both can be started", what)
			}
		}
		return source.Closed
	}
	// Killed at each of its steps, as it reaches them.
	for _, step := range []string{"", "r1/mode.json", "r3/mode.json", "r2/jetstream", "r3/jetstream/jetstream/KNELL"} {
		p := launchCommand(t, dir, knell(t, args...))
		awaitPath(t, p, filepath.Join(dir, "new", step))
		p.stop(t, syscall.SIGKILL)
		if both(step) {
			t.Logf("moved when it was killed at %s", step)
		}
	}
	code, out := once(t, dir, "", args...)
	if moved := both("at the end"); !moved || code != 0 && !strings.Contains(out, "moved already") {
		t.Errorf("exit %d: %s", code, out)
	}
	if code, out := once(t, dir, "", args...); code != exitFailed || !strings.Contains(out, "moved already") {
		t.Errorf("again: exit %d: %s", code, out)
	}
}

// awaitPath returns when there is something at a path, or the process has ended.
func awaitPath(t *testing.T, p *process, path string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `while [ ! -e "$0" ] && kill -0 "$1" 2>/dev/null; do :; done`, path, strconv.Itoa(p.cmd.Process.Pid))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// bearer makes a request with a token and fails the test unless the answer has the status want.
func bearer(t *testing.T, method, url, token string, want int) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != want {
		t.Errorf("%s %s: %s, want %d", method, url, resp.Status, want)
	}
}
