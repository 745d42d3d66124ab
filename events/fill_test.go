package events_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/knell-auth/knell/events"
)

// messages returns a source of messages with these sequences.
func messages(first, last uint64) func() (events.Message, error) {
	seq := first - 1
	return func() (events.Message, error) {
		if seq == last {
			return events.Message{}, io.EOF
		}
		seq++
		return events.Message{Seq: seq, Subject: "knell.node.n1", Data: fmt.Appendf(nil, "message %d", seq)}, nil
	}
}

// TestFill: messages get into another log at the sequences that they had, also behind a front, and whoever opens it later finds it so.
func TestFill(t *testing.T) {
	const first, last = 4_000, 9_000
	dir := t.TempDir()
	for life := range 2 {
		s := startServer(t, func(o *server.Options) { o.StoreDir = dir })
		cfg := events.Config{Node: "n1", MaxBytes: maxBytes}
		if life == 0 {
			cfg.FirstSeq = first
		}
		log, err := events.Open(t.Context(), connect(t, &link{to: s}), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if life == 0 {
			if err := log.Fill(t.Context(), messages(first, last)); err != nil {
				t.Fatal(err)
			}
		}
		if err := log.Fill(t.Context(), messages(first, last)); err == nil || !strings.Contains(err.Error(), "message 4000") {
			t.Errorf("filled twice: %v", err)
		}
		seq := uint64(first - 1)
		err = log.Read(t.Context(), first-1, last, func(batch []events.Message) error {
			for _, m := range batch {
				if seq++; m.Seq != seq || string(m.Data) != fmt.Sprintf("message %d", seq) {
					return fmt.Errorf("%d: %q, want %d", m.Seq, m.Data, seq)
				}
			}
			return nil
		})
		stat, statErr := log.Stat(t.Context())
		if err != nil || statErr != nil || seq != last || stat.First != first || stat.Last != last {
			t.Errorf("life %d: %v, %v, up to %d, %+v", life, err, statErr, seq, stat)
		}
		s.Shutdown()
		s.WaitForShutdown()
	}
}

// TestFillFull: what has no room is said to have none.
func TestFillFull(t *testing.T) {
	log, err := events.Open(t.Context(), connect(t, &link{to: startServer(t, nil)}), events.Config{Node: "n1", MaxBytes: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Fill(t.Context(), messages(1, 10_000)); !errors.Is(err, events.ErrFull) {
		t.Error(err)
	}
}
