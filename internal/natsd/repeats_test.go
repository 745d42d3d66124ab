package natsd

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestRepeatedComplaints: what the server says at each attempt is written once a minute, with how often it came.
func TestRepeatedComplaints(t *testing.T) {
	for name, c := range map[string]struct {
		join  *Join
		level string
		say   func(l *serverLog, try int)
		want  string
	}{
		"a route that is away": {nil, "WARN", func(l *serverLog, try int) {
			l.Errorf("Error trying to connect to route (attempt %v): %v", try, errors.New("dial tcp 10.0.0.2:6222: connect: connection refused"))
		}, "10.0.0.2:6222"},
		"a peer that is away": {&Join{}, "WARN", func(l *serverLog, try int) {
			l.Errorf("Error trying to connect as leafnode to remote server %q (attempt %v): %v", "10.0.0.2:7222", try, errors.New("refused"))
		}, "10.0.0.2:7222"},
		"another authority": {&Join{}, "ERROR", func(l *serverLog, try int) {
			l.Errorf(fmt.Sprintf("10.0.0.2:7222 - lid:%d - ", try) + "TLS leafnode handshake error: unknown authority")
		}, "unknown authority"},
		"another secret, at the peer": {nil, "ERROR", func(l *serverLog, try int) {
			l.Errorf(fmt.Sprintf("10.0.0.7:%d - lid:%d - ", 40000+try, try) + "authentication error - Nkey \"UX\"")
		}, "whoever joins from 10.0.0.7 is refused: its cluster secret or its cluster name"},
		"another secret": {&Join{}, "ERROR", func(l *serverLog, _ int) {
			l.Errorf("10.0.0.2:7222 - lid:1 - Leafnode Error 'Authorization Violation'")
		}, "its cluster secret or its cluster name is not theirs"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				l := newServerLog(Config{Name: "a", Join: c.join, Logger: slog.New(slog.NewTextHandler(&out, nil))}, "")
				time.Sleep(startGrace)
				for try := range 601 { // ten a second, for a minute and the first of the next
					c.say(l, try)
					time.Sleep(repeatEvery / 600)
				}
				lines := strings.Split(strings.TrimSpace(out.String()), "\n")
				if len(lines) != 2 || !strings.HasSuffix(lines[1], "times=600") || strings.Contains(lines[0], "times") {
					t.Fatalf("%d lines:\n%s", len(lines), &out)
				}
				for _, line := range lines {
					if !strings.Contains(line, "level="+c.level) || !strings.Contains(line, c.want) {
						t.Errorf("want %s and %q: %s", c.level, c.want, line)
					}
				}
			})
		})
	}
}

// TestRepeatsAreBounded: lines that all differ are written, and not all of them remembered.
func TestRepeatsAreBounded(t *testing.T) {
	var r repeats
	now := time.Unix(1, 0)
	for i := range 10 * mostRepeats {
		if _, due := r.due(fmt.Sprint(i), now); !due {
			t.Fatal("a new line is not written")
		}
		if len(r.by) > mostRepeats {
			t.Fatalf("%d lines are remembered", len(r.by))
		}
	}
}
