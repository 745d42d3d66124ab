package token

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"strings"
)

// RefreshPrefix tells a refresh token from a JWT at a glance, for people, gates and secret scanners.
const RefreshPrefix = "knr_"

// refreshDomain is signed before the payload and not sent, so that a signature under this key never means anything else.
const refreshDomain = "knell refresh v1\x00"

// Sizes of a refresh token in bytes: its payload, and its whole text.
const (
	refreshPayload = 16 + 16 + 4 + 8 + 8
	refreshText    = len(RefreshPrefix) + ((refreshPayload+ed25519.SignatureSize)*8+5)/6
)

// RefreshKeyID names a key that refresh tokens are signed with: the first 8 bytes of SHA-256 of the public key.
type RefreshKeyID [8]byte

// NewRefreshKeyID returns the id of pub.
func NewRefreshKeyID(pub ed25519.PublicKey) RefreshKeyID {
	sum := sha256.Sum256(pub)
	return RefreshKeyID(sum[:8])
}

// Refresh is what a refresh token says. It holds no secret: only the signature makes it one. Values are comparable; the zero
// Refresh is none.
type Refresh struct {
	Session    [16]byte
	Epoch      [16]byte // of the log that Seq belongs to
	Generation uint32   // counts the refreshes of the session
	Seq        uint64   // log sequence at which the generation was made
	KeyID      RefreshKeyID

	signature [ed25519.SignatureSize]byte
}

// RefreshSigner signs refresh tokens with a key that is in no JWKS. Safe for concurrent use.
type RefreshSigner struct {
	id   RefreshKeyID
	priv ed25519.PrivateKey
}

// NewRefreshSigner returns the signer of a private key's seed. It panics unless seed has ed25519.SeedSize bytes.
func NewRefreshSigner(seed []byte) *RefreshSigner {
	priv := ed25519.NewKeyFromSeed(seed)
	return &RefreshSigner{id: NewRefreshKeyID(priv.Public().(ed25519.PublicKey)), priv: priv}
}

// KeyID returns the id of the key that s signs with.
func (s *RefreshSigner) KeyID() RefreshKeyID { return s.id }

// Public returns the public key. Read only.
func (s *RefreshSigner) Public() ed25519.PublicKey { return s.priv.Public().(ed25519.PublicKey) }

// Sign returns the refresh token that says r, under the signer's own key id. Equal statements give equal tokens.
func (s *RefreshSigner) Sign(r Refresh) string {
	r.KeyID = s.id
	message := r.message()
	raw := append(message[len(refreshDomain):], ed25519.Sign(s.priv, message)...)
	return string(b64.AppendEncode([]byte(RefreshPrefix), raw))
}

// Vouch returns the id of the key and the signature of a statement in a domain, which is that of nothing else that s signs.
func (s *RefreshSigner) Vouch(domain string, statement []byte) []byte {
	return append(s.id[:len(s.id):len(s.id)], ed25519.Sign(s.priv, append([]byte(domain), statement...))...)
}

// Vouched takes apart what Vouch returned; it verifies nothing.
func Vouched(b []byte) (id RefreshKeyID, signature []byte, ok bool) {
	if len(b) != len(id)+ed25519.SignatureSize {
		return id, nil, false
	}
	return RefreshKeyID(b[:len(id)]), b[len(id):], true
}

// ParseRefresh returns what s says, not yet verified: call Verify with the key that KeyID names before believing any of it.
// Of all texts for the same statement and signature it accepts one. The error is an ErrMalformed.
func ParseRefresh(s string) (Refresh, error) {
	text, ok := strings.CutPrefix(s, RefreshPrefix)
	switch {
	case !ok && strings.Count(s, ".") == 2:
		return Refresh{}, malformed("a JWT is no refresh token")
	case !ok || len(s) != refreshText:
		return Refresh{}, malformed("not a refresh token")
	}
	raw, ok := appendDecoded(make([]byte, 0, refreshPayload+ed25519.SignatureSize), text)
	if !ok {
		return Refresh{}, malformed("not canonical base64url")
	}
	return Refresh{
		Session:    [16]byte(raw[0:16]),
		Epoch:      [16]byte(raw[16:32]),
		Generation: binary.BigEndian.Uint32(raw[32:36]),
		Seq:        binary.BigEndian.Uint64(raw[36:44]),
		KeyID:      RefreshKeyID(raw[44:52]),
		signature:  [ed25519.SignatureSize]byte(raw[refreshPayload:]),
	}, nil
}

// Verify returns nil if r was parsed from a token that pub's owner signed, ErrUnknownKey if pub is not the key that r
// names, ErrSignature otherwise.
func (r *Refresh) Verify(pub ed25519.PublicKey) error {
	if len(pub) != ed25519.PublicKeySize || NewRefreshKeyID(pub) != r.KeyID {
		return ErrUnknownKey
	}
	if !ed25519.Verify(pub, r.message(), r.signature[:]) {
		return ErrSignature
	}
	return nil
}

// message returns what is signed.
func (r *Refresh) message() []byte {
	b := make([]byte, 0, len(refreshDomain)+refreshPayload+ed25519.SignatureSize)
	b = append(b, refreshDomain...)
	b = append(b, r.Session[:]...)
	b = append(b, r.Epoch[:]...)
	b = binary.BigEndian.AppendUint32(b, r.Generation)
	b = binary.BigEndian.AppendUint64(b, r.Seq)
	return append(b, r.KeyID[:]...)
}
