package httpapi

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/events/eventstest"
	"github.com/knell-auth/knell/internal/password"
	"github.com/knell-auth/knell/node"
)

const ndjsonType = "Content-Type: application/x-ndjson"

// Hashes of the password "correct horse".
const (
	scryptHash = `"hash":"$scrypt$ln=4,r=8,p=2$c2FsdHNhbHRzYWx0c2FsdA$N/xVigXISrC2014X0g9Vd7Bxvzb0tmaBHmkzOObyCF8"`
	djangoHash = `"hash":"pbkdf2_sha256$1000$seasalt2seasalt2$8MkvgctZalT3B1nT7NulxO1ihsB4FzTmepbHRG1ngO0="`
)

// importLines is good and bad lines.
func importLines() string {
	return strings.Join([]string{
		`{"name":"Bob",` + scryptHash + `,"email":"bob@example.com","full_name":"Bob B.","roles":["reader"],"scopes":["profile"]}`,
		`{"name":"carol",` + djangoHash + `,"disabled":true}`,
		``,
		`{"name":"alice",` + scryptHash + `}`,
		`{"name":"dave","hash":"$scrypt$ln=30,r=8,p=1$c2FsdHNhbHRzYWx0c2FsdA$N/xVigXISrC2014X0g9Vd7Bxvzb0tmaBHmkzOObyCF8"}`,
		`{"name":"dave"}`,
		`not JSON`,
		`{"name":"erin","hashes":"x"}`,
		`{"name":"` + strings.Repeat("x", 70_000) + `"}`,
		`{"name":" BOB ",` + djangoHash + `}`,
		`{"name":"frank",` + djangoHash + `,"scopes":["profile"]}`,
	}, "\n") // the last line has no end
}

// Each line is answered, in order, whatever became of the others; what was imported logs in with the old password.
func TestImport(t *testing.T) {
	w := newWorld(t)
	local := NewLocal(w.node, Config{})
	lines := importLines()

	want := []string{
		`{"line":1,"name":"bob","status":"created","id":"...`,
		`{"line":2,"name":"carol","status":"created","id":"...`,
		`{"line":4,"name":"alice","status":"exists"}`,
		`{"line":5,"name":"dave","status":"error","error":"password: unusable hash: scrypt: not ln of 1 to 21, r and p of 1 to 64"}`,
		`{"line":6,"name":"dave","status":"error","error":"want a password or a hash, and not both"}`,
		`{"line":7,"status":"error","error":"the body must be one JSON object"}`,
		`{"line":8,"status":"error","error":"member \"hashes\" is unknown"}`,
		`{"line":9,"status":"error","error":"the line is longer than 65536 bytes"}`,
		`{"line":10,"name":"bob","status":"exists"}`,
		`{"line":11,"name":"frank","status":"created","id":"...`,
	}
	check := func(body string, end string) {
		t.Helper()
		got := strings.Split(strings.TrimSpace(body), "\n")
		if len(got) != len(want)+1 || got[len(got)-1] != end {
			t.Fatalf("%d lines, the last one %s", len(got), got[len(got)-1])
		}
		for i, line := range want {
			if prefix, _ := strings.CutSuffix(line, "..."); !strings.HasPrefix(got[i], prefix) {
				t.Errorf("%s, want %s", got[i], line)
			}
		}
	}
	done := append([]string(nil), want...)
	for i := range want {
		want[i] = strings.Replace(strings.Replace(want[i], `,"id":"...`, "}", 1), "created", "valid", 1)
	}
	before := len(w.log.Messages())
	got := call(local, "POST", "/users/import?dry_run=true", lines, ndjsonType)
	expect(t, got, 200, ndjsonType)
	check(got.Body.String(), `{"end":{"dry_run":true,"created":3,"exists":2,"errors":5}}`)
	for _, m := range w.log.Messages()[before:] {
		if strings.HasPrefix(m.Subject, "knell.secret.") {
			t.Error("the dry run wrote a user into the log")
		}
	}
	want = done
	got = call(local, "POST", "/users/import", lines, ndjsonType)
	expect(t, got, 200)
	check(got.Body.String(), `{"end":{"dry_run":false,"created":3,"exists":2,"errors":5}}`)

	login := "grant_type=password&password=correct+horse&username="
	expect(t, call(w.handler, "POST", "/token", login+"bob", formType), 200)
	expect(t, call(w.handler, "POST", "/token", login+"frank", formType), 200)
	expect(t, call(w.handler, "POST", "/token", login+"carol", formType), 400)
	if u, err := w.node.UserNamed("bob"); err != nil || u.Email != "bob@example.com" || u.FullName != "Bob B." || u.Roles[0] != "reader" {
		t.Errorf("%+v, %v", u, err)
	}
	if e := find[*events.UserCreated](t, w); e.Actor != "local" || e.Reason != "import" {
		t.Errorf("by %q because of %q", e.Actor, e.Reason)
	}
	w.checkLogged(t, "c2FsdHNhbHRzYWx0")
}

// Clients are imported like users: each line is answered, and a dry run changes nothing.
func TestImportOfClients(t *testing.T) {
	w := newWorld(t)
	local := NewLocal(w.node, Config{})
	secret := node.NewClientSecret()
	lines := strings.Join([]string{
		`{"id":"shop","name":"Shop","redirect_uris":["https://shop.test/cb"],"scopes":["openid"]}`,
		`{"id":"jobs",` + scryptHash + `,"scopes":["jobs"]}`,
		`{"id":"chosen","secret":"correct horse"}`,
		`{"id":"made","secret":"` + secret + `","scopes":["jobs"]}`,
		`{"id":"shop"}`,
		`{"id":"both","secret":"correct horse",` + scryptHash + `}`,
		`{"id":"none","confidential":true}`,
		`{"id":"bad","redirect_uris":["http://shop.test/cb"]}`,
		`{"name":"without an id"}`,
		`{"id":"a b"}`,
		`{"id":"api"}`,
		`not JSON`,
	}, "\n") + "\n"
	want := []string{
		`{"line":1,"name":"shop","status":"created","id":"shop"}`,
		`{"line":2,"name":"jobs","status":"created","id":"jobs"}`,
		`{"line":3,"name":"chosen","status":"created","id":"chosen"}`,
		`{"line":4,"name":"made","status":"created","id":"made"}`,
		`{"line":5,"name":"shop","status":"exists"}`,
		`{"line":6,"name":"both","status":"error","error":"want a password or a hash, and not both"}`,
		`{"line":7,"name":"none","status":"error","error":"a confidential client needs a secret or a hash"}`,
		`{"line":8,"name":"bad","status":"error","error":"redirect URI`,
		`{"line":9,"status":"error","error":"member \"id\" is missing"}`,
		`{"line":10,"name":"a b","status":"error","error":"client id must have`,
		`{"line":11,"name":"api","status":"error","error":"client id \"api\" is what`,
		`{"line":12,"status":"error","error":"the body must be one JSON object"}`,
	}
	check := func(got *httptest.ResponseRecorder, replace ...string) {
		t.Helper()
		expect(t, got, 200, ndjsonType)
		answers := strings.Split(strings.TrimSpace(got.Body.String()), "\n")
		if len(answers) != len(want)+1 || !strings.Contains(answers[len(want)], `"created":4,"exists":1,"errors":7`) {
			t.Fatalf("%s", got.Body)
		}
		for i, line := range want {
			if line = strings.NewReplacer(replace...).Replace(line); !strings.HasPrefix(answers[i], line) {
				t.Errorf("%s, want %s", answers[i], line)
			}
		}
	}
	known, _ := w.node.Clients()
	check(call(local, "POST", "/clients/import?dry_run=true", lines, ndjsonType),
		"created", "valid", `,"id":"shop"`, "", `,"id":"jobs"`, "", `,"id":"chosen"`, "", `,"id":"made"`, "")
	if now, err := w.node.Clients(); err != nil || len(now) != len(known) {
		t.Errorf("the dry run created %d clients, %v", len(now)-len(known), err)
	}
	check(call(local, "POST", "/clients/import", lines, ndjsonType))
	for id, secret := range map[string]string{"jobs": "correct horse", "chosen": "correct horse", "made": secret} {
		if _, err := w.node.AuthenticateClient(t.Context(), id, secret, node.Origin{}); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	w.checkLogged(t, secret)
}

// It is for the local socket, and for NDJSON.
func TestImportRefused(t *testing.T) {
	w := newWorld(t)
	local := NewLocal(w.node, Config{})
	const line = `{"name":"bob",` + scryptHash + `}`
	expect(t, call(local, "POST", "/users/import?dry=1", line, ndjsonType), 400)
	expect(t, call(local, "POST", "/users/import", line, jsonType), 415)
	expect(t, call(w.handler, "POST", "/users/import", line, ndjsonType, "Authorization: Bearer "+w.vars["root"]), 405)
	if _, err := w.node.UserNamed("bob"); err == nil {
		t.Error("bob is there")
	}
}

// checkLogged fails the test if text was logged.
func (w *world) checkLogged(t *testing.T, text string) {
	t.Helper()
	if strings.Contains(w.logged.String(), text) {
		t.Errorf("%s is in the log", text)
	}
}

// Lines are answered while others are still to come: an import may be longer than the time for one request, and whoever sends
// it sees how far it is.
func TestImportStreams(t *testing.T) {
	w := newWorld(t)
	address := serve(t, NewLocal(w.node, Config{}))
	body, lines := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+address+"/users/import", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	const users = 1000 // more than a buffer of answers
	sent := make(chan error, 1)
	halfway := make(chan struct{})
	go func() {
		for i := range users {
			if i == users-1 {
				<-halfway
			}
			if _, err := fmt.Fprintf(lines, "{\"name\":\"user-%04d\",%s}\n", i, scryptHash); err != nil {
				sent <- err
				return
			}
		}
		sent <- lines.Close()
	}()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	read := bufio.NewScanner(resp.Body)
	for i := range users {
		var rec struct {
			Line   int
			Status string
		}
		if !read.Scan() {
			t.Fatalf("after %d lines: %v", i, read.Err())
		}
		if err := json.Unmarshal(read.Bytes(), &rec); err != nil || rec.Line != i+1 || rec.Status != "created" {
			t.Fatalf("%s, %v", read.Bytes(), err)
		}
		if i == 100 {
			close(halfway)
		}
	}
	if !read.Scan() || read.Text() != `{"end":{"dry_run":false,"created":1000,"exists":0,"errors":0}}` {
		t.Errorf("the end: %s, %v", read.Text(), read.Err())
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

// An import whose sender breaks off has no end.
func TestImportBrokenOff(t *testing.T) {
	w := newWorld(t)
	address := serve(t, NewLocal(w.node, Config{}))
	req, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+address+"/users/import",
		strings.NewReader(`{"name":"bob",`+scryptHash+"}\n"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	req.ContentLength = 10_000
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return
	}
	defer resp.Body.Close()
	if answer, err := io.ReadAll(resp.Body); err == nil || strings.Contains(string(answer), "end") {
		t.Errorf("%s, %v", answer, err)
	}
}

// A replica that cannot answer any more does not say that a name is free.
func TestImportWithoutLease(t *testing.T) {
	n := &scripted{err: node.ErrNotCurrent}
	got := call(NewLocal(n, Config{}), "POST", "/users/import?dry_run=true", `{"name":"bob",`+scryptHash+`}`, ndjsonType)
	expect(t, got, 200)
	if !strings.Contains(got.Body.String(), `"status":"error","error":"this replica cannot prove that it is current"`) {
		t.Error(got.Body)
	}
}

// Passwords that are hashed here wait for one another and for log-ins, however many there are: no line is refused for that, also
// by a replica whose queue has hardly any room.
func TestImportOfPasswords(t *testing.T) {
	n := startNode(t, "n1", eventstest.New(t).Node("n1"), slog.New(slog.DiscardHandler), func(c *node.Config) {
		c.Password = password.Config{Workers: 1, Queue: 2, MaxWait: time.Millisecond, Params: password.Params{MemoryKiB: 4096, Time: 1}}
	})
	const users = 130
	var lines strings.Builder
	for i := range users {
		fmt.Fprintf(&lines, "{\"name\":\"user-%d\",\"password\":\"a long password %d\",\"scopes\":[\"profile\"]}\n", i, i)
	}
	for _, end := range []string{`"created":130,"exists":0,"errors":0`, `"created":0,"exists":130,"errors":0`} {
		answer := call(NewLocal(n, Config{}), "POST", "/users/import", lines.String(), ndjsonType)
		if !strings.HasSuffix(answer.Body.String(), `{"end":{"dry_run":false,`+end+"}}\n") {
			t.Fatalf("want %s\n%s", end, answer.Body)
		}
	}
	if _, err := n.Login(t.Context(), node.LoginRequest{Name: "user-129", Password: "a long password 129"}); err != nil {
		t.Error(err)
	}
	bad := call(NewLocal(n, Config{}), "POST", "/users/import", `{"name":"eve","password":"short"}`, ndjsonType)
	if !strings.Contains(bad.Body.String(), `"status":"error","error":"`) {
		t.Error(bad.Body)
	}
}
