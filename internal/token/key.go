package token

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"

	"github.com/golang-jwt/jwt/v5"
)

// b64 is canonical base64url (RFC 7515 section 2): no padding, trailing bits zero. It skips line breaks, which decodePart
// refuses before.
var b64 = base64.RawURLEncoding.Strict()

// Key is a public key that access tokens are verified with. Its algorithm is a property of the key and never of a token
// (RFC 8725 section 3.1): another algorithm is another constructor. Immutable.
type Key struct {
	id     string
	method jwt.SigningMethod
	public any // what method.Verify expects
}

// NewKey returns the key of an Ed25519 signer, or nil if pub has not ed25519.PublicKeySize bytes. It keeps pub, which must
// not change any more.
func NewKey(pub ed25519.PublicKey) *Key {
	if len(pub) != ed25519.PublicKeySize {
		return nil
	}
	return &Key{id: Thumbprint(pub), method: jwt.SigningMethodEdDSA, public: pub}
}

// ID returns the key's "kid": its RFC 7638 thumbprint.
func (k *Key) ID() string { return k.id }

// Algorithm returns the only "alg" that k verifies, here "EdDSA" (RFC 8037 section 3.1).
func (k *Key) Algorithm() string { return k.method.Alg() }

// Thumbprint returns the JWK thumbprint of pub: base64url of SHA-256 (RFC 7638 section 3, RFC 8037 appendix A.3).
func Thumbprint(pub ed25519.PublicKey) string {
	sum := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + b64.EncodeToString(pub) + `"}`))
	return b64.EncodeToString(sum[:])
}

// Signer signs access tokens. Safe for concurrent use.
type Signer struct {
	key    *Key
	priv   ed25519.PrivateKey
	header string // encoded, with the dot after it
}

// NewSigner returns the signer of a private key's seed. It panics unless seed has ed25519.SeedSize bytes.
func NewSigner(seed []byte) *Signer {
	priv := ed25519.NewKeyFromSeed(seed)
	key := NewKey(priv.Public().(ed25519.PublicKey))
	header := fmt.Sprintf(`{"alg":%q,"kid":%q,"typ":%q}`, key.Algorithm(), key.id, accessType)
	return &Signer{key: key, priv: priv, header: b64.EncodeToString([]byte(header)) + "."}
}

// KeyID returns the "kid" of the tokens that s signs.
func (s *Signer) KeyID() string { return s.key.id }

// Public returns the public key. Read only.
func (s *Signer) Public() ed25519.PublicKey { return s.priv.Public().(ed25519.PublicKey) }

// Key returns the key that verifies what s signs.
func (s *Signer) Key() *Key { return s.key }

// Sign returns the access token that says c. Equal claims give equal tokens. ErrClaims: no Verifier would accept it, or it
// would be longer than MaxSize.
func (s *Signer) Sign(c *Claims) (string, error) {
	if what := c.defect(); what != "" {
		return "", fmt.Errorf("%w: %s", ErrClaims, what)
	}
	if c.KeyID != "" && c.KeyID != s.key.id {
		return "", fmt.Errorf("%w: for another key", ErrClaims)
	}
	payload := c.appendJSON(make([]byte, 0, 512))
	b := make([]byte, 0, len(s.header)+b64.EncodedLen(len(payload))+1+b64.EncodedLen(ed25519.SignatureSize))
	b = append(b, s.header...)
	b = b64.AppendEncode(b, payload)
	sig := ed25519.Sign(s.priv, b)
	b = append(b, '.')
	b = b64.AppendEncode(b, sig)
	if len(b) > MaxSize {
		return "", fmt.Errorf("%w: longer than %d bytes", ErrClaims, MaxSize)
	}
	return string(b), nil
}
