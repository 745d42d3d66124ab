package node

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"unique"

	"github.com/knell-auth/knell/events"
)

// A snapshot is a state in bytes: equal states give equal bytes on every replica, so that its hash is the state's. It begins with
// its kind and format and ends with the SHA-256 of what comes before. Everything that follows from the rest is left out: indexes,
// live flags, lists, what is due when.
//
// One function for each type of record both writes and reads it (coder), so that the two cannot differ; and a test changes each
// field of each type and looks whether the bytes change.

// snapshotFormat is the format that this build writes. A build that makes other bytes of the same state has another one: replicas
// compare the hashes of one format only.
const snapshotFormat = 1

// snapshotKind stands before the format.
const snapshotKind = "knell state "

// errSnapshot says that bytes are no snapshot that this build can read.
var errSnapshot = errors.New("not a good snapshot")

// snapshotHash is the hash of a snapshot.
type snapshotHash [sha256.Size]byte

// encode returns the snapshot of s and its hash.
func (s *state) encode() ([]byte, snapshotHash, error) {
	const aSession, aUser, anID = 64, 256, 16
	c := coder{buf: make([]byte, 0, 1<<12+len(s.sessions)*aSession+len(s.users)*aUser+(len(s.seen.now)+len(s.seen.before))*anID+
		2*s.revoked.Len()*anID)}
	c.buf = append(c.buf, snapshotKind...)
	c.buf = append(c.buf, snapshotFormat)
	s.code(&c)
	if c.err != nil {
		return nil, snapshotHash{}, fmt.Errorf("snapshot at %d: %w", s.seq, c.err)
	}
	hash := snapshotHash(sha256.Sum256(c.buf))
	return append(c.buf, hash[:]...), hash, nil
}

// hashOf returns the hash of what looks like a whole snapshot, zero for anything else.
func hashOf(data []byte) (hash snapshotHash) {
	end := len(data) - len(hash)
	if end < 0 {
		return hash
	}
	if hash = sha256.Sum256(data[:end]); hash != snapshotHash(data[end:]) {
		return snapshotHash{}
	}
	return hash
}

// decode returns the state of a snapshot and its hash, or an error that wraps errSnapshot.
func decode(data []byte) (*state, snapshotHash, error) {
	var hash snapshotHash
	head := len(snapshotKind) + 1
	end := len(data) - len(hash)
	switch {
	case end < head || !bytes.HasPrefix(data, []byte(snapshotKind)):
		return nil, hash, fmt.Errorf("%w: it does not begin like one", errSnapshot)
	case data[head-1] != snapshotFormat:
		return nil, hash, fmt.Errorf("%w: format %d, and this version of knell reads %d", errSnapshot, data[head-1], snapshotFormat)
	}
	// First: what was damaged is not looked at any further.
	if hash = hashOf(data); hash == (snapshotHash{}) {
		return nil, hash, fmt.Errorf("%w: its hash is not the one that it says", errSnapshot)
	}
	s := newState()
	c := coder{reading: true, buf: data[head:end]}
	s.code(&c)
	switch {
	case c.err != nil:
		return nil, hash, fmt.Errorf("%w: %w", errSnapshot, c.err)
	case len(c.buf) > 0:
		return nil, hash, fmt.Errorf("%w: %d bytes too many", errSnapshot, len(c.buf))
	}
	return s, hash, nil
}

// coder writes or reads the fields of a state, in the order of the calls. After the first error the calls change nothing that
// counts.
type coder struct {
	reading bool
	buf     []byte // when reading: what is left
	err     error

	// What was taken before and is referred to.
	words         []unique.Handle[string]
	wordNumbers   map[unique.Handle[string]]uint64
	users         []*user
	userNumbers   map[*user]uint64
	clients       []*client
	clientNumbers map[*client]uint64
	flags         uint32 // live flags that were handed out
}

var errCut = errors.New("it is cut off, or damaged")

func (c *coder) fail(err error) {
	if c.err == nil {
		c.err = err
	}
	if c.reading {
		c.buf = nil
	}
}

func (c *coder) uint(v *uint64) {
	if !c.reading {
		c.buf = binary.AppendUvarint(c.buf, *v)
		return
	}
	if len(c.buf) > 0 && c.buf[0] < 0x80 {
		*v = uint64(c.buf[0])
		c.buf = c.buf[1:]
		return
	}
	x, n := binary.Uvarint(c.buf)
	if n <= 0 {
		c.fail(errCut)
		return
	}
	*v, c.buf = x, c.buf[n:]
}

func (c *coder) uint32(v *uint32) {
	x := uint64(*v)
	c.uint(&x)
	if x > math.MaxUint32 {
		c.fail(errCut)
	}
	*v = uint32(x)
}

// flag takes the index of a live flag. There is room for all of them up to the greatest.
func (c *coder) flag(v *uint32) {
	c.uint32(v)
	if c.reading && *v >= c.flags {
		c.fail(errCut)
	}
}

// int takes a number that may be negative.
func (c *coder) int(v *int64) { c.near(v, 0) }

// near takes a number that is not far from another one.
func (c *coder) near(v *int64, from int64) {
	d := *v - from // wraps around, and back again
	x := uint64(d)<<1 ^ uint64(d>>63)
	c.uint(&x)
	*v = from + (int64(x>>1) ^ -int64(x&1))
}

// after takes a sequence that is mostly a little greater than another one.
func (c *coder) after(v *uint64, from uint64) {
	d := int64(*v)
	c.near(&d, int64(from))
	*v = uint64(d)
}

func (c *coder) bool(v *bool) {
	var x uint64
	if *v {
		x = 1
	}
	c.uint(&x)
	*v = x != 0
}

// fixed takes bytes whose number is known.
func (c *coder) fixed(v []byte) {
	switch {
	case !c.reading:
		c.buf = append(c.buf, v...)
	case len(c.buf) < len(v):
		c.fail(errCut)
	default:
		copy(v, c.buf)
		c.buf = c.buf[len(v):]
	}
}

func (c *coder) id(v *events.ID) { c.fixed(v[:]) }

// bytes takes bytes; none are nil.
func (c *coder) bytes(v *[]byte) {
	n := c.count(len(*v))
	if c.reading {
		*v = nil
		if n > 0 {
			*v = make([]byte, n)
		}
	}
	c.fixed(*v)
}

func (c *coder) text(v *string) {
	n := c.count(len(*v))
	if !c.reading {
		c.buf = append(c.buf, *v...)
		return
	}
	*v = string(c.buf[:n])
	c.buf = c.buf[n:]
}

// list takes words; none are nil.
func (c *coder) list(v *[]string) {
	n := c.count(len(*v))
	if c.reading {
		*v = nil
		if n > 0 {
			*v = make([]string, n)
		}
	}
	for i := range *v {
		w := unique.Make((*v)[i])
		c.word(&w)
		(*v)[i] = w.Value()
	}
}

// count takes how many things follow, each of which has a byte at least.
func (c *coder) count(n int) int {
	x := uint64(n)
	c.uint(&x)
	if c.reading && x > uint64(len(c.buf)) {
		c.fail(errCut)
		return 0
	}
	return int(x)
}

// word takes a text that is there many times.
func (c *coder) word(v *unique.Handle[string]) {
	if c.reading {
		var n uint64
		if c.uint(&n); n > uint64(len(c.words)) {
			c.fail(errCut)
		}
		if n < uint64(len(c.words)) {
			*v = c.words[n]
			return
		}
		var text string
		c.text(&text)
		*v = unique.Make(text)
		c.words = append(c.words, *v)
		return
	}
	if c.wordNumbers == nil {
		c.wordNumbers = map[unique.Handle[string]]uint64{}
	}
	n, known := c.wordNumbers[*v]
	if known {
		c.uint(&n)
		return
	}
	n = uint64(len(c.wordNumbers))
	c.wordNumbers[*v] = n
	c.uint(&n)
	text := v.Value()
	c.text(&text)
}

// records takes a list of records, each by code, and returns it.
func records[R any](c *coder, list []*R, code func(*R)) []*R {
	n := c.count(len(list))
	if !c.reading {
		for _, r := range list {
			code(r)
		}
		return list
	}
	list = make([]*R, 0, min(n, 1<<20)) // whatever damage says
	for range n {
		r := new(R)
		if code(r); c.err != nil {
			break
		}
		list = append(list, r)
	}
	return list
}

// ref takes a reference to a record of a list, which has been taken before; nil is none.
func ref[R any](c *coder, list []*R, numbers map[*R]uint64, v **R) {
	if !c.reading {
		n := numbers[*v] // 0 for nil, and for what is not in the list
		c.uint(&n)
		return
	}
	var n uint64
	switch c.uint(&n); {
	case n > uint64(len(list)):
		c.fail(errCut)
	case n > 0:
		*v = list[n-1]
	}
}

// numbered returns the numbers of the records of a list, from 1 on.
func numbered[R any](list []*R) map[*R]uint64 {
	m := make(map[*R]uint64, len(list))
	for i, r := range list {
		m[r] = uint64(i) + 1
	}
	return m
}

// inOrder returns the values of a map, sorted.
func inOrder[K comparable, R any](m map[K]*R, order func(a, b *R) int) []*R {
	list := make([]*R, 0, len(m))
	for _, r := range m {
		list = append(list, r)
	}
	slices.SortFunc(list, order)
	return list
}
