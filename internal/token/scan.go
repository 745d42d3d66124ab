package token

import "unicode/utf8"

// scanner reads the JSON that this package writes, and what later versions may add to it: no white space, member names
// without escapes, nothing twice. It stops at the first defect; every method then returns zero values and bad stays set.
type scanner struct {
	in  []byte
	pos int
	bad bool
}

// Limits on what later versions may add.
const (
	maxDepth   = 8
	maxUnknown = 16
)

func (s *scanner) fail() { s.bad, s.pos = true, len(s.in) }

// peek returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	if s.pos < len(s.in) {
		return s.in[s.pos]
	}
	return 0
}

// take skips c and reports whether it was next.
func (s *scanner) take(c byte) bool {
	if s.peek() != c || s.pos >= len(s.in) {
		return false
	}
	s.pos++
	return true
}

func (s *scanner) want(c byte) {
	if !s.take(c) {
		s.fail()
	}
}

// object calls member for each member, positioned at its value, which member has to consume.
func (s *scanner) object(member func(name []byte)) {
	s.want('{')
	if s.take('}') {
		return
	}
	for !s.bad {
		name := s.plain()
		s.want(':')
		if s.bad {
			return
		}
		member(name)
		if s.take('}') {
			return
		}
		s.want(',')
	}
}

// plain reads a string of printable ASCII without escapes.
func (s *scanner) plain() []byte {
	s.want('"')
	for i := s.pos; i < len(s.in); i++ {
		switch c := s.in[i]; {
		case c == '"':
			v := s.in[s.pos:i:i]
			s.pos = i + 1
			return v
		case c == '\\' || c < ' ' || c > '~':
			s.fail()
			return nil
		}
	}
	s.fail()
	return nil
}

// text reads a string and appends it to out. Of JSON's escapes it takes the two that appendString writes.
func (s *scanner) text(out []byte) []byte {
	s.want('"')
	start := len(out)
	for s.pos < len(s.in) {
		c := s.in[s.pos]
		s.pos++
		if c == '"' {
			if !utf8.Valid(out[start:]) {
				s.fail()
			}
			return out
		}
		if c == '\\' {
			c = s.peek()
			s.pos++
			if c != '"' && c != '\\' {
				break
			}
		}
		if c < ' ' || c == 0x7f {
			break
		}
		out = append(out, c)
	}
	s.fail()
	return out
}

// number reads an integer from 0 to limit: digits, no leading zero, no fraction, no exponent.
func (s *scanner) number(limit uint64) uint64 {
	start := s.pos
	var v uint64
	for s.pos < len(s.in) && s.in[s.pos]-'0' <= 9 && s.pos-start < 19 {
		v = v*10 + uint64(s.in[s.pos]-'0')
		s.pos++
	}
	// What follows a number is the caller's to check: a 20th digit, '.' or 'e' is neither ',' nor '}'.
	if s.pos == start || s.in[start] == '0' && s.pos-start > 1 || v > limit {
		s.fail()
		return 0
	}
	return v
}

// id reads the text of a 128-bit id. Of the 130 bits in 26 characters the last two must be zero.
func (s *scanner) id() (id [16]byte) {
	text := s.plain()
	if s.bad || len(text) != 26 {
		s.fail()
		return id
	}
	var bits uint32
	have, n := 0, 0
	for _, c := range text {
		switch {
		case 'a' <= c && c <= 'z':
			c -= 'a'
		case '2' <= c && c <= '7':
			c -= '2' - 26
		default:
			s.fail()
			return id
		}
		bits = bits<<5 | uint32(c)
		have += 5
		if have >= 8 {
			have -= 8
			id[n] = byte(bits >> have)
			n++
		}
	}
	if bits&3 != 0 {
		s.fail()
	}
	return id
}

// skip consumes any value of a member that this version does not know.
func (s *scanner) skip(depth int) {
	switch c := s.peek(); {
	case depth == 0:
		s.fail()
	case c == '"':
		s.skipText()
	case c == '[':
		s.pos++
		if s.take(']') {
			return
		}
		for s.skip(depth - 1); s.take(','); {
			s.skip(depth - 1)
		}
		s.want(']')
	case c == '{':
		s.object(func([]byte) { s.skip(depth - 1) })
	case c == 't':
		s.word("true")
	case c == 'f':
		s.word("false")
	case c == 'n':
		s.word("null")
	default:
		s.number(1<<63 - 1)
	}
}

// skipText consumes a string with any of JSON's escapes but \u, which no version of this package writes.
func (s *scanner) skipText() {
	s.want('"')
	start := s.pos
	for s.pos < len(s.in) {
		c := s.in[s.pos]
		s.pos++
		switch {
		case c == '"':
			if !utf8.Valid(s.in[start : s.pos-1]) {
				s.fail()
			}
			return
		case c == '\\':
			switch s.peek() {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
				s.pos++
			default:
				s.fail()
			}
		case c < ' ':
			s.fail()
		}
	}
	s.fail()
}

func (s *scanner) word(w string) {
	if len(s.in)-s.pos < len(w) || string(s.in[s.pos:s.pos+len(w)]) != w {
		s.fail()
		return
	}
	s.pos += len(w)
}

// end fails unless everything was read.
func (s *scanner) end() {
	if s.pos != len(s.in) {
		s.fail()
	}
}
