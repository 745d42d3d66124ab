package audit

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/merkle"
)

// Inclusion is what a proof says that an event is in the log.
type Inclusion struct {
	Event []byte // the leaf
	Line  events.Line
	Index uint64
	Size  uint64 // of the tree that it is in
	Leaf  merkle.Hash
}

// CheckProof checks that an event is in the log, by a c2sp.org/tlog-proof@v1. event is the event as somebody has it, a line of GET
// /events; nil: as the proof has it. The error wraps one of those above.
func CheckProof(key note.Verifier, proof, event []byte) (Inclusion, error) {
	p, err := merkle.ParseProof(proof)
	if err != nil {
		return Inclusion{}, fmt.Errorf("%w: proof: %w", ErrMalformed, err)
	}
	head, err := open(key, "checkpoint of the proof", p.Checkpoint)
	if err != nil {
		return Inclusion{}, err
	}
	if event == nil {
		event = p.Extra
	}
	if event == nil {
		return Inclusion{}, fmt.Errorf("%w: the log does not have the event any more, and the proof not either: give the event", ErrUnknown)
	}
	line, err := events.LeafOf(event)
	if err != nil {
		return Inclusion{}, fmt.Errorf("%w: event: %w", ErrMalformed, err)
	}
	i := Inclusion{Event: line.Leaf, Line: line, Index: p.Index, Size: head.Size, Leaf: merkle.LeafHash(append([]byte{0}, line.Leaf...))}
	if !merkle.Included(i.Leaf, p.Index, head.Size, head.Root, p.Path) {
		return i, fmt.Errorf("%w: the proof does not lead from the event, as leaf %d, to the checkpoint", ErrChanged, p.Index)
	}
	return i, nil
}

// Receipt is what a receipt says.
type Receipt struct {
	Inclusion
	Replicas []Replica
}

// Replica is how it is known of a replica that it does not decide without the event.
type Replica struct {
	Name, Incarnation, How string
}

// errStatement says that the statement of a receipt is none.
var errStatement = errors.New("its statement is none that this version knows")

// CheckReceipt checks a receipt: that its event is in the log and took effect, and that the key has signed of which replicas it is
// known that they follow it.
func CheckReceipt(key note.Verifier, proof, statement []byte) (Receipt, error) {
	text, err := merkle.OpenNote(statement, key)
	switch {
	case errors.Is(err, merkle.ErrSignature):
		return Receipt{}, fmt.Errorf("%w: statement of the receipt: %w", ErrSigned, err)
	case err != nil:
		return Receipt{}, fmt.Errorf("%w: statement of the receipt: %w", ErrMalformed, err)
	}
	i, err := CheckProof(key, proof, nil)
	if err != nil {
		return Receipt{}, err
	}
	r := Receipt{Inclusion: i}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	want := []string{"knell receipt v1", "log " + key.Name(), "sequence " + strconv.FormatUint(i.Line.Seq, 10),
		"index " + strconv.FormatUint(i.Index, 10), "leaf " + i.Leaf.String()}
	for n, w := range want {
		switch {
		case n >= len(lines) || n == 0 && lines[n] != w:
			return r, fmt.Errorf("%w: %w", ErrMalformed, errStatement)
		case lines[n] != w && n == 1:
			return r, fmt.Errorf("%w: the statement says %q, and it should be %q", ErrForeign, lines[n], w)
		case lines[n] != w:
			return r, fmt.Errorf("%w: the statement says %q, the proof %q", ErrChanged, lines[n], w)
		}
	}
	for _, line := range lines[len(want):] {
		words := strings.Split(line, " ")
		if len(words) != 4 || words[0] != "replica" || !known(words[3]) {
			return r, fmt.Errorf("%w: %w: %q", ErrMalformed, errStatement, line)
		}
		r.Replicas = append(r.Replicas, Replica{words[1], words[2], words[3]})
	}
	switch {
	case len(r.Replicas) == 0:
		return r, fmt.Errorf("%w: %w: no replica", ErrMalformed, errStatement)
	case i.Line.Void != "":
		return r, fmt.Errorf("%w: the event is void (%s): it changed nothing", ErrChanged, i.Line.Void)
	}
	return r, nil
}

// known reports whether a replica that stands so cannot decide without the event.
func known(how string) bool { return how == "applied" || how == "lease-ended" || how == "left" }
