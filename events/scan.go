package events

import (
	"math/bits"
	"unicode/utf8"
)

const (
	maxMembers = 48 // of an object that is read
	maxNesting = 16 // of values that are skipped
)

// A member is one "key":value of an object, by positions in the text: without pointers, so that noting it costs no more
// than that.
type member struct {
	key, keyEnd uint32 // without quotes
	val, valEnd uint32 // with quotes, brackets or braces
}

// An object is the members of one JSON object. Looking for them in the order in which they stand costs one compare each.
type object struct {
	text    []byte
	members [maxMembers]member
	n       int
	next    int    // index after the member found last
	kinds   uint64 // one bit for each kind of key that is there: most keys are proven new or absent without a compare
}

// kindOf returns the bit of a key.
func kindOf[T string | []byte](key T) uint64 {
	kind := len(key) * 7
	if len(key) >= 2 {
		kind += int(key[0]) + int(key[1])<<1
	}
	return 1 << (kind & 63)
}

func (o *object) key(i int) []byte {
	m := &o.members[i]
	return o.text[m.key:m.keyEnd]
}

// find returns the value of a member, or nil.
func (o *object) find(name string) []byte {
	i := o.next
	if i >= o.n || string(o.key(i)) != name {
		if o.kinds&kindOf(name) == 0 {
			return nil
		}
		for i = 0; i < o.n && string(o.key(i)) != name; i++ {
		}
		if i == o.n {
			return nil
		}
	}
	o.next = i + 1
	m := &o.members[i]
	return o.text[m.val:m.valEnd]
}

// A scanner reads JSON text (RFC 8259) strictly: what it accepts is valid JSON. In the objects that it takes apart, no key
// is there twice and none is written with escapes, so that no two readers can see different values. All methods return the
// position after what they read, or -1.
type scanner struct {
	text    []byte
	why     string // what is wrong, once a method has returned -1
	escaped bool   // set by string when there is an escape in what it reads
}

func (s *scanner) fail(why string) int {
	if s.why == "" {
		s.why = why
	}
	return -1
}

// at returns the byte at i, or 0 at the end; a NUL is never valid between tokens.
func (s *scanner) at(i int) byte {
	if uint(i) < uint(len(s.text)) {
		return s.text[i]
	}
	return 0
}

// blank returns the position of the next token. Small, to be inlined: mostly there is nothing to skip.
func (s *scanner) blank(i int) int {
	if uint(i) < uint(len(s.text)) && s.text[i] > ' ' {
		return i
	}
	return s.skipBlank(i)
}

func (s *scanner) skipBlank(i int) int {
	for i < len(s.text) {
		switch s.text[i] {
		case ' ', '\t', '\r', '\n':
			i++
		default:
			return i
		}
	}
	return i
}

// object reads an object into o. The value of a member "data" is read into data as well, if that is not nil and the value
// is an object; isData then says so.
func (s *scanner) object(i int, o, data *object) (end int, isData bool) {
	o.text, o.n, o.next, o.kinds = s.text, 0, 0, 0
	if s.at(i) != '{' {
		return s.fail("not an object"), false
	}
	i = s.blank(i + 1)
	if s.at(i) == '}' {
		return i + 1, false
	}
	for {
		start := i
		s.escaped = false
		if i = s.string(i); i < 0 {
			return -1, isData
		}
		key, keyEnd := start+1, i-1
		if s.escaped {
			return s.fail("a key with escapes"), isData
		}
		if !s.newKey(o, s.text[key:keyEnd]) {
			return -1, isData
		}
		if i = s.blank(i); s.at(i) != ':' {
			return s.fail("no colon after a key"), isData
		}
		i = s.blank(i + 1)
		start = i
		if data != nil && string(s.text[key:keyEnd]) == "data" && s.at(i) == '{' {
			isData = true
			i, _ = s.object(i, data, nil)
		} else {
			i = s.value(i, 0)
		}
		if i < 0 {
			return -1, isData
		}
		o.members[o.n] = member{uint32(key), uint32(keyEnd), uint32(start), uint32(i)}
		o.n++
		i = s.blank(i)
		switch s.at(i) {
		case ',':
			i = s.blank(i + 1)
		case '}':
			return i + 1, isData
		default:
			return s.fail("no comma between members"), isData
		}
	}
}

// newKey reports whether o can get another member with this key.
func (s *scanner) newKey(o *object, key []byte) bool {
	if o.n == maxMembers {
		s.fail("too many members")
		return false
	}
	kind := kindOf(key)
	if o.kinds&kind != 0 {
		for i := range o.n {
			if string(o.key(i)) == string(key) {
				s.fail("duplicate member " + string(key))
				return false
			}
		}
	}
	o.kinds |= kind
	return true
}

// value reads any value.
func (s *scanner) value(i, depth int) int {
	switch c := s.at(i); {
	case c == '"':
		return s.string(i)
	case c == '-' || c >= '0' && c <= '9':
		return s.number(i)
	case c == 't':
		return s.word(i, "true")
	case c == 'f':
		return s.word(i, "false")
	case c == 'n':
		return s.word(i, "null")
	case (c == '{' || c == '[') && depth < maxNesting:
		return s.nested(i, depth+1, c+2) // '}' and ']' are two after their partners
	case c == '{' || c == '[':
		return s.fail("nested too deeply")
	}
	return s.fail("no value where one is due")
}

// nested reads an array, or an object that nobody asks for.
func (s *scanner) nested(i, depth int, closing byte) int {
	i = s.blank(i + 1)
	if s.at(i) == closing {
		return i + 1
	}
	for {
		if closing == '}' {
			if i = s.string(i); i < 0 {
				return -1
			}
			if i = s.blank(i); s.at(i) != ':' {
				return s.fail("no colon after a key")
			}
			i = s.blank(i + 1)
		}
		if i = s.value(i, depth); i < 0 {
			return -1
		}
		i = s.blank(i)
		switch s.at(i) {
		case ',':
			i = s.blank(i + 1)
		case closing:
			return i + 1
		default:
			return s.fail("no comma between values")
		}
	}
}

func (s *scanner) word(i int, w string) int {
	if end := i + len(w); end <= len(s.text) && string(s.text[i:end]) == w {
		return end
	}
	return s.fail("no value where one is due")
}

func (s *scanner) number(i int) int {
	if s.at(i) == '-' {
		i++
	}
	if s.at(i) == '0' {
		i++
	} else if i = s.digits(i); i < 0 {
		return -1
	}
	if s.at(i) == '.' {
		if i = s.digits(i + 1); i < 0 {
			return -1
		}
	}
	if c := s.at(i); c == 'e' || c == 'E' {
		i++
		if c := s.at(i); c == '+' || c == '-' {
			i++
		}
		return s.digits(i)
	}
	return i
}

func (s *scanner) digits(i int) int {
	start := i
	for s.at(i)-'0' < 10 {
		i++
	}
	if i == start {
		return s.fail("a bad number")
	}
	return i
}

// string reads a string. Its bytes are valid UTF-8, but a \u escape in it may still be half of a surrogate pair.
func (s *scanner) string(i int) int {
	if s.at(i) != '"' {
		return s.fail("no string where one is due")
	}
	i++
	for {
		i += plainRun(s.text[i:])
		if i >= len(s.text) {
			return s.fail("cut off")
		}
		switch c := s.text[i]; {
		case c == '"':
			return i + 1
		case c == '\\':
			s.escaped = true
			if i = s.escape(i + 1); i < 0 {
				return -1
			}
		case c < ' ':
			return s.fail("a control character in a string")
		default:
			r, size := utf8.DecodeRune(s.text[i:])
			if r == utf8.RuneError && size == 1 {
				return s.fail("invalid UTF-8")
			}
			i += size
		}
	}
}

// escape reads what follows a backslash.
func (s *scanner) escape(i int) int {
	switch s.at(i) {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1
	case 'u':
		if _, ok := hex4(s.text[i+1:]); ok {
			return i + 5
		}
	}
	return s.fail("a bad escape")
}

// hex4 returns the value of four hexadecimal digits.
func hex4(b []byte) (rune, bool) {
	if len(b) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// plainRun returns how many bytes at the start of b stand for themselves in a JSON string and are ASCII. It tests eight
// at a time (Mycroft's and Lamport's "has a byte less than" and "has a zero byte"): borrows can only make a later byte
// look special, and the first one counts.
func plainRun[T string | []byte](b T) int {
	const (
		ones  = 0x0101010101010101
		highs = 0x8080808080808080
	)
	i := 0
	for ; i+8 <= len(b); i += 8 {
		w := load8(b, i)
		quote, slash := w^(ones*'"'), w^(ones*'\\')
		special := (w - ones*' ') | (quote - ones) | (slash - ones) | w
		if special &= highs; special != 0 {
			// A byte above 0x7f is special itself, so the terms that usually mask such bytes out are not needed.
			return i + bits.TrailingZeros64(special)/8
		}
	}
	for ; i < len(b); i++ {
		if c := b[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			break
		}
	}
	return i
}

// load8 returns the eight bytes of b at i, the first one lowest. The compiler makes one load of it.
func load8[T string | []byte](b T, i int) uint64 {
	b = b[i : i+8]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}
