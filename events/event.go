package events

import (
	"errors"
	"time"
)

// Event is one CloudEvent 1.0. What happened to whom is in Data; the rest says who asked for it, from where and why.
// Client-supplied text (UserAgent, RequestID, Reason) is cut and cleaned by Encode, never refused.
type Event struct {
	ID        ID
	Time      time.Time // wall clock of the appender; only beats' times are ever used for a decision
	Subject   string    // opaque id of what the event is about
	Epoch     ID
	Node      string // name of the replica that appended it
	Actor     string // user id, client id, "local" (operator with access to the data directory) or "system"
	Address   string // client address, or what is recorded of it
	Network   ID     // the network that guesses from Address count for, sealed for replicas; zero: as Address says
	UserAgent string
	RequestID string
	// TraceParent is the traceparent (W3C Trace Context) of what the event was written for, "" where no trace is recorded.
	TraceParent string
	Reason      string
	Data        Payload
}

// Message is one entry of the log as it is stored.
type Message struct {
	Seq     uint64
	Subject string // NATS subject
	Data    []byte // a structured CloudEvent; valid until the next call of deliver returns unless copied
}

// Errors of a log. Anything else that Append returns has to be read as ErrUnknown.
var (
	// ErrUnknown: the event may or may not be in the log, now or later.
	ErrUnknown = errors.New("events: outcome unknown")
	// ErrFull: the log has no room; the event is not in it and will not be.
	ErrFull = errors.New("events: log is full")
	// ErrRewound: the log is not the one that was followed before: re-created, restored or rolled back.
	ErrRewound = errors.New("events: log was re-created or rewound")
	// ErrMalformed: a message is not an event of this vocabulary.
	ErrMalformed = errors.New("events: malformed event")
	// ErrNewer: a message needs a newer schema level than this build has, and is not optional.
	ErrNewer = errors.New("events: event needs a newer version")
)
