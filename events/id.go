package events

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
)

// ID is a 128-bit identifier: of an event, a session, a user, an epoch or an incarnation. Its text is 26 characters of
// lower-case base32 (RFC 4648 section 6, no padding), so that it can stand in a NATS subject and in a URL as it is. The zero ID
// means "none".
type ID [16]byte

// idText is the length of an ID's text.
const idText = 26

// ErrBadID is returned by ParseID for text that no ID has.
var ErrBadID = errors.New("events: not an id")

// NewID returns a random ID. crypto/rand never fails in this Go version: it ends the process instead.
func NewID() ID {
	var id ID
	rand.Read(id[:])
	return id
}

// DeriveID returns the ID that every replica derives from the same domain and parts: SHA-256, cut to 128 bits, over
// length-prefixed parts.
func DeriveID(domain string, parts ...[]byte) ID {
	h := sha256.New()
	var n [8]byte
	for _, p := range append([][]byte{[]byte(domain)}, parts...) {
		binary.BigEndian.PutUint64(n[:], uint64(len(p)))
		h.Write(n[:])
		h.Write(p)
	}
	return ID(h.Sum(nil)[:16])
}

// ParseID returns the ID whose text is s. It accepts only the one text that String gives, so that an ID has no second
// spelling.
func ParseID(s string) (ID, error) {
	return parseID(s)
}

// parseID is ParseID for text in either form, so that decoding makes no string.
func parseID[T string | []byte](s T) (ID, error) {
	if len(s) != idText {
		return ID{}, ErrBadID
	}
	// Three groups of eight characters are five bytes each, and the last two characters are one: they hold ten bits, of
	// which two must be zero for the text to be canonical.
	var group [8]byte
	var id ID
	ok := true
	for i := range 3 {
		copy(group[:], s[8*i:])
		bits, valid := idBits(binary.BigEndian.Uint64(group[:]))
		ok = ok && valid
		binary.BigEndian.PutUint32(id[5*i:], uint32(bits>>8))
		id[5*i+4] = byte(bits)
	}
	group = [8]byte{'a', 'a', 'a', 'a', 'a', 'a', s[24], s[25]}
	bits, valid := idBits(binary.BigEndian.Uint64(group[:]))
	if !ok || !valid || bits&3 != 0 {
		return ID{}, ErrBadID
	}
	id[15] = byte(bits >> 2)
	return id, nil
}

// String returns the text of id.
func (id ID) String() string {
	t := id.text()
	return string(t[:idText])
}

// AppendText appends the text of id to b.
func (id ID) AppendText(b []byte) []byte {
	t := id.text()
	return append(b, t[:idText]...)
}

// text returns the text of id, and more that is not part of it.
func (id *ID) text() (t [32]byte) {
	for i := range 3 {
		bits := uint64(binary.BigEndian.Uint32(id[5*i:]))<<8 | uint64(id[5*i+4])
		binary.BigEndian.PutUint64(t[8*i:], idChars(bits))
	}
	binary.BigEndian.PutUint64(t[24:], idChars(uint64(id[15])<<32)) // its first two characters count
	return t
}

// The text is made and read eight characters at a time, each in one byte of a word: ids are most of what is written and
// read in an event.
const (
	everyByte = 0x0101010101010101
	highBits  = 0x80 * everyByte
)

// idChars returns the characters for 40 bits, the first one in the highest byte.
func idChars(bits uint64) uint64 {
	v := bits&0xfffff | bits>>20<<32
	v = v&0x000003ff_000003ff | v>>10&0x000003ff_000003ff<<16
	v = v&0x001f001f_001f001f | v>>5&0x001f001f_001f001f<<8
	digits := (v + (0x80-26)*everyByte) & highBits >> 7 // 1 where the value is that of a digit
	return v + 'a'*everyByte - digits*('a'+26-'2')
}

// idBits returns the 40 bits for eight characters, and whether all of them are in the alphabet.
func idBits(chars uint64) (bits uint64, ok bool) {
	c := chars &^ highBits
	letters := (c + (0x80-'a')*everyByte) &^ (c + (0x80-'z'-1)*everyByte) & highBits
	digits := (c + (0x80-'2')*everyByte) &^ (c + (0x80-'7'-1)*everyByte) & highBits
	if letters|digits != highBits || c != chars {
		return 0, false
	}
	v := c - letters>>7*'a' - digits>>7*('2'-26)
	v = v&0x001f001f_001f001f | v>>8&0x001f001f_001f001f<<5
	v = v&0x000003ff_000003ff | v>>16&0x000003ff_000003ff<<10
	return v&0xfffff | v>>32<<20, true
}

// IsZero reports whether id is the zero ID, which stands for "none".
func (id ID) IsZero() bool { return id == ID{} }
