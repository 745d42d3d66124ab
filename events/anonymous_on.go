//go:build knell_break

package events

import (
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Anonymous keeps the stream from knowing the ids of events: one that is sent again is stored again. It exists in builds for
// tests that show what the ids are for, and is to be set before the first append.
var Anonymous bool

// header returns the header of the message of e. By the id in it the stream knows an event that is sent again.
func header(e *Event) nats.Header {
	if Anonymous {
		return nil
	}
	return nats.Header{jetstream.MsgIDHeader: []string{e.ID.String()}}
}
