package token

import (
	"encoding/base32"
	"strconv"
	"strings"
	"unicode/utf8"
)

// base32ID is the text of a 128-bit id: 26 characters, lower case.
var base32ID = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Bounds of numbers in a token. Times fit Entry.Expires; sequences stay exact in JSON readers that use doubles.
const (
	maxTime = 1<<32 - 1
	maxSeq  = 1<<53 - 1
)

// defect returns why c cannot be a token, "" if it can. Sign asks before it signs and Verify after it has decoded, so that
// both mean the same by a token.
func (c *Claims) defect() string {
	switch {
	case c.Issuer == "" || c.Subject == "" || c.ID == "":
		return "iss, sub and jti must not be empty"
	case len(c.Audience) == 0 || c.Audience[0] == "":
		return "aud must not be empty"
	case c.Expires <= 0 || c.Expires > maxTime || c.IssuedAt <= 0 || c.IssuedAt > maxTime:
		return "exp or iat out of range"
	case c.NotBefore < 0 || c.NotBefore > maxTime || c.AuthTime < 0 || c.AuthTime > maxTime:
		return "nbf or auth_time out of range"
	case c.Session == [16]byte{} || c.Epoch == [16]byte{}:
		return "sid and epoch must not be zero"
	case c.Start == 0 || c.Issued < c.Start || c.Issued > maxSeq:
		return "start_seq or seq out of range"
	case !isScope(c.Scope, c.Scopes):
		return "scope is not a list with single spaces"
	}
	for _, s := range []string{c.Issuer, c.Subject, c.ClientID, c.Scope, c.ID} {
		if !isText(s) {
			return "text has control characters or is not UTF-8"
		}
	}
	for _, list := range [][]string{c.Audience, c.Roles} {
		for _, s := range list {
			if s == "" || !isText(s) {
				return "list has an empty text or control characters"
			}
		}
	}
	return ""
}

// isText reports whether s is UTF-8 without control characters.
func isText(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return false
		}
	}
	return utf8.ValidString(s)
}

// isScope reports whether list is scope split at single spaces (RFC 6749 section 3.3).
func isScope(scope string, list []string) bool {
	rest := scope
	for i, s := range list {
		if s == "" || strings.Contains(s, " ") || !strings.HasPrefix(rest, s) {
			return false
		}
		rest = rest[len(s):]
		if i < len(list)-1 {
			if rest == "" || rest[0] != ' ' {
				return false
			}
			rest = rest[1:]
		}
	}
	return rest == ""
}

// appendJSON appends the one JSON text of c to b: no white space, members in a fixed order, absent ones left out.
func (c *Claims) appendJSON(b []byte) []byte {
	b = appendString(append(b, `{"iss":`...), c.Issuer)
	b = appendString(append(b, `,"sub":`...), c.Subject)
	b = append(b, `,"aud":`...)
	if len(c.Audience) == 1 {
		b = appendString(b, c.Audience[0])
	} else {
		b = appendList(b, c.Audience)
	}
	b = appendString(append(b, `,"client_id":`...), c.ClientID)
	if c.Scope != "" {
		b = appendString(append(b, `,"scope":`...), c.Scope)
	}
	if len(c.Roles) > 0 {
		b = appendList(append(b, `,"roles":`...), c.Roles)
	}
	b = strconv.AppendInt(append(b, `,"exp":`...), c.Expires, 10)
	b = strconv.AppendInt(append(b, `,"iat":`...), c.IssuedAt, 10)
	if c.NotBefore != 0 {
		b = strconv.AppendInt(append(b, `,"nbf":`...), c.NotBefore, 10)
	}
	if c.AuthTime != 0 {
		b = strconv.AppendInt(append(b, `,"auth_time":`...), c.AuthTime, 10)
	}
	b = appendString(append(b, `,"jti":`...), c.ID)
	b = base32ID.AppendEncode(append(b, `,"sid":"`...), c.Session[:])
	b = base32ID.AppendEncode(append(b, `","epoch":"`...), c.Epoch[:])
	b = strconv.AppendUint(append(b, `","start_seq":`...), c.Start, 10)
	b = strconv.AppendUint(append(b, `,"seq":`...), c.Issued, 10)
	return append(b, '}')
}

// appendString appends s, which isText, as a JSON string.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}

func appendList(b []byte, list []string) []byte {
	b = append(b, '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, s)
	}
	return append(b, ']')
}
