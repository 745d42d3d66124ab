//go:build !knell_break

package events

import (
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// header returns the header of the message of e. By the id in it the stream knows an event that is sent again.
func header(e *Event) nats.Header { return nats.Header{jetstream.MsgIDHeader: []string{e.ID.String()}} }
