package natsd

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
)

// A failed write ends the process; other errors, and what fails while the server shuts down, do not. That a real full disk
// says just this is shown by the disk-full scenarios of cluster-test.
func TestDiskFailed(t *testing.T) {
	var reasons []string
	l := newServerLog(Config{Name: "a", Dir: t.TempDir(), DiskFailed: func(reason string) { reasons = append(reasons, reason) }}, "")
	l.Errorf("Error trying to connect: %v", errors.New("refused"))
	l.Errorf("RAFT [a - S-R3F] Critical write error: %v", errors.New("no space left on device"))
	l.Errorf("JetStream cluster meta group critical write error: %v", errors.New("input/output error"))
	l.ending.Store(true)
	l.Errorf("Critical write error: %v", errors.New("file already closed"))
	if len(reasons) != 2 || !strings.Contains(reasons[0], "no space left") || !strings.Contains(reasons[1], "input/output error") {
		t.Errorf("got %q", reasons)
	}
}

// What is said about a failed write names its cause: a limit of open files is no matter of the disk.
func TestRemedy(t *testing.T) {
	for reason, want := range map[string]string{
		"open /d/1.blk: too many open files":           "limit of open files",
		"open /d/1.blk: too many open files in system": "limit of open files",
		"write /d/1.blk: no space left on device":      "free space",
	} {
		if got := remedy(reason); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", reason, got, want)
		}
	}
}

// A server that does not find the others yet is no matter for an operator; one that has not found them for long is.
func TestComplaints(t *testing.T) {
	var out bytes.Buffer
	l := newServerLog(Config{Name: "a", Logger: slog.New(slog.NewTextHandler(&out, nil))}, "")
	l.Errorf("Error trying to connect to route (attempt %v): %v", 1, errors.New("refused"))
	l.Warnf("%s", "Metalayer blocking snapshot starting")
	if out.Len() > 0 {
		t.Errorf("logged: %s", &out)
	}
	l.began = l.began.Add(-startGrace)
	l.Errorf("Error trying to connect to route (attempt %v): %v", 30, errors.New("refused"))
	if !strings.Contains(out.String(), "attempt 30") {
		t.Errorf("not logged: %q", &out)
	}
}
