//go:build knell_break

package events_test

import (
	"context"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/knell-auth/knell/events"
)

// Without ids an append whose answer was lost is in the log twice: the conformance suite has to see that.
func TestAnonymousEventsAreStoredTwice(t *testing.T) {
	for _, anonymous := range []bool{false, true} {
		events.Anonymous = anonymous
		t.Cleanup(func() { events.Anonymous = false })
		j := newJetStream(t, []*server.Server{startServer(t, nil)}, events.Config{})
		l := j.logs["a"]
		e := newEvent("a")
		first, err := l.Append(context.Background(), e)
		if err != nil {
			t.Fatal(err)
		}
		again, err := l.Append(context.Background(), e)
		if err != nil {
			t.Fatal(err)
		}
		if twice := again != first; twice != anonymous {
			t.Errorf("anonymous %t: at %d and again at %d", anonymous, first, again)
		}
	}
}
