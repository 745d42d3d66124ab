package events

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxReason is the greatest length of a reason, in bytes. Encode cuts a longer one: whoever takes one in refuses it.
const MaxReason = 256

// Greatest lengths of other client text, in bytes.
const (
	maxAddress   = 64
	maxUserAgent = 256
	maxRequestID = 64
)

// ValidTraceParent reports whether s is a traceparent of version 00 (W3C Trace Context section 3.2). Others are not written down.
func ValidTraceParent(s string) bool {
	if len(s) != 55 || s[:3] != "00-" || s[35] != '-' || s[52] != '-' {
		return false
	}
	for i := 3; i < len(s); i++ {
		if c := s[i]; i != 35 && i != 52 && (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	const none = "00000000000000000000000000000000"
	return s[3:35] != none && s[36:52] != none[:16]
}

// clean returns client text as the log may hold it: at most limit bytes, ending at a rune border, with U+FFFD in place of
// control characters and of what is not UTF-8. What is clean already is returned as it is.
func clean(s string, limit int) string {
	if len(s) <= limit && isClean(s) {
		return s
	}
	var b strings.Builder
	for _, r := range s { // gives U+FFFD for a byte that is not UTF-8
		if unicode.IsControl(r) {
			r = utf8.RuneError
		}
		if b.Len()+utf8.RuneLen(r) > limit {
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}

func isClean(s string) bool {
	if n := plainRun(s); n < len(s) {
		for i, r := range s[n:] {
			// U+FFFD itself is three bytes long.
			if unicode.IsControl(r) || r == utf8.RuneError && !strings.HasPrefix(s[n+i:], "\ufffd") {
				return false
			}
		}
		s = s[:n]
	}
	return strings.IndexByte(s, 0x7f) < 0
}

const hexDigits = "0123456789abcdef"

// appendString appends s as a JSON string; ok is false if s is not UTF-8.
func appendString(b []byte, s string) (_ []byte, ok bool) {
	b = append(b, '"')
	for {
		n := plainRun(s)
		b = append(b, s[:n]...)
		if n == len(s) {
			return append(b, '"'), true
		}
		s = s[n:]
		if c := s[0]; c < utf8.RuneSelf {
			b = appendEscape(b, c)
			s = s[1:]
			continue
		}
		r, size := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && size == 1 {
			return b, false
		}
		b = append(b, s[:size]...)
		s = s[size:]
	}
}

func appendEscape(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	}
	return append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}

// unquote returns what a JSON string stands for. text has been read by scanner.string. ok is false for half a surrogate
// pair, which stands for nothing.
func unquote(text []byte) (_ string, ok bool) {
	text = text[1 : len(text)-1]
	n := bytes.IndexByte(text, '\\')
	if n < 0 {
		return string(text), true
	}
	b := append(make([]byte, 0, len(text)), text[:n]...)
	for i := n; i < len(text); {
		if text[i] != '\\' {
			b = append(b, text[i])
			i++
			continue
		}
		c := text[i+1]
		i += 2
		switch c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			r, _ := hex4(text[i:])
			i += 4
			if utf16.IsSurrogate(r) {
				var low rune
				if i+6 <= len(text) && text[i] == '\\' && text[i+1] == 'u' {
					low, _ = hex4(text[i+2:])
				}
				if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
					return "", false
				}
				i += 6
			}
			b = utf8.AppendRune(b, r)
			continue
		}
		b = append(b, c)
	}
	return string(b), true
}
