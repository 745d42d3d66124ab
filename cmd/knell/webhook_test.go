package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestWebhookCommands takes a webhook through its life on a replica that runs, and looks at it when none does.
func TestWebhookCommands(t *testing.T) {
	provesCommands(t)
	called := make(chan struct{}, 100) // more than there are
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		called <- struct{}{}
		w.WriteHeader(http.StatusAccepted)
	}))
	defer target.Close()
	dir := t.TempDir()
	const own = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte(own+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := launch(t, dir, "serve", "--listen", "127.0.0.1:0", "--drain", "0", "--lease", "5s", "--webhook-allow-private", "127.0.0.0/8")
	base := attribute(t, p.await(t, "msg=ready"), "http")
	expect := func(code int, text string, args ...string) string {
		t.Helper()
		got, out := once(t, dir, "", append([]string{"webhook"}, args...)...)
		if got != code || !strings.Contains(out, text) {
			t.Fatalf("webhook %q: exit %d, want %d and %q:\n%s", args, got, code, text, out)
		}
		lines := strings.Split(strings.TrimSpace(out), "\n")
		return lines[len(lines)-1]
	}
	secret := expect(0, "not shown again", "add", "siem", target.URL+"/in", "--allow-private", "--type", "revoked,account", "--description", "the SIEM")
	if !strings.HasPrefix(secret, "whsec_") {
		t.Errorf("the secret is %q", secret)
	}
	expect(1, "the name is taken", "add", "siem", "https://siem.test")
	expect(1, "must begin with https", "add", "plain", "http://siem.test")
	expect(1, "this replica itself", "add", "self", base+"/revocations", "--allow-private")
	expect(1, "is refused", "add", "metadata", "http://169.254.169.254/latest", "--allow-private")
	expect(0, "created webhook own\n", "add", "own", "https://localhost", "--paused", "--secret-file", "secret")
	expect(0, "delivered, status 202", "test", "siem")
	expect(1, "is refused: it is not public", "test", "own")
	expect(0, "paused: operator", "list")
	expect(0, `"description": "the SIEM"`, "show", "siem")
	expect(0, `"name": "own"`, "list", "--json")
	expect(1, "there is no such", "show", "nobody")

	expect(0, "changed webhook siem", "update", "siem", "--type=", "--description", "")
	expect(0, `"types": []`, "show", "siem")
	expect(0, "changed webhook own", "update", "own", "--allow-private")
	expect(2, "give --url", "update", "siem")
	expect(1, "must not have a user name", "update", "siem", "--url", "https://root:pw@siem.test/")
	expect(0, "what comes after 0 is sent by siem", "replay", "siem", "--after", "0")
	expect(1, "not reached", "replay", "siem", "--after", "99999999")
	if second := expect(0, "not shown again", "rotate-secret", "siem"); second == secret {
		t.Error("the secret is as it was")
	}
	expect(0, "changed the secret of own\n", "rotate-secret", "own", "--secret-file", "secret", "--overlap", "0")
	expect(2, "whole seconds", "rotate-secret", "own", "--overlap", "1ms")
	expect(0, "paused siem", "pause", "siem", "--reason", "maintenance")
	expect(0, `"cause": "operator"`, "show", "siem")
	expect(0, "resumed siem", "resume", "siem")
	expect(0, "deleted own", "delete", "own")
	expect(1, "there is no such", "delete", "own")
	<-called // by the test
	<-called // with an event about itself
	if code, out := p.stop(t, syscall.SIGTERM); code != 0 || strings.Contains(out, secret) || strings.Contains(out, own) {
		t.Fatalf("exit %d:\n%s", code, out)
	}
	before := len(called)
	expect(0, "siem", "list")
	expect(1, "not among the private addresses", "test", "siem")
	expect(0, "deleted siem", "delete", "siem")
	if len(called) != before {
		t.Error("a command delivered something")
	}
}
