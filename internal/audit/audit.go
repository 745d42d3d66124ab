// Package audit owns the offline check of an export of the log: whether it is what a signed checkpoint stands for, and if it is not,
// what is wrong and where. It asks nobody, and believes nothing but the key of the log.
package audit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"golang.org/x/mod/sumdb/note"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/merkle"
)

// Errors say what is wrong with a log. Their texts say where.
var (
	ErrOrder     = errors.New("reordered")    // sequences do not ascend: events were swapped, or are there twice
	ErrTruncated = errors.New("truncated")    // there are fewer leaves than the checkpoint has
	ErrRemoved   = errors.New("removed")      // leaves are missing
	ErrChanged   = errors.New("changed")      // the leaves are not those of the checkpoint
	ErrForked    = errors.New("forked")       // two checkpoints that the key has signed exclude each other
	ErrForeign   = errors.New("another log")  // something of another log or epoch
	ErrSigned    = errors.New("not signed")   // not by the key
	ErrMalformed = errors.New("malformed")    // not what it has to be
	ErrUnknown   = errors.New("not provable") // nothing is wrong as far as one can see, and something cannot be seen
)

// Log is what is checked.
type Log struct {
	Key        note.Verifier
	Export     io.Reader // NDJSON: pages of GET /events?sealed=true; nil: only the checkpoints are compared
	Checkpoint []byte    // what the export has to lead to
	Earlier    []byte    // a checkpoint that somebody remembers; nil: none
	Growth     []byte    // proof that the log has grown from Earlier to Checkpoint; nil: the export is
	Front      []byte    // compact range of the leaves before the export, in JSON; nil: it begins with the first leaf
	Hashes     []byte    // of all leaves, 32 bytes each, as the tiles of level 0 have them; nil: it is not said which leaf is wrong
}

// Result is what has been found to be right.
type Result struct {
	Leaves      uint64 // of the export
	Sealed      uint64 // of those, events that nobody may read
	First, Last uint64 // sequences of those that the checkpoint stands for; 0: there are none
	Size        uint64 // of the checkpoint
	Root        merkle.Hash
	Beyond      uint64 // leaves of the export that are newer than the checkpoint: nothing is known of them
}

// Check checks a log. The error wraps one of those above.
func Check(l Log) (Result, error) {
	head, err := open(l.Key, "checkpoint", l.Checkpoint)
	if err != nil {
		return Result{}, err
	}
	r := Result{Size: head.Size, Root: head.Root}
	var earlier *merkle.Checkpoint
	if l.Earlier != nil {
		c, err := open(l.Key, "earlier checkpoint", l.Earlier)
		if err != nil {
			return r, err
		}
		if earlier = &c; c.Size == head.Size && c.Root != head.Root {
			return r, fmt.Errorf("%w: two checkpoints of %d leaves have different roots, and the key has signed both", ErrForked, c.Size)
		}
		if c.Size > head.Size {
			return r, fmt.Errorf("%w: the checkpoint has %d leaves, the earlier one had %d; give them in the order in which they were made",
				ErrTruncated, head.Size, c.Size)
		}
	}
	proven := earlier == nil || earlier.Size == head.Size || earlier.Size == 0
	if earlier != nil && l.Growth != nil {
		if err := grown(l, *earlier, head); err != nil {
			return r, err
		}
		proven = true
	}
	if l.Export == nil {
		if !proven {
			return r, fmt.Errorf("%w: whether the log has only grown since the earlier checkpoint: give the export, or a consistency proof", ErrUnknown)
		}
		return r, nil
	}
	c := &checking{head: head, earlier: earlier, result: &r}
	if c.hashes, err = hashesOf(l.Hashes, head); err != nil {
		return r, err
	}
	if err := c.run(l); err != nil {
		return r, err
	}
	if !proven && !c.met {
		return r, fmt.Errorf("%w: the export begins behind the earlier checkpoint; a consistency proof from %d to %d leaves says whether the log has only grown",
			ErrUnknown, earlier.Size, head.Size)
	}
	return r, nil
}

// open returns the checkpoint in a note.
func open(key note.Verifier, what string, msg []byte) (merkle.Checkpoint, error) {
	c, err := merkle.OpenCheckpoint(msg, key)
	switch {
	case errors.Is(err, merkle.ErrOrigin):
		return c, fmt.Errorf("%w: %s: %w", ErrForeign, what, err)
	case errors.Is(err, merkle.ErrSignature):
		return c, fmt.Errorf("%w: %s: %w", ErrSigned, what, err)
	case err != nil:
		return c, fmt.Errorf("%w: %s: %w", ErrMalformed, what, err)
	}
	return c, nil
}

// grown checks a consistency proof.
func grown(l Log, earlier, head merkle.Checkpoint) error {
	p, err := merkle.ParseConsistency(l.Growth)
	if err != nil {
		return fmt.Errorf("%w: consistency proof: %w", ErrMalformed, err)
	}
	end, err := open(l.Key, "checkpoint of the consistency proof", p.Checkpoint)
	switch {
	case err != nil:
		return err
	case p.Old != earlier.Size || end.Size != head.Size:
		return fmt.Errorf("%w: the consistency proof goes from %d to %d leaves, the checkpoints have %d and %d",
			ErrMalformed, p.Old, end.Size, earlier.Size, head.Size)
	case end.Root != head.Root:
		return fmt.Errorf("%w: two checkpoints of %d leaves have different roots, and the key has signed both", ErrForked, end.Size)
	case !merkle.Extends(earlier.Size, earlier.Root, head.Size, head.Root, p.Path):
		return fmt.Errorf("%w: the consistency proof does not lead from the earlier checkpoint to this one", ErrForked)
	}
	return nil
}

// checking is one reading of an export.
type checking struct {
	head    merkle.Checkpoint
	earlier *merkle.Checkpoint
	result  *Result
	leaves  *merkle.Range
	hashes  []merkle.Hash // of all leaves of the checkpoint, which are right; nil: they are not known
	met     bool          // the earlier checkpoint was passed and is right
	split   string        // it was passed and is not: which leaves are others
	line    uint64
	seq     uint64 // of the line before
}

// maxLine is longer than any line of an export: an event, and names.
const maxLine = 1 << 20

func (c *checking) run(l Log) error {
	var err error
	if c.leaves, err = front(l.Front); err != nil {
		return err
	}
	c.pass()
	s := bufio.NewScanner(l.Export)
	s.Buffer(make([]byte, 0, 64<<10), maxLine)
	for s.Scan() {
		c.line++
		if len(bytes.TrimSpace(s.Bytes())) == 0 {
			continue
		}
		if err := c.take(s.Bytes()); err != nil {
			return err
		}
	}
	if err := s.Err(); err != nil {
		return fmt.Errorf("%w: line %d: %w", ErrMalformed, c.line+1, err)
	}
	return c.end()
}

// front returns the leaves before the export.
func front(text []byte) (*merkle.Range, error) {
	if text == nil {
		return &merkle.Range{}, nil
	}
	var f struct {
		Size   uint64        `json:"size"`
		Hashes []merkle.Hash `json:"hashes"`
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, fmt.Errorf("%w: front: %w", ErrMalformed, err)
	}
	r, ok := merkle.NewRange(f.Size, f.Hashes)
	if !ok {
		return nil, fmt.Errorf("%w: front: %d leaves have another number of hashes", ErrMalformed, f.Size)
	}
	return r, nil
}

// take adds the leaf of a line.
func (c *checking) take(line []byte) error {
	l, err := events.LeafOf(line)
	if err != nil {
		return fmt.Errorf("%w: line %d: %w", ErrMalformed, c.line, err)
	}
	r := c.result
	if r.Leaves > 0 && l.Seq <= c.seq {
		return fmt.Errorf("%w: line %d has sequence %d, and the line before it %d", ErrOrder, c.line, l.Seq, c.seq)
	}
	r.Leaves++
	c.seq = l.Seq
	if c.leaves.Size() >= c.head.Size {
		r.Beyond++
		return nil
	}
	if r.Leaves == 1 {
		r.First = l.Seq
	}
	r.Last = l.Seq
	if l.Sealed {
		r.Sealed++
	}
	leaf := merkle.LeafHash(append([]byte{0}, l.Leaf...))
	if index := c.leaves.Size(); c.hashes != nil && c.hashes[index] != leaf {
		return c.wrong(index, leaf, l.Seq)
	}
	c.leaves.Append(leaf)
	c.pass()
	return nil
}

// wrong says what is wrong with a leaf that is not the one with this index.
func (c *checking) wrong(index uint64, leaf merkle.Hash, seq uint64) error {
	if ahead := slices.Index(c.hashes[index:], leaf); ahead > 0 {
		return fmt.Errorf("%w: %d leaves before sequence %d (line %d), from leaf %d on", ErrRemoved, ahead, seq, c.line, index)
	}
	return fmt.Errorf("%w: leaf %d, which has sequence %d in the export (line %d)", ErrChanged, index, seq, c.line)
}

// hashesOf returns the hashes of leaves, which have to be those of the checkpoint.
func hashesOf(raw []byte, head merkle.Checkpoint) ([]merkle.Hash, error) {
	if raw == nil {
		return nil, nil
	}
	const size = len(merkle.Hash{})
	if len(raw)%size != 0 || uint64(len(raw)/size) != head.Size {
		return nil, fmt.Errorf("%w: hashes: %d bytes, a checkpoint of %d leaves has %d for each", ErrMalformed, len(raw), head.Size, size)
	}
	var all merkle.Range
	hashes := make([]merkle.Hash, 0, head.Size)
	for ; len(raw) > 0; raw = raw[size:] {
		hashes = append(hashes, merkle.Hash(raw[:size]))
		all.Append(hashes[len(hashes)-1])
	}
	if all.Root() != head.Root {
		return nil, fmt.Errorf("%w: hashes: they are not those of the checkpoint", ErrMalformed)
	}
	return hashes, nil
}

// pass compares the tree with the earlier checkpoint when it is as large. What a difference means is known at the end.
func (c *checking) pass() {
	if c.earlier == nil || c.met || c.split != "" || c.leaves.Size() != c.earlier.Size {
		return
	}
	if c.met = c.leaves.Root() == c.earlier.Root; !c.met {
		c.split = fmt.Sprintf("the first %d leaves, up to sequence %d", c.earlier.Size, c.result.Last)
	}
}

// end compares the tree with the checkpoint.
func (c *checking) end() error {
	have, want := c.leaves.Size(), c.head.Size
	switch {
	case have > want:
		return fmt.Errorf("%w: the front has %d leaves, the checkpoint %d", ErrMalformed, have, want)
	case have < want && c.hashes != nil:
		return fmt.Errorf("%w: the export ends with sequence %d; the last %d of %d leaves are missing", ErrTruncated, c.result.Last, want-have, want)
	case have < want:
		return fmt.Errorf("%w: %d of %d leaves are missing, at the end or before sequence %d",
			ErrTruncated, want-have, want, c.result.Last)
	case c.leaves.Root() == c.head.Root && c.split != "":
		return fmt.Errorf("%w: the export leads to the checkpoint, and %s, are not those of the earlier one, which the key has signed as well",
			ErrForked, c.split)
	case c.leaves.Root() == c.head.Root && c.result.Beyond > 0 && c.result.Beyond == c.result.Leaves:
		return fmt.Errorf("%w: all of the export is newer than the checkpoint", ErrUnknown)
	case c.leaves.Root() == c.head.Root:
	case c.split != "":
		return fmt.Errorf("%w: among %s: they are not those of the earlier checkpoint", ErrChanged, c.split)
	case c.met:
		return fmt.Errorf("%w: the leaves behind the first %d, which are those of the earlier checkpoint, are not those of this one; "+
			"either they are not the log's, or the log has forked there", ErrChanged, c.earlier.Size)
	default:
		return fmt.Errorf("%w: the leaves are not those of the checkpoint", ErrChanged)
	}
	return nil
}
