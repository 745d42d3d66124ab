//go:build interop

package interop

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// environment tells a script of testdata where the replicas are and who it may be.
func environment(dir string) []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "PYTHONDONTWRITEBYTECODE=1", "OAUTHLIB_INSECURE_TRANSPORT=1", "AUTHLIB_INSECURE_TRANSPORT=1",
		"ISSUER=" + issuer, "REPLICAS=" + strings.Join(replicas.Targets(), ","), "AUDIENCE=" + audience,
		"CLIENT_ID=" + clientID, "CLIENT_SECRET=" + clientSecret, "CLIENT_REDIRECT=" + clientRedirect,
		"USER_NAME=alice", "USER_PASSWORD=alice" + passwordTail,
	}
}

// script runs a script to its end, which has to be a good one.
func script(t *testing.T, dir, program string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env = dir, environment(t.TempDir())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
}

// TestZitadel: github.com/zitadel/oidc as a relying party and a resource server. It is a module of its own.
func TestZitadel(t *testing.T) {
	program := filepath.Join(t.TempDir(), "zitadel")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	build := exec.CommandContext(ctx, "go", "build", "-o", program, ".")
	build.Dir = "testdata/zitadel"
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	script(t, ".", program)
}

// TestPython: clients in Python, by Debian's libraries.
func TestPython(t *testing.T) {
	const python = "/usr/bin/python3" // the one that Debian's packages are for
	for module, c := range map[string]struct{ pkg, script string }{
		"authlib":           {"python3-authlib", "authlib_client.py"},
		"requests_oauthlib": {"python3-requests-oauthlib", "requests_oauthlib_client.py"},
	} {
		t.Run(module, func(t *testing.T) {
			if err := exec.Command(python, "-c", "import requests, "+module).Run(); err != nil {
				t.Skipf("no %s for %s (Debian: apt-get install %s)", module, python, c.pkg)
			}
			script(t, "testdata/python", python, c.script)
		})
	}
}

// TestNode: clients and services in JavaScript, by libraries of npm at fixed versions.
func TestNode(t *testing.T) {
	dir := t.TempDir()
	installNode(t, "testdata/node", dir)
	scripts, err := filepath.Glob("testdata/node/*.mjs")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range scripts {
		name := filepath.Base(path)
		if name == "check.mjs" {
			continue
		}
		t.Run(strings.TrimSuffix(name, ".mjs"), func(t *testing.T) { script(t, dir, "node", name) })
	}
}
