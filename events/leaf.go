package events

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
)

// MaxLeaf is the greatest length of a leaf, in bytes: what an entry of C2SP tlog-tiles can have.
const MaxLeaf = 1<<16 - 1

// SaltSize is the length of the salt of a sealed leaf.
const SaltSize = sha256.Size

// Names of the members of leaves that stand for a text and do not show it.
const (
	leafDigest = "digest" // SHA-256 of a text that is too long for a leaf
	leafSealed = "sealed" // SHA-256 of a salt and a text that nobody may read
)

// Durable reports whether a message is a leaf of the log's Merkle tree: what is on the subjects of events and of secrets is. What
// replicas say about themselves is not.
func Durable(subject string) bool { return AccessTo(subject) != Internal }

// Shown reports whether the leaf of a message has its text, which consumers may read; that of any other one is sealed.
func Shown(subject string, t Type) bool {
	f := Facts{Type: []byte(t)}
	return AccessTo(subject) == Public && f.Public()
}

// AppendLeaf appends the leaf of a public event: the event as readers get it, less names. void as in Notes. A leaf that would be
// longer than MaxLeaf has a hash of itself in place of the event.
func AppendLeaf(buf []byte, seq uint64, void string, data []byte) []byte {
	from := len(buf)
	buf = AppendNotes(buf, &Notes{Seq: seq, Void: void})
	return shorten(append(buf, OneLine(data)[1:]...), from, seq, void)
}

// shorten replaces what stands behind from, if it is too long for a leaf.
func shorten(buf []byte, from int, seq uint64, void string) []byte {
	if len(buf)-from <= MaxLeaf {
		return buf
	}
	sum := sha256.Sum256(buf[from:])
	return appendHashed(buf[:from], seq, void, leafDigest, sum)
}

// AppendSealed appends the leaf of an event that nobody but the replicas may read: the SHA-256 of the salt, which has SaltSize
// bytes, and the event.
func AppendSealed(buf []byte, seq uint64, void string, salt, data []byte) []byte {
	h := sha256.New()
	h.Write(salt)
	h.Write(data)
	return appendHashed(buf, seq, void, leafSealed, [sha256.Size]byte(h.Sum(nil)))
}

func appendHashed(buf []byte, seq uint64, void, name string, sum [sha256.Size]byte) []byte {
	buf = AppendNotes(buf, &Notes{Seq: seq, Void: void})
	buf = append(append(append(buf, '"'), name...), `":"`...)
	return append(hex.AppendEncode(buf, sum[:]), `"}`...)
}

// A Line is what one line of an export says of the log's Merkle tree.
type Line struct {
	Seq    uint64
	Void   string
	Sealed bool   // nobody may read the event
	Leaf   []byte // a part of the line, or a copy
}

// LeafOf returns the leaf that a line of GET /events stands for: the line without the names that were added to it when it was
// read. The line has no line break. ErrMalformed: it does not begin as those do.
func LeafOf(line []byte) (Line, error) {
	var l Line
	rest, ok := bytes.CutPrefix(line, []byte(`{"sequence":"`))
	if !ok || len(rest) < sequenceDigits+1 || rest[sequenceDigits] != '"' {
		return l, fmt.Errorf("%w: it does not begin with a sequence", ErrMalformed)
	}
	var err error
	if l.Seq, err = strconv.ParseUint(string(rest[:sequenceDigits]), 10, 64); err != nil {
		return l, fmt.Errorf("%w: sequence", ErrMalformed)
	}
	rest = rest[sequenceDigits+1:]
	head := line[:len(line)-len(rest)]
	s := scanner{text: line}
	named := false
	for _, name := range []string{`,"void":`, `,"username":`, `,"actorname":`} {
		at := len(line) - len(rest) + len(name)
		if !bytes.HasPrefix(rest, []byte(name+`"`)) {
			continue
		}
		end := s.string(at)
		if end < 0 {
			return l, fmt.Errorf("%w: %s", ErrMalformed, s.why)
		}
		if name == `,"void":` {
			l.Void, _ = unquote(line[at:end])
			head = line[:end]
		} else {
			named = true
		}
		rest = line[end:]
	}
	l.Sealed = bytes.HasPrefix(rest, []byte(`,"`+leafSealed+`":`))
	if l.Leaf = line; named || len(line) > MaxLeaf {
		l.Leaf = shorten(append(bytes.Clone(head), rest...), 0, l.Seq, l.Void)
	}
	return l, nil
}
