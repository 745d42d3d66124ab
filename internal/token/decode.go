package token

import (
	"bytes"
	"strings"
	"unsafe"
)

// header is the content of a JOSE header.
type header struct{ alg, kid, typ string }

// parseHeader accepts "alg", "kid" and a "typ" that is typ, each once, and nothing else: "crit" would have to be understood, and "jwk",
// "jku", "x5u" and "x5c" let a token choose its own key (RFC 8725 section 3.10). The result points into b.
func parseHeader(b []byte, typ string) (header, error) {
	var h header
	s := scanner{in: b}
	s.object(func(name []byte) {
		var to *string
		switch string(name) {
		case "alg":
			to = &h.alg
		case "kid":
			to = &h.kid
		case "typ":
			to = &h.typ
		}
		if to == nil || *to != "" {
			s.fail()
			return
		}
		if *to = stringOf(s.plain()); *to == "" {
			s.fail()
		}
	})
	s.end()
	switch {
	case s.bad || h.alg == "" || h.kid == "":
		return header{}, malformed("header is not alg, kid and typ")
	case h.typ != typ:
		return header{}, malformed("typ is not that of an access token")
	}
	return h, nil
}

// member is a bit for each claim that this version knows.
type member uint32

const (
	memberIss member = 1 << iota
	memberSub
	memberAud
	memberClientID
	memberScope
	memberRoles
	memberExp
	memberIat
	memberNbf
	memberAuthTime
	memberJti
	memberSid
	memberEpoch
	memberStart
	memberSeq

	required = memberIss | memberSub | memberAud | memberClientID | memberExp | memberIat | memberJti | memberSid |
		memberEpoch | memberStart | memberSeq
)

func memberOf(name []byte) member {
	switch string(name) {
	case "iss":
		return memberIss
	case "sub":
		return memberSub
	case "aud":
		return memberAud
	case "client_id":
		return memberClientID
	case "scope":
		return memberScope
	case "roles":
		return memberRoles
	case "exp":
		return memberExp
	case "iat":
		return memberIat
	case "nbf":
		return memberNbf
	case "auth_time":
		return memberAuthTime
	case "jti":
		return memberJti
	case "sid":
		return memberSid
	case "epoch":
		return memberEpoch
	case "start_seq":
		return memberStart
	case "seq":
		return memberSeq
	}
	return 0
}

// span is a part of decoder.out.
type span struct{ from, to int }

// decoder collects the texts of all claims in out, one after the other, so that the result needs one string for all of
// them and nothing of the JSON around them stays in memory.
type decoder struct {
	scanner
	out                          []byte
	iss, sub, client, scope, jti span
	aud, roles                   span // each text ends with listEnd
	seen                         member
	unknown                      [][]byte
}

// listEnd stands behind each text of a list in decoder.out. No text contains it.
const listEnd = 0

// parseClaims decodes a payload whose signature is good. scratch is empty and may be written to. A member that this
// version does not know is skipped (RFC 7519 section 4): a newer replica may have added it.
func parseClaims(payload, scratch []byte) (*Claims, error) {
	d := decoder{scanner: scanner{in: payload}, out: scratch}
	c := &Claims{}
	d.object(func(name []byte) { d.member(c, name) })
	d.end()
	switch {
	case d.bad:
		return nil, malformed("claims are not as expected")
	case d.seen&required != required:
		return nil, malformed("a required claim is missing")
	}
	d.fill(c)
	if what := c.defect(); what != "" {
		return nil, malformed(what)
	}
	return c, nil
}

func (d *decoder) member(c *Claims, name []byte) {
	m := memberOf(name)
	if m == 0 {
		d.skipUnknown(name)
		return
	}
	if d.seen&m != 0 {
		d.fail()
		return
	}
	d.seen |= m
	switch m {
	case memberIss:
		d.iss = d.one()
	case memberSub:
		d.sub = d.one()
	case memberAud:
		d.aud = d.oneOrMany()
	case memberClientID:
		d.client = d.one()
	case memberScope:
		d.scope = d.one()
	case memberRoles:
		d.roles = d.many()
	case memberExp:
		c.Expires = int64(d.number(maxTime))
	case memberIat:
		c.IssuedAt = int64(d.number(maxTime))
	case memberNbf:
		c.NotBefore = int64(d.number(maxTime))
	case memberAuthTime:
		c.AuthTime = int64(d.number(maxTime))
	case memberJti:
		d.jti = d.one()
	case memberSid:
		c.Session = d.id()
	case memberEpoch:
		c.Epoch = d.id()
	case memberStart:
		c.Start = d.number(maxSeq)
	case memberSeq:
		c.Issued = d.number(maxSeq)
	}
}

func (d *decoder) skipUnknown(name []byte) {
	for _, u := range d.unknown {
		if bytes.Equal(u, name) {
			d.fail()
		}
	}
	if len(d.unknown) == maxUnknown {
		d.fail()
	}
	d.unknown = append(d.unknown, name)
	d.skip(maxDepth)
}

func (d *decoder) one() span {
	from := len(d.out)
	d.out = d.text(d.out)
	return span{from, len(d.out)}
}

// many reads an array of strings that is not empty.
func (d *decoder) many() span {
	from := len(d.out)
	d.want('[')
	for more := true; more && !d.bad; more = d.take(',') {
		d.out = append(d.text(d.out), listEnd)
	}
	d.want(']')
	return span{from, len(d.out)}
}

// oneOrMany reads what "aud" may be (RFC 7519 section 4.1.3).
func (d *decoder) oneOrMany() span {
	if d.peek() == '[' {
		return d.many()
	}
	s := d.one()
	d.out = append(d.out, listEnd)
	return span{s.from, len(d.out)}
}

// fill gives c its texts: one string for all, one slice for all lists.
func (d *decoder) fill(c *Claims) {
	all := string(d.out)
	at := func(s span) string { return all[s.from:s.to] }
	c.Issuer, c.Subject, c.ClientID, c.Scope, c.ID = at(d.iss), at(d.sub), at(d.client), at(d.scope), at(d.jti)
	aud, roles, scopes := at(d.aud), at(d.roles), c.Scope
	n := count(aud, listEnd) + count(roles, listEnd)
	if scopes != "" {
		n += count(scopes, ' ') + 1
	}
	list := make([]string, 0, n)
	list, c.Audience = cut(list, aud, listEnd)
	list, c.Roles = cut(list, roles, listEnd)
	_, c.Scopes = cut(list, scopes, ' ')
}

func count(s string, sep byte) int { return strings.Count(s, string(rune(sep))) }

// cut appends the texts of s to list and returns them alone as well. The last one may lack the separator.
func cut(list []string, s string, sep byte) (longer, part []string) {
	start := len(list)
	for s != "" {
		i := strings.IndexByte(s, sep)
		if i < 0 {
			list = append(list, s)
			break
		}
		list = append(list, s[:i])
		s = s[i+1:]
	}
	if len(list) > start {
		part = list[start:len(list):len(list)]
	}
	return list, part
}

// bytesOf returns the bytes of s without a copy. Nobody may write to them.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// stringOf returns b as a string without a copy. Nobody may write to b any more.
func stringOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
