package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/knell-auth/knell/cluster-test/load"
)

// benchProgress shows a person how a load test gets on. It is safe for concurrent use.
type benchProgress struct {
	out     io.Writer // io.Discard: nobody looks
	rewrite bool      // the line is written over again, on a terminal

	mu   sync.Mutex // guards all below
	line bool       // there is one to be written over
}

// progress returns where progress is shown: on a terminal, or where it is asked for.
func (c *benchCmd) progress(t *terminal) *benchProgress {
	f, ok := t.err.(*os.File)
	ok = ok && isTerminal(f)
	if c.Report.Quiet || !ok && !c.Report.Progress {
		return &benchProgress{out: io.Discard}
	}
	return &benchProgress{out: t.err, rewrite: ok}
}

const clearLine = "\r\x1b[K"

// printf prints a line that stays.
func (p *benchProgress) printf(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clearLocked()
	fmt.Fprintf(p.out, format+"\n", args...)
}

// clear takes the line away that is written over.
func (p *benchProgress) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clearLocked()
}

func (p *benchProgress) clearLocked() {
	if p.line {
		io.WriteString(p.out, clearLine)
		p.line = false
	}
}

// update shows how far the load has come.
func (p *benchProgress) update(now load.Progress) {
	text := progressLine(now)
	if !p.rewrite {
		p.printf("%s", text)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	io.WriteString(p.out, clearLine+text)
	p.line = true
}

// progressLine says it in a line that fits a terminal.
func progressLine(now load.Progress) string {
	if now.Wanted > 0 {
		return fmt.Sprintf("logging in: %d of %d sessions", now.Sessions, now.Wanted)
	}
	if now.At < 0 {
		return fmt.Sprintf("warming up: %s left", (-now.At).Round(time.Second))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s/%s  logouts %d, p99 %s  checks %d, p99 %s  leaks %d", now.At.Round(time.Second), now.Of,
		now.Logouts, round(now.LogoutP99), now.Verifies, round(now.VerifyP99), now.Leaks)
	if now.Unsent > 0 {
		fmt.Fprintf(&b, "  unsent %d", now.Unsent)
	}
	for _, r := range now.Replicas {
		if r.State != load.Accepting {
			fmt.Fprintf(&b, "  %s %s", r.Name, r.State)
		}
	}
	return b.String()
}
