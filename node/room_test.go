package node

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// The operator hears once of each share that the log passes, that it is full, and that there is room again.
func TestFillingLogIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		out := &lockedText{}
		r.out = out
		n := r.start("a")
		for _, c := range []struct {
			share       float64
			level, says string // "": nothing
			sheds       string
		}{
			{0.5, "", "", ""},
			{0.82, "WARN", `"sheds":"attempts"`, "attempts"},
			{0.85, "", "", "attempts"},
			{0.91, "WARN", `"sheds":"logins"`, "logins"},
			{0.89, "", "", "logins"}, // it comes and goes
			{0.91, "", "", "logins"},
			{0.96, "WARN", `"sheds":"accounts"`, "accounts"},
			{0.5, "INFO", "room again", ""},
			{1, "ERROR", "the log is full", "everything"},
		} {
			out.take()
			r.fill(c.share)
			synctest.Wait()
			said := ""
			for line := range strings.Lines(out.take()) {
				if strings.Contains(line, `"limit"`) {
					said += line
				}
			}
			if c.says == "" && said != "" || strings.Count(said, "\n") > 1 || !strings.Contains(said, c.says) || !strings.Contains(said, c.level) {
				t.Errorf("at %v: %s", c.share, said)
			}
			if s := n.Status(); s.LogSheds != c.sheds {
				t.Errorf("at %v: the status says %q, want %q", c.share, s.LogSheds, c.sheds)
			}
		}
		if n.Ready() {
			t.Error("ready, with a full log")
		}
		r.log.SetMaxBytes(1 << 40)
		time.Sleep(6 * time.Second)
		if !n.Ready() {
			t.Error("not ready, with room")
		}
	})
}

// lockedText is what was written since it was taken last.
type lockedText struct {
	mu sync.Mutex
	b  strings.Builder
}

// Write implements io.Writer.
func (l *lockedText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedText) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.b.Reset()
	return l.b.String()
}
