package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestManyConnections: more connections than the process may have files are no danger to the store. The rest gets 503, but for health checks.
func TestManyConnections(t *testing.T) {
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	cmd := knell(t, "serve", "--listen", "127.0.0.1:0", "--drain", "0")
	cmd.Args = append([]string{"sh", "-c", `ulimit -n 128 && exec "$0" "$@"`, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = shell
	p := launchCommand(t, dir, cmd)
	base := attribute(t, p.await(t, "msg=ready"), "http")
	var open []net.Conn
	for range 200 {
		c, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		open = append(open, c)
	}
	if files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid)); err == nil && len(files) > 100 {
		t.Errorf("%d files of 128 are open", len(files))
	}
	// Local administration and the store have their files.
	if code, out := once(t, dir, "a good password\n", "init"); code != 0 {
		t.Errorf("init: exit %d: %s", code, out)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, held := range []bool{true, false} {
		if !held {
			for _, c := range open {
				c.Close()
			}
		}
		resp, err := client.Get(base + "/readyz")
		if err != nil {
			t.Fatalf("connections are held: %t: %v", held, err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("connections are held: %t: /readyz answers %d", held, resp.StatusCode)
		}
	}
	if code, out := p.stop(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit %d:\n%s", code, out)
	}
}
