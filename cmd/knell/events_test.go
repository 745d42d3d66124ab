package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestEvents follows, exports, replays and counts the events of a replica, through its data directory and over HTTP.
func TestEvents(t *testing.T) {
	dir := t.TempDir()
	expect := func(code int, text, input string, args ...string) {
		t.Helper()
		if got, out := once(t, dir, input, args...); got != code || !strings.Contains(out, text) {
			t.Errorf("knell %s: exit %d, want %d with %q:\n%s", strings.Join(args, " "), got, code, text, out)
		}
	}
	server := launch(t, dir, strings.Fields(serveAlone)...)
	base := attribute(t, server.await(t, "msg=ready"), "http")
	over := func(args ...string) []string { return append(args, "--url", base, "--token-file", "key") }
	renew := func() {
		t.Helper()
		key := lastLine(t, dir, "apikey", "create", "alice", "tail", "--scope", "audit")
		if err := os.WriteFile(filepath.Join(dir, "key"), []byte(key+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	expect(0, "created user alice", "a long enough one\n", "user", "add", "alice", "--scope", "audit")
	tail := launch(t, dir, "events", "tail", "--after", "0")
	tail.await(t, "account.user_created     user=alice actor=local")
	renew()
	remote := launch(t, dir, over("events", "tail", "--json", "--after", "0", "--type", "account")...)
	remote.await(t, `"type":"knell.account.user_created"`)

	expect(0, "disabled alice", "", "user", "disable", "alice") // ends the stream of its key, too
	tail.await(t, "revoked.user             user=alice actor=local")
	expect(0, "disabled alice", "", "user", "disable", "alice")
	if line := tail.await(t, "void: noop"); strings.Contains(line, "\x1b") {
		t.Errorf("colours where there is no terminal: %q", line)
	}
	if code, out := exit(remote), remote.rest(); code != 1 || !strings.Contains(out, "401 Unauthorized") {
		t.Errorf("whose key is dead: exit %d\n%s", code, out)
	}
	expect(1, "401 Unauthorized", "", over("events", "stats")...)
	expect(0, "enabled alice", "", "user", "enable", "alice")

	// A replica that is killed, and another life of it: the stream goes on.
	server.stop(t, syscall.SIGKILL)
	server = launch(t, dir, strings.Fields(serveAlone)...)
	base = attribute(t, server.await(t, "msg=ready"), "http")
	renew()
	tail.await(t, "going on")
	expect(0, "enabled alice", "", "user", "enable", "alice")
	tail.await(t, "account.user_enabled     user=alice actor=local void: noop")
	if code, out := tail.stop(t, syscall.SIGINT); code != 0 || !strings.Contains(out, "interrupted, trying again") {
		t.Errorf("exit %d\n%s", code, out)
	}

	checkExport(t, dir, over, expect)
	checkReplay(t, dir, over)
	expect(0, "revoked.user", "", over("events", "stats", "--from", "1", "--type", "revoked")...)
	expect(2, "the log ends at", "", "events", "stats", "--to", "999999")
	expect(2, "is behind --to", "", "events", "stats", "--from", "5", "--to", "3")
	var st eventStats
	if _, out := once(t, dir, "", "events", "stats", "--json"); json.Unmarshal([]byte(out), &st) != nil || st.Types["revoked.user"] != 2 || st.Void < 1 ||
		st.Voids["noop"] < 1 || st.Events < 7 || len(st.Days) == 0 || st.First >= st.Last || st.Bytes < 2000 {
		t.Errorf("stats: %s", out)
	}
	server.stop(t, syscall.SIGTERM)
	expect(0, "sequences", "", "events", "stats") // of the store that nobody serves
}

// exit waits for the end of a process and returns its exit code.
func exit(p *process) int {
	p.rest()
	p.done.Wait()
	return p.cmd.ProcessState.ExitCode()
}

// lastLine returns the last line that a command prints.
func lastLine(t *testing.T, dir string, args ...string) string {
	t.Helper()
	code, out := once(t, dir, "", args...)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if code != 0 {
		t.Fatalf("knell %v: exit %d\n%s", args, code, out)
	}
	return lines[len(lines)-1]
}

// checkExport writes the events to files.
func checkExport(t *testing.T, dir string, over func(...string) []string, expect func(code int, text, input string, args ...string)) {
	t.Helper()
	export := func(out string, more ...string) []string {
		return append([]string{"events", "export", "--out", out}, more...)
	}
	expect(0, "events, ", "", export("all.ndjson")...)
	expect(2, "it is there already", "", export("all.ndjson")...)
	expect(0, "events, ", "", over(export("remote.ndjson")...)...)
	expect(0, "0 events", "", export("none.ndjson", "--to", "2020-01-01")...)
	expect(0, "", "", export("week.ndjson", "--from", "7d")...)
	expect(0, "", "", export("all.parquet", "--format", "parquet")...)
	file := func(name string) string {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	all := file("all.ndjson")
	// Names are those of the time of reading, and the key was used since: what is older is the same.
	if remote := file("remote.ndjson"); !strings.HasPrefix(remote, all) || strings.Count(all, "\n") < 7 || file("week.ndjson")[:len(all)] != all {
		t.Errorf("exports differ:\n%s\n%s", all, remote)
	}
	if parquet := file("all.parquet"); !strings.HasPrefix(parquet, "PAR1") || !strings.HasSuffix(parquet, "PAR1") {
		t.Error("this is no Parquet file")
	}
	// An export that was killed goes on where it was: what it has is not written again.
	part := all[:strings.LastIndexByte(all[:len(all)-1], '\n')+20]
	marked := strings.Replace(part, `"alice"`, `"Alice"`, 1)
	expect(0, "", "", export("cut.ndjson")...)
	plan := `{"format":"ndjson","query":"","epoch":"` + epochOf(t, all) + `","after":0,"up_to":` + lastSequence(t, all) + `}`
	for name, text := range map[string]string{"cut.ndjson.part": marked, "cut.ndjson.plan": plan} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(dir, "cut.ndjson")); err != nil {
		t.Fatal(err)
	}
	expect(2, "give the same flags as then, or --restart", "", export("cut.ndjson", "--type", "revoked")...)
	expect(0, "going on behind event", "", export("cut.ndjson")...)
	if got := file("cut.ndjson"); got != strings.Replace(all, `"alice"`, `"Alice"`, 1) {
		t.Errorf("goes on wrongly: %s", got)
	}
}

func epochOf(t *testing.T, text string) string {
	var e struct{ Epoch string }
	if err := json.Unmarshal([]byte(strings.SplitAfterN(text, "\n", 2)[0]), &e); err != nil {
		t.Fatal(err)
	}
	return e.Epoch
}

// lastSequence returns that of the last event, without zeros.
func lastSequence(t *testing.T, text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	var e struct{ Sequence string }
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &e); err != nil {
		t.Fatal(err)
	}
	return strings.TrimLeft(e.Sequence, "0")
}

// checkReplay gives events out again: what comes out is what went in, also where the target has to be asked twice.
func checkReplay(t *testing.T, dir string, over func(...string) []string) {
	t.Helper()
	all, err := os.ReadFile(filepath.Join(dir, "all.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"--file", "all.ndjson"}, {"--to", lastSequence(t, string(all))}, {"--file", "all.ndjson", "--speed", "1000000x"}} {
		if code, out := once(t, dir, "", append([]string{"events", "replay"}, args...)...); code != 0 || out != string(all) {
			t.Errorf("replay %v: exit %d\n%s", args, code, out)
		}
	}
	var mu sync.Mutex // guards the next two
	var got []string
	asked := 0
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		if asked++; asked == 2 {
			w.WriteHeader(http.StatusServiceUnavailable)
		} else if r.Header.Get("X-Secret") != "of the target" || r.Header.Get("Content-Type") != "application/cloudevents+json" {
			w.WriteHeader(http.StatusForbidden)
		} else {
			got = append(got, string(body))
		}
	}))
	defer target.Close()
	if err := os.WriteFile(filepath.Join(dir, "headers"), []byte("X-Secret: of the target\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out := once(t, dir, "", over("events", "replay", "--type", "revoked", "--post", target.URL, "--header-file", "headers")...)
	mu.Lock()
	if code != 0 || len(got) != 2 || asked != 3 || !strings.Contains(got[1], `"void":"noop"`) {
		t.Errorf("exit %d, asked %d times, got %q\n%s", code, asked, got, out)
	}
	mu.Unlock()
	if code, out := once(t, dir, "", "events", "replay", "--file", "all.ndjson", "--post", target.URL); code != 1 || !strings.Contains(out, "403 Forbidden") {
		t.Errorf("exit %d\n%s", code, out)
	}
}

// TestEventLine: text of others does nothing to a terminal.
func TestEventLine(t *testing.T) {
	event := `{"sequence":"00000000000000000042","void":"gone","username":"a\u001b[2J b","type":"knell.session.started","time":"2026-01-01T00:00:00Z",` +
		`"actor":"svc","clientaddress":"192.0.2.7","reason":"two words","data":{"session":"s1","scope":["a","b"],"generation":2,"client":"\u202eevil"}}`
	got, err := eventLine(&style{}, []byte(event))
	want := `      42 session.started          user="a\x1b[2J b" actor=svc from=192.0.2.7 session=s1 client="\u202eevil" scope="a b" generation=2 reason="two words" void: gone`
	if err != nil || got[strings.Index(got, "      42"):] != want {
		t.Errorf("%v\ngot  %s\nwant %s", err, got, want)
	}
	if coloured, _ := eventLine(&style{colour: true}, []byte(event)); !strings.Contains(coloured, "\x1b["+faint+"msession.started") {
		t.Errorf("%q", coloured)
	}
	if _, err := eventLine(&style{}, []byte("{")); err == nil {
		t.Error("half an event is shown")
	}
}

// TestPace: events come out at their distances, divided by the speed, and one that seems to lie before the first does not wait.
func TestPace(t *testing.T) {
	p, err := newPace("100x")
	if err != nil {
		t.Fatal(err)
	}
	var at []time.Duration
	began := time.Now()
	for _, second := range []string{"05", "01", "25"} {
		if err := p.wait(t.Context(), []byte(`{"time":"2026-01-01T00:00:`+second+`Z"}`)); err != nil {
			t.Fatal(err)
		}
		at = append(at, time.Since(began))
	}
	if at[1] > 100*time.Millisecond || at[2] < 200*time.Millisecond {
		t.Errorf("came out at %v", at)
	}
}

// TestPlaces: sequences, times, days and whiles.
func TestPlaces(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]place{
		"": {}, "17": {seq: 17}, "2026-02-01": {at: time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)}, "36h": {at: now.Add(-36 * time.Hour)},
		"1d": {at: now.AddDate(0, 0, -1)}, "2026-01-31T12:00:00.5Z": {at: time.Date(2026, 1, 31, 12, 0, 0, 5e8, time.UTC)},
	} {
		if got, err := parsePlace("--from", text, now); err != nil || got.seq != want.seq || !got.at.Equal(want.at) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"-1", "-1h", "x", "1.5d", "99999999999999999999", "2026-13-01"} {
		if got, err := parsePlace("--from", text, now); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
	if got := ranked(map[string]int64{"a": 1, "b": 3, "c": 1}); !slices.Equal(got, []string{"b", "a", "c"}) {
		t.Error(got)
	}
}
