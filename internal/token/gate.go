package token

import (
	"slices"
	"strings"
)

// accessType is the only "typ" of an access token (RFC 9068 section 2.1).
const accessType = "at+jwt"

// Verifier is the gate for access tokens. Its zero value refuses every token. Safe for concurrent use once it is set up.
type Verifier struct {
	Issuer   string                // the only "iss"; "" refuses all
	Audience string                // must be in "aud"; "" refuses all
	Key      func(kid string) *Key // returns nil for a kid that it does not know; must not be nil
	MaxSkew  int64                 // seconds that "iat" and "nbf" may lie in the future; 0: DefaultSkew
}

// Verify returns what an access token says. now is the time by which it is judged, in Unix seconds. The order of checks is
// fixed: nothing of the payload is looked at before the signature is known to be good. The error is one of this package's,
// wrapped; a key whose ID is not the kid counts as unknown.
func (v *Verifier) Verify(token string, now int64) (*Claims, error) {
	c, err := v.VerifyExpired(token, now)
	if err == nil && c.Expires <= now {
		return nil, ErrExpired
	}
	return c, err
}

// VerifyExpired is Verify for a purpose that does not end with the token: it lets an expired one pass, and nothing else.
func (v *Verifier) VerifyExpired(token string, now int64) (*Claims, error) {
	p, key, err := v.authentic(token, accessType)
	if err != nil {
		return nil, err
	}
	c, err := parseClaims(p.payload, p.scratch)
	if err != nil {
		return nil, err
	}
	c.KeyID = key.id
	if err := v.judge(c, now); err != nil {
		return nil, err
	}
	return c, nil
}

// authentic returns the parts of a token of a type whose signature is good, and the key that it is good under. typ "" is for one
// whose header has none, which no token of ours is.
func (v *Verifier) authentic(token, typ string) (parts, *Key, error) {
	p, err := split(token)
	if err != nil {
		return parts{}, nil, err
	}
	h, err := parseHeader(p.header, typ)
	if err != nil {
		return parts{}, nil, err
	}
	var key *Key
	if v.Key != nil {
		key = v.Key(h.kid)
	}
	if key == nil || key.id != h.kid {
		return parts{}, nil, ErrUnknownKey
	}
	if h.alg != key.Algorithm() {
		return parts{}, nil, malformed("alg is not that of the key")
	}
	if err := key.method.Verify(p.signed, p.signature, key.public); err != nil {
		return parts{}, nil, ErrSignature
	}
	return p, key, nil
}

// judge checks what an authentic token says against what v asks for, but its expiry.
func (v *Verifier) judge(c *Claims, now int64) error {
	skew := v.MaxSkew
	if skew == 0 {
		skew = DefaultSkew
	}
	switch {
	case v.Issuer == "" || c.Issuer != v.Issuer:
		return ErrIssuer
	case v.Audience == "" || !slices.Contains(c.Audience, v.Audience):
		return ErrAudience
	case c.IssuedAt > now+skew || c.NotBefore > now+skew:
		return ErrNotYet
	}
	return nil
}

// parts is a token taken apart. The decoded parts and scratch share one allocation.
type parts struct {
	signed                     string // what the signature covers, still encoded
	header, payload, signature []byte
	scratch                    []byte // empty, with room for the payload
}

// split checks the outer form of a JWT in compact serialisation (RFC 7515 section 7.1).
func split(token string) (parts, error) {
	if len(token) > MaxSize {
		return parts{}, malformed("longer than 4096 bytes")
	}
	if strings.HasPrefix(token, RefreshPrefix) {
		return parts{}, malformed("a refresh token is no access token")
	}
	header, rest, ok1 := strings.Cut(token, ".")
	payload, signature, ok2 := strings.Cut(rest, ".")
	if !ok1 || !ok2 || header == "" || payload == "" || signature == "" {
		return parts{}, malformed("not three parts")
	}
	buf := make([]byte, 0, b64.DecodedLen(len(header))+2*b64.DecodedLen(len(payload))+b64.DecodedLen(len(signature)))
	p := parts{signed: token[:len(header)+1+len(payload)]}
	for _, part := range [...]struct {
		text string
		to   *[]byte
	}{{header, &p.header}, {payload, &p.payload}, {signature, &p.signature}} {
		start := len(buf)
		var ok bool
		if buf, ok = appendDecoded(buf, part.text); !ok {
			return parts{}, malformed("not canonical base64url")
		}
		*part.to = buf[start:len(buf):len(buf)]
	}
	p.scratch = buf[len(buf):]
	return p, nil
}

// appendDecoded appends what the canonical base64url text s stands for. Only one text stands for given bytes.
func appendDecoded(b []byte, s string) ([]byte, bool) {
	// The decoder of the standard library skips line breaks, in every mode.
	if strings.IndexByte(s, '\n') >= 0 || strings.IndexByte(s, '\r') >= 0 {
		return b, false
	}
	n := b64.DecodedLen(len(s))
	b = slices.Grow(b, n)
	got, err := b64.Decode(b[len(b):len(b)+n], bytesOf(s))
	if err != nil || got != n {
		return b, false
	}
	return b[:len(b)+n], true
}
