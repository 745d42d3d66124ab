package history

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// line is one line of a history file: an operation, or a fault when Fault is set. Times are nanoseconds.
type line struct {
	Fault     string `json:"fault,omitempty"`
	Op        string `json:"op,omitempty"`
	Replica   int8   `json:"replica"`
	Session   int32  `json:"session,omitempty"`
	Gen       int32  `json:"gen,omitempty"`
	Outcome   string `json:"outcome,omitempty"`
	Status    int16  `json:"status,omitempty"`
	Start     int64  `json:"start"`
	End       int64  `json:"end,omitempty"`
	Successor uint64 `json:"successor,omitempty"`
	SID       string `json:"sid,omitempty"`
	Expires   int64  `json:"expires,omitempty"`
}

// Write writes h as NDJSON: the faults, then the operations in order of their start.
func (h *History) Write(w io.Writer) error {
	b := bufio.NewWriterSize(w, 1<<16)
	enc := json.NewEncoder(b)
	for _, f := range h.Faults {
		if err := enc.Encode(line{Fault: f.Name, Replica: f.Replica, Start: int64(f.Start), End: int64(f.End)}); err != nil {
			return err
		}
	}
	for _, op := range h.Ops {
		err := enc.Encode(line{
			Op: op.Kind.String(), Replica: op.Replica, Session: op.Session, Gen: op.Gen, Outcome: op.Outcome.String(),
			Status: op.Status, Start: int64(op.Start), End: int64(op.End), Successor: op.Successor, Expires: int64(op.Expires),
			SID: op.SID,
		})
		if err != nil {
			return err
		}
	}
	return b.Flush()
}

// Read returns the history that Write wrote.
func Read(r io.Reader) (*History, error) {
	h := &History{}
	dec := json.NewDecoder(bufio.NewReaderSize(r, 1<<16))
	for n := 1; ; n++ {
		var l line
		if err := dec.Decode(&l); errors.Is(err, io.EOF) {
			return h, nil
		} else if err != nil {
			return nil, fmt.Errorf("history: entry %d: %w", n, err)
		}
		if l.Fault != "" {
			h.Faults = append(h.Faults, Fault{
				Name: l.Fault, Replica: l.Replica, Start: time.Duration(l.Start), End: time.Duration(l.End),
			})
			continue
		}
		kind, outcome := slices.Index(kindNames[:], l.Op), slices.Index(outcomeNames[:], l.Outcome)
		if kind < 1 || outcome < 0 {
			return nil, fmt.Errorf("history: entry %d: operation %q, outcome %q", n, l.Op, l.Outcome)
		}
		h.Ops = append(h.Ops, Op{
			Kind: Kind(kind), Outcome: Outcome(outcome), Replica: l.Replica, Session: l.Session, Gen: l.Gen, Status: l.Status,
			Start: time.Duration(l.Start), End: time.Duration(l.End), Successor: l.Successor, Expires: time.Duration(l.Expires),
			SID: l.SID,
		})
	}
}
