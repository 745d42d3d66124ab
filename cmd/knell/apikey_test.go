package main

import (
	"net/http"
	"strings"
	"syscall"
	"testing"
)

// checkAPIKeys takes a key of alice, who may be granted the scope notes, through its life.
func checkAPIKeys(t *testing.T, dir, base string, expect func(code int, text, input string, args ...string)) {
	t.Helper()
	good := func(key string, want int) {
		t.Helper()
		req, err := http.NewRequest(http.MethodGet, base+"/verify?scope=notes", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-API-Key", key)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("a key answers %d, want %d", resp.StatusCode, want)
		}
	}
	// shown returns the key that a command printed, and its id.
	shown := func(args ...string) (key, id string) {
		t.Helper()
		code, out := once(t, dir, "", args...)
		lines := strings.Split(strings.TrimSpace(out), "\n")
		key = lines[len(lines)-1]
		if code != 0 || len(key) != 90 || !strings.HasPrefix(key, "knl_") {
			t.Fatalf("%v: exit %d:\n%s", args, code, out)
		}
		return key, key[4:30]
	}
	first, id := shown("apikey", "create", "alice", "nightly export", "--scope", "notes", "--expires", "24h")
	good(first, 200)
	expect(0, "nightly export  notes", "", "apikey", "list", "alice")
	expect(0, `"id": "`+id+`"`, "", "apikey", "list", "alice", "--json")
	second, _ := shown("apikey", "rotate", "alice", id, "--overlap", "1h")
	good(first, 200)
	good(second, 200)
	third, _ := shown("apikey", "rotate", "alice", id)
	good(second, 401)
	good(third, 200)
	expect(0, "revoked API key "+id+" of alice", "", "apikey", "revoke", "alice", id)
	good(third, 401)
	expect(1, "no such API key", "", "apikey", "revoke", "alice", "aaaaaaaaaaaaaaaaaaaaaaaaaa")
	expect(1, "may not be granted", "", "apikey", "create", "alice", "--scope", "admin")
	expect(1, "there is no user", "", "apikey", "create", "nobody")
	expect(2, "whole seconds", "", "apikey", "create", "alice", "--expires=1ms")
	expect(2, "whole seconds", "", "apikey", "rotate", "alice", id, "--overlap=-1s")
}

// checkRoles gives alice roles and takes them away. Its scope is notes afterwards.
func checkRoles(expect func(code int, text, input string, args ...string)) {
	expect(0, `alice has roles "reader" and scopes "profile,notes,reports"`, "", "user", "roles", "alice", "--scope", "profile", "--scope", "notes,reports")
	expect(0, `alice has roles "reader" and scopes "notes"`, "", "user", "roles", "alice", "--scope", "notes")
	expect(0, `alice has roles "" and scopes "notes"`, "", "user", "roles", "alice", "--role=")
	expect(0, `role reader gives scopes "reports,profile"`, "", "role", "set", "reader", "--scope", "reports,profile")
	expect(0, "reader  reports,profile", "", "role", "list")
	expect(0, `role reader gives scopes ""`, "", "role", "set", "reader", "--scope=")
}

// TestInitKnowsRoles: who is an administrator by a role is one.
func TestInitKnowsRoles(t *testing.T) {
	provesCommands(t)
	dir := t.TempDir()
	expect := func(code int, text, input string, args ...string) {
		t.Helper()
		if got, out := once(t, dir, input, args...); got != code || !strings.Contains(out, text) {
			t.Errorf("knell %s: exit %d, want %d with %q:\n%s", strings.Join(args, " "), got, code, text, out)
		}
	}
	p := launch(t, dir, strings.Fields(serveAlone)...)
	p.await(t, "msg=ready")
	expect(0, "created user boss", "a good password\n", "user", "add", "boss", "--role", "chief")
	expect(0, "role chief gives", "", "role", "set", "chief", "--scope", "admin")
	expect(1, "administrator already: boss", "another password\n", "init")
	expect(0, "disabled boss", "", "user", "disable", "boss")
	expect(0, "created administrator admin", "another password\n", "init")
	if code, out := p.stop(t, syscall.SIGTERM); code != 0 {
		t.Fatalf("exit %d:\n%s", code, out)
	}
}
