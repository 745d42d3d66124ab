// Package token owns the two kinds of token that a replica signs, and the gate that a presented one has to pass: access
// tokens (JWTs of RFC 9068) and refresh tokens (signed statements that are no JWTs). It also owns the cache of access
// tokens that passed the gate.
//
// It knows nothing of sessions, revocation, leases or the log: a token that passes here is authentic, unexpired and meant
// for this audience, and nothing more. It reads no clock.
package token

import (
	"errors"
	"fmt"
)

// MaxSize is the size in bytes of the longest token that is looked at, and of the longest that is signed.
const MaxSize = 4096

// DefaultSkew is how many seconds "iat" and "nbf" may lie in the future when Verifier.MaxSkew is zero.
const DefaultSkew = 60

// Why a token is refused. Each of the others is an ErrInvalid by errors.Is. No error text contains any part of a token.
var (
	ErrInvalid    = errors.New("token: invalid")
	ErrMalformed  = fmt.Errorf("%w: malformed", ErrInvalid)
	ErrUnknownKey = fmt.Errorf("%w: unknown key", ErrInvalid)
	ErrSignature  = fmt.Errorf("%w: signature does not verify", ErrInvalid)
	ErrIssuer     = fmt.Errorf("%w: another issuer", ErrInvalid)
	ErrAudience   = fmt.Errorf("%w: another audience", ErrInvalid)
	ErrExpired    = fmt.Errorf("%w: expired", ErrInvalid)
	ErrNotYet     = fmt.Errorf("%w: issued in the future", ErrInvalid)
)

// ErrClaims is returned by Sign for claims that no Verifier would accept.
var ErrClaims = errors.New("token: claims cannot be signed")

// Claims is what an access token says (RFC 9068 section 2.2). One value is decoded once and shared by all requests that
// present the token: read only.
type Claims struct {
	Issuer   string   // "iss"
	Subject  string   // "sub"
	Audience []string // "aud"
	ClientID string   // "client_id"; "" for a first-party login, present nevertheless
	Scope    string   // "scope", space separated; "" if the token has none
	Scopes   []string // Scope, split
	Roles    []string // "roles" (RFC 7643 section 4.1.2)
	ID       string   // "jti"

	// Unix seconds: "exp", "iat", "nbf" (0: absent), "auth_time" (0: absent).
	Expires, IssuedAt, NotBefore, AuthTime int64

	Session [16]byte // "sid"
	Epoch   [16]byte // "epoch": of the log that the sequences belong to
	Start   uint64   // "start_seq": log sequence at which the session started
	Issued  uint64   // "seq": newest log sequence that the token rests on, at least Start

	KeyID string // "kid" of the header
}

// malformed returns an ErrMalformed that says what is wrong. what must not come from the token.
func malformed(what string) error { return fmt.Errorf("%w: %s", ErrMalformed, what) }
