package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/knell-auth/knell/cluster-test/check"
	"github.com/knell-auth/knell/cluster-test/history"
	"github.com/knell-auth/knell/cluster-test/scenario"
)

func TestUsage(t *testing.T) {
	tests := []struct {
		args string
		code int
		want string // in what is printed
	}{
		{"-list", exitOK, "kill9-leader"},
		{"-list cut-off", exitOK, "cut-off"},
		{"-help", exitOK, "-expect-violation"},
		{"no-such-scenario", exitUsage, `"no-such-scenario"`},
		{"-scenario nor-this", exitUsage, `"nor-this"`},
		{"-lease 1ms", exitUsage, "-lease"},
		{"-bogus", exitUsage, "-bogus"},
		{"-rivals jwt magic", exitUsage, `"magic"`},
		{"-rivals -list", exitOK, "redis-denylist-fail-open"},
		{"-rivals -for 1h", exitUsage, "-for"},
		{"-json x.json", exitUsage, "only with -rivals"},
		{"-check /nonexistent/history", exitUsage, "no such file"},
	}
	for _, tt := range tests {
		var out bytes.Buffer
		if code := run(strings.Fields(tt.args), &out, &out); code != tt.code || !strings.Contains(out.String(), tt.want) {
			t.Errorf("%s: exit %d, want %d and %q in:\n%s", tt.args, code, tt.code, tt.want, out.String())
		}
	}
}

func TestCheckFile(t *testing.T) {
	bad := &history.History{Ops: []history.Op{
		{Kind: history.Logout, Outcome: history.OK, Session: 1, Start: 1, End: 2},
		{Kind: history.Verify, Outcome: history.OK, Session: 1, Start: 3, End: 4},
	}}
	path := filepath.Join(t.TempDir(), "h.ndjson")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := bad.Write(f); err != nil {
		t.Fatal(err)
	}
	f.Close()
	var out bytes.Buffer
	if code := run([]string{"-check", path}, &out, &out); code != exitFailed || !strings.Contains(out.String(), "C1, session 1") {
		t.Errorf("exit %d:\n%s", code, out.String())
	}
}

func TestCheckFileWithLogs(t *testing.T) {
	dir := t.TempDir()
	h := &history.History{Ops: []history.Op{
		{Kind: history.Login, Outcome: history.OK, Session: 1, Start: 1, End: 2, SID: "a"},
		{Kind: history.Verify, Outcome: history.Refused, Session: 1, Start: 3, End: 4, Status: 401},
	}}
	f, err := os.Create(filepath.Join(dir, "history.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Write(f); err != nil {
		t.Fatal(err)
	}
	f.Close()
	check := func(log string) (int, string) {
		if err := os.WriteFile(history.LogFile(dir, 0), []byte(log), 0o600); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		code := run([]string{"-check", f.Name()}, &out, &out)
		return code, out.String()
	}
	code, out := check(`{"seq":1,"id":"x","type":"knell.node.beat"}` + "\n" + `{"end":{"seq":1,"digest":"d"}}`)
	for _, want := range []string{"C2, session 1", "C4, session 1", "linear, session 1", "logs of 1 replicas, 3 violations"} {
		if code != exitFailed || !strings.Contains(out, want) {
			t.Errorf("exit %d, want %q in:\n%s", code, want, out)
		}
	}
	if code, out := check(`{"seq":1,"id":"x","type":"knell.node.beat"}`); code != exitUsage || !strings.Contains(out, "cut off") {
		t.Errorf("a log without its end: exit %d:\n%s", code, out)
	}
}

func TestVerdicts(t *testing.T) {
	leak := []check.Violation{{Claim: check.C1}}
	tests := []struct {
		r    scenario.Result
		want string
	}{
		{scenario.Result{}, "ok"},
		{scenario.Result{Violations: leak}, "FAILED"},
		{scenario.Result{Err: os.ErrDeadlineExceeded}, "FAILED"},
		{scenario.Result{Skipped: "no root"}, "skipped"},
		{scenario.Result{Breaks: check.C1, Expected: true, Violations: leak}, "caught"},
		{scenario.Result{Breaks: check.C1, Expected: true}, "FAILED"},
		{scenario.Result{Breaks: check.C1, Expected: true, Violations: []check.Violation{{Claim: check.C2}}}, "FAILED"},
	}
	var out bytes.Buffer
	for _, tt := range tests {
		tt.r.Took = time.Second
		if got := verdict(tt.r); got != tt.want {
			t.Errorf("%+v: %s, want %s", tt.r, got, tt.want)
		}
		report(&out, tt.r)
	}
	table(&out, []scenario.Result{{Scenario: "steady", Violations: leak}})
	if !strings.Contains(out.String(), "steady") {
		t.Errorf("no line for the scenario in:\n%s", out.String())
	}
}
