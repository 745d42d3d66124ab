package history

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Event is one event in the log of the cluster, with what a replica made of it.
type Event struct {
	Seq  uint64
	ID   string
	Type string // without "knell."
	Void string // why it changed nothing; "" when it took effect
	// Sum identifies the bytes of the event, zero when the replica does not show them.
	Sum [16]byte
	// Session, User and Generation are what the event is about, where it says so.
	Session, User string
	Generation    int32
}

// Log is the log as one replica has it, from its beginning.
type Log struct {
	Replica int8
	Events  []Event // without those that hold secrets
	// Last is the sequence to which it was read, Digest the digest that reading it gave, and Applied the one that the replica
	// itself had there, "" when it had forgotten that.
	Last            uint64
	Digest, Applied string
	Withheld        uint64 // events that hold secrets
}

// logLine is one line of what a replica answers on GET /log, and of the file that keeps it.
type logLine struct {
	Seq   uint64          `json:"seq"`
	ID    string          `json:"id"`
	Type  string          `json:"type"`
	Void  string          `json:"void"`
	Event json.RawMessage `json:"event"`
	End   *struct {
		Seq      uint64 `json:"seq"`
		Digest   string `json:"digest"`
		Applied  string `json:"applied_digest"`
		Withheld uint64 `json:"withheld"`
	} `json:"end"`
}

// typePrefix stands before the types of the events.
const typePrefix = "knell."

// ReadLog reads what a replica has answered on GET /log. One that lacks its last line is an error.
func ReadLog(r io.Reader, replica int8) (*Log, error) {
	l := &Log{Replica: replica}
	dec := json.NewDecoder(bufio.NewReaderSize(r, 1<<16))
	for n := 1; ; n++ {
		var in logLine
		if err := dec.Decode(&in); errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("history: log of replica %d: it was cut off after %d lines", replica, n-1)
		} else if err != nil {
			return nil, fmt.Errorf("history: log of replica %d: line %d: %w", replica, n, err)
		}
		if end := in.End; end != nil {
			l.Last, l.Digest, l.Applied, l.Withheld = end.Seq, end.Digest, end.Applied, end.Withheld
			return l, nil
		}
		e, err := in.event()
		if err != nil {
			return nil, fmt.Errorf("history: log of replica %d: line %d: %w", replica, n, err)
		}
		l.Events = append(l.Events, e)
	}
}

func (in *logLine) event() (Event, error) {
	if in.Seq == 0 || in.ID == "" || len(in.Type) <= len(typePrefix) || in.Type[:len(typePrefix)] != typePrefix {
		return Event{}, fmt.Errorf("not an event of knell: sequence %d, id %q, type %q", in.Seq, in.ID, in.Type)
	}
	e := Event{Seq: in.Seq, ID: in.ID, Type: in.Type[len(typePrefix):], Void: in.Void}
	if in.Event == nil {
		return e, nil
	}
	sum := sha256.Sum256(in.Event)
	e.Sum = [16]byte(sum[:16])
	var body struct {
		Data struct {
			Session    string `json:"session"`
			User       string `json:"user"`
			Generation int32  `json:"generation"`
		} `json:"data"`
	}
	if err := json.Unmarshal(in.Event, &body); err != nil {
		return e, fmt.Errorf("event %d: %w", in.Seq, err)
	}
	e.Session, e.User, e.Generation = body.Data.Session, body.Data.User, body.Data.Generation
	return e, nil
}
