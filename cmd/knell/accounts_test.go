package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestAccounts administers users on a replica that runs: change, show, import, revoke, delete.
func TestAccounts(t *testing.T) {
	provesCommands(t)
	dir := t.TempDir()
	p := launch(t, dir, "serve", "--password-grant", "--listen", "127.0.0.1:0", "--drain", "0", "--lease", "5s")
	base := attribute(t, p.await(t, "msg=ready"), "http")
	run := func(code int, text, input string, args ...string) string {
		t.Helper()
		got, out := once(t, dir, input, args...)
		if got != code || !strings.Contains(out, text) {
			t.Errorf("knell %s: exit %d, want %d with %q:\n%s", strings.Join(args, " "), got, code, text, out)
		}
		return out
	}
	run(0, "created user alice", "wonderland-1865\n", "user", "add", "alice", "--email", "alice@example.com", "--full-name", "Alice Liddell")
	login(t, base, "alice", "wonderland-1865", 200)
	login(t, base, "alice", "wonderland-1865", 200)
	var shown struct {
		user
		Sessions []session `json:"sessions"`
	}
	if err := json.Unmarshal([]byte(run(0, "Alice Liddell", "", "user", "show", "alice", "--json")), &shown); err != nil {
		t.Fatal(err)
	}
	if shown.Email != "alice@example.com" || len(shown.Sessions) != 2 || shown.Sessions[0].Address != "127.0.0.1" {
		t.Errorf("%+v", shown)
	}
	run(0, "SESSION", "", "user", "show", "alice")
	run(0, "changed alice", "", "user", "update", "alice", "--rename", "alicia", "--email=")
	run(1, "the name is taken", "x\n", "user", "add", "alicia")
	login(t, base, "alicia", "wonderland-1865", 200)

	run(0, "3 sessions would end", "", "revoke", "user", "alicia", "--dry-run")
	run(0, "revoked", "", "revoke", "session", shown.Sessions[0].ID, "--reason", "lost")
	run(0, "2 sessions would end", "", "revoke", "everything", "--dry-run")
	run(0, "revoked", "", "revoke", "everything", "--reason", "drill")
	run(0, "0 sessions would end", "", "revoke", "user", "alicia", "--dry-run")
	run(1, "there is no user", "", "revoke", "user", "nobody", "--reason", "x")
	run(1, "there is no such", "", "revoke", "client", "nobody", "--reason", "x")

	file := filepath.Join(dir, "users.ndjson")
	lines := `{"name":"bob","hash":"pbkdf2_sha256$1000$seasalt2seasalt2$8MkvgctZalT3B1nT7NulxO1ihsB4FzTmepbHRG1ngO0=","scopes":["profile"]}
{"name":"alicia","hash":"$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"}
{"name":"carol","hash":"plain"}
`
	if err := os.WriteFile(file, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	out := run(1, "1 could be created, 1 exist already, 1 refused", "", "user", "import", file, "--dry-run")
	if !strings.Contains(out, "line 3: carol: password: unusable hash") || strings.Contains(out, "plain") {
		t.Error(out)
	}
	run(1, "1 created, 1 exist already, 1 refused", "", "user", "import", file)
	good, _, _ := strings.Cut(lines, `{"name":"carol"`)
	run(0, "0 created, 2 exist already, 0 refused", good, "user", "import", "-")
	login(t, base, "bob", "correct horse", 200)

	run(0, "deleted alicia", "", "user", "delete", "alicia")
	run(1, "there is no user", "", "user", "delete", "alicia")
	login(t, base, "alicia", "wonderland-1865", 400)
	if code, out := p.stop(t, syscall.SIGTERM); code != 0 {
		t.Fatalf("exit %d:\n%s", code, out)
	}
}
