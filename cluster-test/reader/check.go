package reader

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
)

// Notes returns what readers wrote into a file, one after the other.
func Notes(file string) ([]Note, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var notes []Note
	for line := range bytes.Lines(text) {
		var n Note
		if err := json.Unmarshal(line, &n); err != nil {
			return nil, fmt.Errorf("%s: %q: %w", file, line, err)
		}
		notes = append(notes, n)
	}
	return notes, nil
}

// Check returns what is wrong with notes: they have to be the events, without a gap, in their order; some may be there again, with the
// same sequences and ids. Of what comes after the last of the events nothing is said. again is how many were there again.
func Check(notes, events []Note) (again int, err error) {
	if len(events) == 0 {
		return 0, errors.New("there are no events to compare with")
	}
	known := map[uint64]string{}
	for _, e := range events {
		known[e.Seq] = e.ID
	}
	next, end := 0, events[len(events)-1].Seq
	for i, n := range notes {
		switch {
		case n.Seq > end && next == len(events):
		case known[n.Seq] != n.ID:
			return again, fmt.Errorf("note %d: event %d is %s, in the log it is %q", i, n.Seq, n.ID, known[n.Seq])
		case next < len(events) && n.Seq == events[next].Seq:
			next++
		case next < len(events) && n.Seq > events[next].Seq:
			return again, fmt.Errorf("note %d: event %d comes where %d is next", i, n.Seq, events[next].Seq)
		default:
			again++
		}
	}
	if next < len(events) {
		return again, fmt.Errorf("event %d and what follows it, %d of %d, never came", events[next].Seq, len(events)-next, len(events))
	}
	return again, nil
}
