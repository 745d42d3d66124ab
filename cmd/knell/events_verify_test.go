package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/knell-auth/knell/internal/merkle"
)

// TestEventsVerify: what a replica says of its log is verified offline, and what was done to it is found, with the exit codes of the
// documentation.
func TestEventsVerify(t *testing.T) {
	provesCommands(t)
	dir := t.TempDir()
	p := launch(t, dir, "serve", "--password-grant", "--listen", "127.0.0.1:0", "--drain", "0", "--lease", "5s")
	base := attribute(t, p.await(t, "msg=ready"), "http")
	run := func(code int, text string, args ...string) string {
		t.Helper()
		got, out := once(t, dir, "correct-horse-1\n", args...)
		if got != code || !strings.Contains(out, text) {
			t.Errorf("knell %s: exit %d, want %d with %q:\n%s", strings.Join(args, " "), got, code, text, out)
		}
		return out
	}
	run(0, "created", "user", "add", "auditor", "--scope", "audit")
	path := func(name string) string { return filepath.Join(dir, name) }
	save := func(name, text string) string {
		t.Helper()
		if err := os.WriteFile(path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path(name)
	}
	keyText := run(0, "knell/", "events", "key")
	key := save("key", keyText)
	earlier := save("earlier", run(0, "knell/", "events", "checkpoint"))
	receipt := save("receipt", askAs(t, base, "POST", "/logout", loginAs(t, base, "auditor", "correct-horse-1"), "Prefer", "return=representation"))
	reader := loginAs(t, base, "auditor", "correct-horse-1")
	export := askAs(t, base, "GET", "/events?sealed=true&limit=1000", reader, "Accept", "application/x-ndjson")
	run(0, "events", "events", "export", "--sealed", "--out", path("whole.ndjson"))
	run(2, "--sealed is for NDJSON", "events", "export", "--sealed", "--type", "revoked", "--out", path("part.ndjson"))
	checkpoint := save("checkpoint", run(0, "knell/", "events", "checkpoint"))
	proof := save("proof", askAs(t, base, "GET", "/events/1/proof", reader))
	run(0, "", "events", "hashes", "--key", key, "--checkpoint", checkpoint, "-o", path("hashes"))
	if code, out := p.stop(t, syscall.SIGTERM); code != 0 { // the rest is offline
		t.Fatalf("exit %d:\n%s", code, out)
	}

	verify := func(code int, text, export string, more ...string) {
		t.Helper()
		run(code, text, append([]string{"events", "verify", save("export", export), "--key", key, "--checkpoint", checkpoint}, more...)...)
	}
	verify(0, "verified: knell/", export)
	verify(0, "verified: knell/", export, "--earlier", earlier, "--hashes", path("hashes"))
	verify(0, "verified: knell/", readText(t, path("whole.ndjson")))
	lines := strings.SplitAfter(export, "\n")
	verify(3, "make it anew (knell events export --sealed)", unsealed(lines))
	verify(3, "changed", strings.Replace(export, "knell.session.started", "knell.session.startex", 1), "--hashes", path("hashes"))
	verify(3, "removed: 1 leaves", strings.Join(append(lines[:2:2], lines[3:]...), ""), "--hashes", path("hashes"))
	verify(3, "reordered", lines[1]+lines[0])
	verify(3, "--hashes FILE says which leaf it is", strings.Join(lines[:3], ""))
	verify(3, "truncated", strings.Join(lines[:3], ""), "--hashes", path("hashes"))
	verify(1, "malformed", "no event\n")
	run(6, "consistency", "events", "verify", "--key", key, "--checkpoint", checkpoint, "--earlier", earlier)
	run(0, "replica knell (", "events", "verify-receipt", receipt, "--key", key)
	run(0, "leaf 0 of", "events", "verify-proof", proof, "--key", key)

	run(2, "neither a key", "events", "verify-receipt", receipt, "--key", "nonsense")
	forged := strings.Replace(readText(t, receipt), "applied", "left", 1)
	run(5, "not signed", "events", "verify-receipt", save("forged", forged), "--key", key)
	name, _, _ := strings.Cut(keyText, "+")
	thief, err := merkle.NewKey(name, make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	run(5, "not signed", "events", "verify-receipt", receipt, "--key", thief.Verifier())
}

// unsealed returns the lines of an export that was made without --sealed.
func unsealed(lines []string) string {
	sealed := func(line string) bool { return strings.Contains(line, `"sealed":"`) }
	return strings.Join(slices.DeleteFunc(slices.Clone(lines), sealed), "")
}

func readText(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// loginAs returns an access token.
func loginAs(t *testing.T, base, name, password string) string {
	t.Helper()
	resp, err := http.PostForm(base+"/token", url.Values{"grant_type": {"password"}, "username": {name}, "password": {password}})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil || got.Token == "" {
		t.Fatalf("login: %d, %v", resp.StatusCode, err)
	}
	return got.Token
}

// askAs returns the body of an answer, which has to be 200. A header is a name and a value.
func askAs(t *testing.T, base, method, path, token string, header ...string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, base+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %d %s %v", method, path, resp.StatusCode, body, err)
	}
	return string(body)
}

// TestHarmless: what is printed of a file means the same, and no terminal obeys it.
func TestHarmless(t *testing.T) {
	for text, want := range map[string]string{
		`{"a":"ü 😀"}`: `{"a":"ü 😀"}`, "{\"a\":\"\u009b31m\u202e\U000E0001\"}": `{"a":"\u009b31m\u202e\udb40\udc01"}`, "\x1b[2J\r\n": `\u001b[2J\u000d` + "\n",
	} {
		got := harmless([]byte(text))
		if got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
		var before, after any
		if json.Unmarshal([]byte(text), &before) == nil && (json.Unmarshal([]byte(got), &after) != nil || !reflect.DeepEqual(before, after)) {
			t.Errorf("%q means %v, not %v", got, after, before)
		}
	}
}
