package main

import (
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestClientCommands takes OAuth clients through their life on a replica that runs, and looks at them when none does.
func TestClientCommands(t *testing.T) {
	provesCommands(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("a-secret-of-my-own\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := launch(t, dir, "serve", "--listen", "127.0.0.1:0", "--drain", "0", "--lease", "5s")
	base := attribute(t, p.await(t, "msg=ready"), "http")
	expect := clientCommand(t, dir)
	first := expect(0, "not shown again", "create", "svc", "--confidential", "--scope", "jobs", "--client-name", "Service")
	clientToken(t, base, "svc", first, 200)
	expect(1, "the name is taken", "create", "svc")
	expect(0, "created client shop\n", "create", "shop", "--redirect-uri", "https://shop.test/cb?a=1,2", "--redirect-uri", "http://127.0.0.1/cb")
	expect(1, "must be https", "create", "bad", "--redirect-uri", "http://shop.test/cb")
	expect(0, "https://shop.test/cb?a=1,2,http://127.0.0.1/cb", "list")
	expect(0, `"id": "svc"`, "list", "--json")
	expect(0, `"name": "Service"`, "show", "svc")
	expect(1, "there is no such", "show", "nobody")

	expect(0, "changed client svc", "update", "svc", "--client-name", "", "--scope", "jobs", "--scope", "notes")
	expect(0, `"name": ""`, "show", "svc")
	expect(0, "jobs,notes", "list")
	expect(0, "changed client shop", "update", "shop", "--redirect-uri=")
	expect(0, `"redirect_uris": []`, "show", "shop")
	expect(2, "give --client-name", "update", "svc")

	second := expect(0, "not shown again", "rotate-secret", "svc")
	clientToken(t, base, "svc", first, 200)
	clientToken(t, base, "svc", second, 200)
	expect(0, "changed the secret of svc\n", "rotate-secret", "svc", "--secret-file", "secret", "--overlap", "0")
	clientToken(t, base, "svc", second, 401)
	clientToken(t, base, "svc", "a-secret-of-my-own", 200)
	expect(1, "public client", "rotate-secret", "shop")
	expect(2, "whole seconds", "rotate-secret", "svc", "--overlap", "1ms")

	expect(0, "disabled svc", "disable", "svc")
	clientToken(t, base, "svc", "a-secret-of-my-own", 401)
	expect(0, "disabled", "list")
	expect(0, "enabled svc", "enable", "svc")
	clientToken(t, base, "svc", "a-secret-of-my-own", 200)
	expect(0, "deleted svc", "delete", "svc")
	clientToken(t, base, "svc", "a-secret-of-my-own", 401)
	expect(1, "there is no such", "delete", "svc")

	if code, out := p.stop(t, syscall.SIGTERM); code != 0 || strings.Contains(out, first) || strings.Contains(out, second) {
		t.Fatalf("exit %d:\n%s", code, out)
	}
	expect(0, "shop", "list")
	expect(0, "not shown again", "create", "late", "--confidential")
}

// clientCommand returns what runs knell client in a directory, checks how it ends and what it says, and returns the last line: the
// secret, when there is one.
func clientCommand(t *testing.T, dir string) func(code int, text string, args ...string) string {
	return func(code int, text string, args ...string) string {
		t.Helper()
		got, out := once(t, dir, "", append([]string{"client"}, args...)...)
		if got != code || !strings.Contains(out, text) {
			t.Errorf("knell client %s: exit %d, want %d with %q:\n%s", strings.Join(args, " "), got, code, text, out)
		}
		lines := strings.Split(strings.TrimSpace(out), "\n")
		return lines[len(lines)-1]
	}
}

// TestClientImport: what is refused is named by its line, the rest is created, and a dry run says the same beforehand.
func TestClientImport(t *testing.T) {
	provesCommands(t)
	dir := t.TempDir()
	for name, text := range map[string]string{
		"clients": `{"id":"one","redirect_uris":["https://one.test/cb"],"scopes":["openid"]}
{"id":"two","name":"Two","hash":"$2a$04$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"}
`,
		"bad": `{"id":"three"}
{"id":"four","redirect_uris":["http://four.test"]}
{"id":"a\u001bb"}
{"id":"five","confidential":true}
{"id":"three","name":"Again"}
{"id":"one"}
{"id":"six","secret":"a-secret-of-six","scopes":["jobs"]}
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := launch(t, dir, "serve", "--listen", "127.0.0.1:0", "--drain", "0", "--lease", "5s")
	base := attribute(t, p.await(t, "msg=ready"), "http")
	expect := clientCommand(t, dir)
	expect(0, "2 could be created, 0 exist already, 0 refused", "import", "clients", "--dry-run")
	expect(0, "2 created, 0 exist already, 0 refused", "import", "clients")
	expect(0, "0 created, 2 exist already, 0 refused", "import", "clients")
	for _, line := range []string{
		"line 2: four: redirect URI", `line 3: "a\x1bb": client id`, "line 4: five: a confidential client needs a secret or a hash",
		"2 could be created, 2 exist already, 3 refused",
	} {
		expect(1, line, "import", "bad", "--dry-run")
	}
	expect(1, "there is no such", "show", "three")
	expect(1, "2 created, 2 exist already, 3 refused", "import", "bad")
	expect(0, `"name": ""`, "show", "three")
	expect(0, "0 could be created", "import", "clients", "--dry-run")
	clientToken(t, base, "six", "a-secret-of-six", 200)
	if code, out := p.stop(t, syscall.SIGTERM); code != 0 || strings.Contains(out, "a-secret-of-six") {
		t.Fatalf("exit %d:\n%s", code, out)
	}
}

// clientToken asks for a client's own token.
func clientToken(t *testing.T, base, id, secret string, status int) {
	t.Helper()
	resp, err := http.PostForm(base+"/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != status {
		t.Errorf("token of %s: %d, want %d: %s", id, resp.StatusCode, status, body)
	}
}
