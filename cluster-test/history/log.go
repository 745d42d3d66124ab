package history

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
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

// Log is the log as one replica has it.
type Log struct {
	Replica int8
	// After is the sequence behind which it was read: 0, its beginning, unless it was trimmed. Then Before has the public events up to
	// there, as a reader got them while the log had them.
	After  uint64
	Before []Event
	Events []Event // without those that hold secrets
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
		After    uint64 `json:"after"`
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
			l.Last, l.Digest, l.Applied, l.Withheld, l.After = end.Seq, end.Digest, end.Applied, end.Withheld, end.After
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
		Data about `json:"data"`
	}
	if err := json.Unmarshal(in.Event, &body); err != nil {
		return e, fmt.Errorf("event %d: %w", in.Seq, err)
	}
	body.Data.note(&e)
	return e, nil
}

// about is what an event says that it is about.
type about struct {
	Session    string `json:"session"`
	User       string `json:"user"`
	Generation int32  `json:"generation"`
}

func (a *about) note(e *Event) { e.Session, e.User, e.Generation = a.Session, a.User, a.Generation }

// ReadPage reads what a replica has answered on GET /events, as NDJSON. Sums are zero: such a reader is told more than an event's bytes.
func ReadPage(r io.Reader) ([]Event, error) {
	var events []Event
	for dec := json.NewDecoder(r); ; {
		var in struct {
			Sequence, ID, Type, Void string
			Data                     about
		}
		if err := dec.Decode(&in); errors.Is(err, io.EOF) {
			return events, nil
		} else if err != nil {
			return nil, fmt.Errorf("history: line %d of a page: %w", len(events)+1, err)
		}
		seq, err := strconv.ParseUint(in.Sequence, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("history: line %d of a page: sequence: %w", len(events)+1, err)
		}
		e := Event{Seq: seq, ID: in.ID, Type: strings.TrimPrefix(in.Type, typePrefix), Void: in.Void}
		in.Data.note(&e)
		events = append(events, e)
	}
}
