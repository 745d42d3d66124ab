//go:build interop && linux

package interop

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// engine is a Docker engine of the test's own, in namespaces of its own: it shares neither images nor ports nor firewall rules with one
// that the machine may have, and whatever it has started ends with it.
type engine struct {
	t            *testing.T
	dir          string
	inside, home *os.File // its network namespace, and that of this process
	env          []string
}

// startEngine starts an engine, or skips the test. Debian's engine is as good as Docker's own.
func startEngine(t *testing.T) *engine {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("a Docker engine needs root")
	}
	for program, pkg := range map[string]string{"dockerd": "docker.io", "docker": "docker.io", "docker-compose": "docker-compose", "unshare": "util-linux", "ip": "iproute2"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("no %s is installed (Debian: apt-get install %s)", program, pkg)
		}
	}
	dir, err := os.MkdirTemp("", "kn-docker") // a short path: it has sockets
	if err != nil {
		t.Fatal(err)
	}
	e := &engine{t: t, dir: dir}
	socket := "unix://" + filepath.Join(dir, "sock")
	e.env = append(os.Environ(), "DOCKER_HOST="+socket, "DOCKER_CONFIG="+dir, "DOCKER_BUILDKIT=0", "COMPOSE_PROJECT_NAME=knell")
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c",
		`ip link set lo up; mountpoint -q /sys/fs/cgroup || mount -t cgroup2 none /sys/fs/cgroup; exec dockerd "$@"`, "dockerd",
		"--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "exec"), "--pidfile", filepath.Join(dir, "pid"), "--host", socket,
		"--bridge", "none", "--default-address-pool", "base=10.203.0.0/16,size=24")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Kill() // and so the namespaces' first process, and so all others in them
		<-ended
		log.Close()
		if text, _ := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("dockerd says:\n%s", text[max(0, len(text)-4000):])
		}
		os.RemoveAll(dir)
	})
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		if e.quietly("docker", "info") == nil {
			break
		}
		if len(ended) > 0 || time.Since(began) > time.Minute {
			t.Fatal("no Docker engine")
		}
	}
	if e.inside, err = os.Open(fmt.Sprintf("/proc/%d/ns/net", cmd.Process.Pid)); err != nil {
		t.Fatal(err)
	}
	if e.home, err = os.Open("/proc/self/ns/net"); err != nil {
		t.Fatal(err)
	}
	return e
}

// command returns a command for this engine, in the directory of docker-compose.yml.
func (e *engine) command(name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(e.t.Context(), name, args...)
	cmd.Dir, cmd.Env = "../..", e.env
	return cmd
}

func (e *engine) quietly(name string, args ...string) error { return e.command(name, args...).Run() }

// run runs a command with this standard input and returns what it printed.
func (e *engine) run(input, name string, args ...string) string {
	e.t.Helper()
	began := time.Now()
	cmd := e.command(name, args...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		e.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	if took := time.Since(began); took > time.Second {
		e.t.Logf("%v: %s %s", took.Round(time.Millisecond), name, strings.Join(args, " "))
	}
	return string(out)
}

func (e *engine) compose(args ...string) { e.t.Helper(); e.run("", "docker-compose", args...) }

// addresses are those of the running containers of these services, in the order of their names.
func (e *engine) addresses(services ...string) (list []string) {
	e.t.Helper()
	format := `{{index .Config.Labels "com.docker.compose.service"}} {{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}`
	ids := strings.Fields(e.run("", "docker", "ps", "-q"))
	text := e.run("", "docker", append([]string{"inspect", "-f", format}, ids...)...)
	for _, service := range services {
		for _, m := range regexp.MustCompile(`(?m)^`+service+` (\S+)$`).FindAllStringSubmatch(text, -1) {
			list = append(list, m[1])
		}
	}
	return list
}

// client returns a client whose connections begin in the engine's network.
func (e *engine) client() *http.Client {
	transport := &http.Transport{DialContext: e.dial, MaxIdleConnsPerHost: 16}
	e.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// dial connects to an IP address. The socket stays in the namespace in which it was made. The thread must not end: processes that
// were started on it would end as well (Pdeathsig).
func (e *engine) dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if err = unix.Setns(int(e.inside.Fd()), unix.CLONE_NEWNET); err == nil {
			conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
		}
		if unix.Setns(int(e.home.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
	}()
	<-done
	return conn, err
}

// standIn makes an image of programs of this machine, under the name of one that a registry has.
func (e *engine) standIn(image, entrypoint string, programs ...string) {
	e.t.Helper()
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	seen := map[string]bool{}
	add := func(from, to string) {
		if seen[to] {
			return
		}
		seen[to] = true
		data, err := os.ReadFile(from)
		if err == nil {
			err = w.WriteHeader(&tar.Header{Name: strings.TrimPrefix(to, "/"), Mode: 0o755, Size: int64(len(data))})
		}
		if err == nil {
			_, err = w.Write(data)
		}
		if err != nil {
			e.t.Fatal(err)
		}
	}
	for _, program := range programs {
		path, err := exec.LookPath(program)
		if err != nil {
			e.t.Skipf("no %s is installed", program)
		}
		add(path, "/bin/"+filepath.Base(program))
		libraries, _ := exec.Command("ldd", path).Output() // none, if it is static
		for _, m := range regexp.MustCompile(`(/\S+) \(0x`).FindAllSubmatch(libraries, -1) {
			add(string(m[1]), string(m[1]))
		}
	}
	if err := w.Close(); err != nil {
		e.t.Fatal(err)
	}
	cmd := e.command("docker", "import", "--change", "ENTRYPOINT "+entrypoint, "-", image)
	cmd.Stdin = &layer
	if out, err := cmd.CombinedOutput(); err != nil {
		e.t.Fatalf("%s: %v\n%s", image, err, out)
	}
}

// answer sends a request and returns the status and the body, or why there is none.
func answer(c *http.Client, method, url, token, form string) (int, string, error) {
	r, err := http.NewRequest(method, url, strings.NewReader(form))
	if err != nil {
		return 0, "", err
	}
	if form != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}
