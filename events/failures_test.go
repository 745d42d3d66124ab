package events

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestFailingReaders: while readers fail, which is about twice a second, it is said once a minute, with how often it was so.
func TestFailingReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		f := &follower{l: &Log{cfg: Config{Logger: slog.New(slog.NewTextHandler(&out, nil))}}}
		for range 130 {
			f.reader = &reader{cancel: func() {}, out: make(chan []Message), err: errors.New("no leader")}
			close(f.reader.out)
			if again, err := f.readerEnded(); !again || err != nil {
				t.Fatalf("again %t, %v", again, err)
			}
			time.Sleep(f.pause.step())
		}
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(lines) != 2 || !strings.HasSuffix(lines[0], "times=1") || !strings.HasSuffix(lines[1], "times=120") {
			t.Errorf("said:\n%s", &out)
		}
	})
}
