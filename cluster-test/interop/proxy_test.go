//go:build interop

package interop

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// proxy is a proxy by its example configuration in deploy/, in which only addresses and paths are replaced.
type proxy struct {
	t    *testing.T
	base string
	dir  string
	log  string
}

// proxies are what Debian has: the package, the program, and how it is started in a directory that has its configuration.
var proxies = map[string]struct {
	pkg, program string
	args         func(dir string) []string
	prepare      func(p *proxy)
}{
	"nginx": {"nginx-light", "nginx", func(dir string) []string {
		return []string{"-p", dir, "-c", filepath.Join(dir, "nginx.conf"), "-e", "stderr", "-g", "daemon off; master_process off;"}
	}, func(p *proxy) {
		p.write("nginx.conf", fmt.Sprintf("pid %[1]s/pid;\nevents {}\nhttp {\naccess_log off; error_log stderr;\nclient_body_temp_path %[1]s/b;"+
			" proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;\ninclude %[1]s/knell.conf;\n}\n", p.dir))
	}},
	"caddy": {"caddy", "caddy", func(dir string) []string {
		return []string{"run", "--adapter", "caddyfile", "--config", filepath.Join(dir, "Caddyfile")}
	}, func(p *proxy) {
		text, err := os.ReadFile(filepath.Join(p.dir, "Caddyfile"))
		if err != nil {
			p.t.Fatal(err)
		}
		p.write("Caddyfile", "{\n\tadmin off\n}\n"+string(text))
	}},
	"haproxy": {"haproxy", "haproxy", func(dir string) []string {
		return []string{"-db", "-f", filepath.Join(dir, "haproxy.cfg")}
	}, func(*proxy) {}},
}

func (p *proxy) write(name, text string) {
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// start starts the proxy before the replicas and app, or skips the test.
func start(t *testing.T, name, app string) *proxy {
	t.Helper()
	c := proxies[name]
	program, err := exec.LookPath(c.program)
	if err != nil {
		t.Skipf("no %s is installed (Debian: apt-get install %s)", c.program, c.pkg)
	}
	p := &proxy{t: t, dir: t.TempDir()}
	p.log = filepath.Join(p.dir, "log")
	front, inner := free(t), free(t)
	p.base = "http://" + front
	replace := []string{"127.0.0.1:8080", front, "127.0.0.1:8079", inner, "127.0.0.1:8000", app,
		"/etc/haproxy/", p.dir + "/", "include knell_", "include " + p.dir + "/knell_"}
	for i, r := range replicas.Replicas {
		replace = append(replace, fmt.Sprintf("127.0.0.1:909%d", i+1), strings.TrimPrefix(r.URL, "http://"))
	}
	files, err := filepath.Glob(filepath.Join("../../deploy", name, "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no configuration: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		p.write(filepath.Base(file), strings.NewReplacer(replace...).Replace(string(text)))
	}
	c.prepare(p)
	p.run(program, c.args(p.dir))
	return p
}

// run runs the proxy until the test ends, and returns when it listens.
func (p *proxy) run(program string, args []string) {
	t := p.t
	log, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.dir, log, log
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
		log.Close()
		if text, _ := os.ReadFile(p.log); t.Failed() {
			t.Logf("%s says:\n%s", program, text[max(0, len(text)-3000):])
		}
	})
	for began := time.Now(); time.Since(began) < 30*time.Second; time.Sleep(20 * time.Millisecond) {
		if conn, err := net.Dial("tcp", strings.TrimPrefix(p.base, "http://")); err == nil {
			conn.Close()
			return
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%s ended: %v", program, err)
		default:
		}
	}
	t.Fatalf("%s does not listen", program)
}

// free returns an address on loopback that was free a moment ago.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// echo is the service behind the proxy: it answers with the request that it got.
type echo struct {
	Method, Target, Path, Body string
	Header                     http.Header
}

func serveEcho(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(echo{r.Method, r.RequestURI, r.URL.Path, string(body), r.Header})
}

// patience is longer than the longest logout.
const patience = 40 * time.Second

// send sends a request through the proxy. Headers are "Name: value" lines. It follows no redirect.
func (p *proxy) send(method, path, body string, headers ...string) (*http.Response, echo) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, p.base+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header[name] = append(r.Header[name], value)
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(r)
	if err != nil {
		p.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	var e echo
	if resp.StatusCode == http.StatusOK && method != http.MethodHead {
		if err := json.NewDecoder(resp.Body).Decode(&e); err != nil {
			p.t.Errorf("%s %s: %v", method, path, err)
		}
	}
	return resp, e
}

// expect sends a request and fails the test unless the answer has the status.
func (p *proxy) expect(status int, method, path string, headers ...string) *http.Response {
	p.t.Helper()
	resp, _ := p.send(method, path, "", headers...)
	if resp.StatusCode != status {
		p.t.Errorf("%s %s %.40q: %d, want %d", method, path, headers, resp.StatusCode, status)
	}
	return resp
}

// login returns the Authorization header of a session that a user started through the proxy.
func (p *proxy) login(user string) string {
	p.t.Helper()
	token, err := login(p.base, user)
	if err != nil {
		p.t.Fatal(err)
	}
	return "Authorization: Bearer " + token
}

func TestProxies(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(serveEcho))
	defer app.Close()
	for name := range proxies {
		t.Run(name, func(t *testing.T) {
			p := start(t, name, strings.TrimPrefix(app.URL, "http://"))
			for _, part := range []struct {
				name string
				run  func(*testing.T, *proxy)
			}{
				{"identity", identity}, {"demands", demands}, {"spellings", spellings}, {"refusals", refusals}, {"limited", limited}, {"logout", logout},
				{"killed replica", killed}, {"paused replica", paused}, {"no lease", unavailable},
			} {
				t.Run(part.name, func(t *testing.T) {
					inner := *p
					inner.t = t
					part.run(t, &inner)
				})
			}
		})
	}
}
