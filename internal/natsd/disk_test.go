package natsd

import (
	"errors"
	"strings"
	"testing"
)

// A failed write ends the process; other errors, and what fails while the server shuts down, do not. That a real full disk
// says just this is shown by the disk-full scenarios of cluster-test.
func TestDiskFailed(t *testing.T) {
	var reasons []string
	l := newServerLog(Config{Name: "a", Dir: t.TempDir(), DiskFailed: func(reason string) { reasons = append(reasons, reason) }})
	l.Errorf("Error trying to connect: %v", errors.New("refused"))
	l.Errorf("RAFT [a - S-R3F] Critical write error: %v", errors.New("no space left on device"))
	l.Errorf("JetStream cluster meta group critical write error: %v", errors.New("input/output error"))
	l.ending.Store(true)
	l.Errorf("Critical write error: %v", errors.New("file already closed"))
	if len(reasons) != 2 || !strings.Contains(reasons[0], "no space left") || !strings.Contains(reasons[1], "input/output error") {
		t.Errorf("got %q", reasons)
	}
}
