package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// login logs in with a password and checks the status.
func login(t *testing.T, base, name, password string, want int) {
	t.Helper()
	resp, err := http.PostForm(base+"/token", url.Values{"grant_type": {"password"}, "username": {name}, "password": {password}})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != want {
		t.Errorf("the login of %s answers %d, want %d", name, resp.StatusCode, want)
	}
}

// anyPorts are the flags that make a demonstration listen on free ports.
var anyPorts = []string{"--listen=127.0.0.1:0", "--replica-listen=127.0.0.1:0,127.0.0.1:0,127.0.0.1:0", "--nats-listen=127.0.0.1:0"}

// TestDev runs the demonstration with its story, logs the demo accounts in, does what docs/tutorial.md does, and stops it.
func TestDev(t *testing.T) {
	t.Parallel()
	tmp := t.TempDir()
	p := launch(t, tmp, append([]string{"dev"}, anyPorts...)...)
	var bases []string // of the balancer and the replicas
	for _, what := range []string{"load balancer", "replica 1", "replica 2", "replica 3"} {
		fields := strings.Fields(p.await(t, what))
		bases = append(bases, fields[len(fields)-1])
	}
	front := bases[0]
	p.await(t, "logout returned in")
	p.await(t, "Ctrl-C")
	login(t, front, "alice", "wonderland-1865", 200)
	login(t, front, "root", "toor-and-feather", 200)
	login(t, front, "mallory", "disabled-pw-1", 400)
	resp, err := http.PostForm(front+"/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {"svc"}, "client_secret": {"svc-secret-0123456789"}})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("the client's login answers %d", resp.StatusCode)
	}
	t.Run("tutorial", func(t *testing.T) { tutorial(t, bases) })

	code, out := p.stop(t, syscall.SIGINT)
	if code != 0 {
		t.Errorf("exit %d", code)
	}
	for want, n := range map[string]int{`(?m)^ +replica \d +200 .* accepted$`: 3, `(?m)^ +replica \d +401 .* refused$`: 3, `WRONG`: 0, `\x1b`: 0, `level=`: 0} {
		if got := len(regexp.MustCompile(want).FindAllString(out, -1)); got != n {
			t.Errorf("%q %d times, want %d", want, got, n)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
	if left, _ := filepath.Glob(filepath.Join(tmp, "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestDevKeepsData: a continuous build can run the story alone and go on. With --data the accounts are there again, and serve refuses the
// directory.
func TestDevKeepsData(t *testing.T) {
	provesCommands(t)
	tmp := t.TempDir()
	args := append([]string{"dev", "--data", "demo"}, anyPorts...)
	code, out := once(t, tmp, "", append(args, "--story-only")...)
	if code != 0 || !strings.Contains(out, "logout returned in") || strings.Contains(out, "curl") {
		t.Errorf("exit %d:\n%s", code, out)
	}
	args = append(args, "--quiet")
	p := launch(t, tmp, args...)
	login(t, strings.Fields(p.await(t, "ready: "))[1], "alice", "wonderland-1865", 200)
	if code, out := p.stop(t, syscall.SIGTERM); code != 0 || strings.Count(out, "\n") != 1 {
		t.Fatalf("exit %d:\n%s", code, out)
	}
	for _, data := range []string{"demo", "demo/replica-1"} {
		if code, out := once(t, tmp, "", "serve", "--data", data, "--listen", "127.0.0.1:0"); code != exitUsage || !strings.Contains(out, "public") {
			t.Errorf("serve --data %s: exit %d: %s", data, code, out)
		}
	}
	if err := os.Remove(filepath.Join(tmp, "demo", devMarker)); err != nil {
		t.Fatal(err)
	}
	if code, out := once(t, tmp, "", args...); code != exitUsage || !strings.Contains(out, "not made by knell dev") {
		t.Errorf("dev on foreign data: exit %d: %s", code, out)
	}
}

// TestStoryNoticesLies: the story fails when a replica does not do what it says.
func TestStoryNoticesLies(t *testing.T) {
	honest := func(path string, loggedOut bool) int {
		switch {
		case path == "/logout":
			return http.StatusNoContent
		case path == "/verify" && loggedOut:
			return http.StatusUnauthorized
		}
		return http.StatusOK
	}
	for _, c := range []struct {
		name      string
		path      string
		loggedOut bool // when the lie is told
		status    int  // 0: none is told
		text      string
	}{
		{"honest", "", false, 0, ""},
		{"refuses a good token", "/verify", false, 401, "answered 401 instead of 200"},
		{"accepts after the logout", "/verify", true, 200, "answered 200 instead of 401"},
		{"is not current after the logout", "/verify", true, 503, "answered 503 instead of 401"},
		{"does not log out", "/logout", false, 503, "answered 503 instead of 204"},
		{"does not log in", "/token", false, 400, "answered 400 instead of 200"},
	} {
		t.Run(c.name, func(t *testing.T) {
			loggedOut := false
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				status := honest(r.URL.Path, loggedOut)
				if c.status != 0 && r.URL.Path == c.path && loggedOut == c.loggedOut {
					status = c.status
				}
				loggedOut = loggedOut || r.URL.Path == "/logout"
				w.WriteHeader(status)
				if r.URL.Path == "/token" {
					io.WriteString(w, `{"access_token":"x"}`)
				}
			}))
			defer server.Close()
			var out bytes.Buffer
			err := tell(t.Context(), &demo{front: server.URL, direct: []string{server.URL, server.URL, server.URL}}, newStyle(&out))
			if c.status == 0 && err != nil || c.status != 0 && (err == nil || !strings.Contains(err.Error(), c.text)) {
				t.Errorf("got %v, want %q\n%s", err, c.text, out.String())
			}
			if (c.status != 0) != strings.Contains(out.String(), "WRONG") {
				t.Errorf("printed:\n%s", out.String())
			}
		})
	}
}

// TestDevLeavesNothing: a demonstration whose output nobody can read ends and says so, and one that is told twice to stop
// does that at once. Neither leaves its directory behind.
func TestDevLeavesNothing(t *testing.T) {
	t.Parallel()
	args := append([]string{"dev", "--story-only"}, anyPorts...)
	check := func(t *testing.T, tmp string) {
		t.Helper()
		if left, _ := filepath.Glob(filepath.Join(tmp, "*")); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
	for name, open := range map[string]func() (*os.File, error){
		"full": func() (*os.File, error) { return os.OpenFile("/dev/full", os.O_WRONLY, 0) },
		"closed pipe": func() (*os.File, error) {
			r, w, err := os.Pipe()
			if err == nil {
				err = r.Close()
			}
			return w, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := open()
			if err != nil {
				t.Skip(err)
			}
			defer out.Close()
			tmp := t.TempDir()
			cmd := knell(t, args...)
			var said bytes.Buffer
			cmd.Env, cmd.Stdout, cmd.Stderr = append(cmd.Env, "TMPDIR="+tmp), out, &said
			if cmd.Run(); cmd.ProcessState.ExitCode() != exitFailed || !strings.Contains(said.String(), "writing to standard output") {
				t.Errorf("exit %d: %s", cmd.ProcessState.ExitCode(), &said)
			}
			check(t, tmp)
		})
	}
	t.Run("second signal", func(t *testing.T) {
		tmp := t.TempDir()
		p := launch(t, tmp, append([]string{"dev"}, anyPorts...)...)
		p.await(t, "starts three replicas")
		ended := make(chan struct{})
		var sending sync.WaitGroup
		sending.Go(func() {
			p.cmd.Process.Signal(os.Interrupt)
			for range time.Tick(20 * time.Millisecond) {
				select {
				case <-ended:
					return
				default:
					p.cmd.Process.Signal(os.Interrupt)
				}
			}
		})
		out := p.rest()
		close(ended)
		sending.Wait()
		p.done.Wait()
		// One of the many signals may come after everything is done, when the process listens to none any more.
		state := p.cmd.ProcessState
		status, _ := state.Sys().(syscall.WaitStatus)
		late := status.Signaled() && status.Signal() == syscall.SIGINT
		if code := state.ExitCode(); code != 0 && code != 130 && !late || !strings.Contains(out, "stopping ...") {
			t.Errorf("%v: %s", state, out)
		}
		check(t, tmp)
	})
}
