package token

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/golang-jwt/jwt/v5"
)

// b64 is canonical base64url (RFC 7515 section 2): no padding, trailing bits zero. It skips line breaks, which decodePart
// refuses before.
var b64 = base64.RawURLEncoding.Strict()

// Algorithms of access tokens and ID tokens, by their "alg" (RFC 7518 section 3.1, RFC 8037 section 3.1).
const (
	EdDSA = "EdDSA" // Ed25519
	ES256 = "ES256" // ECDSA on P-256 with SHA-256; signatures are R and S, 32 bytes each
	RS256 = "RS256" // RSASSA-PKCS1-v1_5 with SHA-256, keys of 2048 bits
)

// Algorithms returns every algorithm, the preferred one first.
func Algorithms() []string { return []string{EdDSA, ES256, RS256} }

// Bounds of RSA keys: others are refused, so that a verification costs what it is known to cost.
const (
	rsaBits     = 2048
	rsaExponent = 65537
)

// ErrKey is returned for a key that is none of its algorithm, and for an algorithm that is not one of Algorithms.
var ErrKey = errors.New("token: not a key of this algorithm")

// Key is a public key that tokens are verified with. Its algorithm is a property of the key and never of a token
// (RFC 8725 section 3.1). Immutable.
type Key struct {
	id     string
	alg    string
	method jwt.SigningMethod
	public any    // what method.Verify expects
	raw    []byte // what NewKey was given
	jwk    string // the required members (RFC 7638 section 3.2) as a JSON object
}

// NewKey returns the key of an algorithm. raw is, for EdDSA, the 32 bytes of RFC 8032; for ES256 an uncompressed point (SEC 1
// section 2.3.3, 65 bytes); for RS256 the DER of an RSAPublicKey (RFC 8017 appendix A.1.1). It is kept and must not change
// any more. Of all encodings of a key one is accepted. The error is ErrKey.
func NewKey(alg string, raw []byte) (*Key, error) {
	k := &Key{alg: alg, raw: raw}
	var ok bool
	switch alg {
	case EdDSA:
		ok = k.setEd25519()
	case ES256:
		ok = k.setP256()
	case RS256:
		ok = k.setRSA()
	}
	if !ok {
		return nil, ErrKey
	}
	sum := sha256.Sum256([]byte(k.jwk))
	k.id = b64.EncodeToString(sum[:])
	return k, nil
}

func (k *Key) setEd25519() bool {
	if len(k.raw) != ed25519.PublicKeySize {
		return false
	}
	k.method, k.public = jwt.SigningMethodEdDSA, ed25519.PublicKey(k.raw)
	k.jwk = `{"crv":"Ed25519","kty":"OKP","x":"` + b64.EncodeToString(k.raw) + `"}`
	return true
}

func (k *Key) setP256() bool {
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), k.raw)
	if err != nil {
		return false
	}
	k.method, k.public = jwt.SigningMethodES256, public
	x, y := k.raw[1:1+p256Bytes], k.raw[1+p256Bytes:]
	k.jwk = `{"crv":"P-256","kty":"EC","x":"` + b64.EncodeToString(x) + `","y":"` + b64.EncodeToString(y) + `"}`
	return true
}

func (k *Key) setRSA() bool {
	public, err := x509.ParsePKCS1PublicKey(k.raw)
	if err != nil || public.N.BitLen() != rsaBits || public.E != rsaExponent || !bytes.Equal(x509.MarshalPKCS1PublicKey(public), k.raw) {
		return false
	}
	k.method, k.public = jwt.SigningMethodRS256, public
	k.jwk = `{"e":"AQAB","kty":"RSA","n":"` + b64.EncodeToString(public.N.Bytes()) + `"}`
	return true
}

// ID returns the key's "kid": its JWK thumbprint, base64url of SHA-256 (RFC 7638 section 3, RFC 8037 appendix A.3).
func (k *Key) ID() string { return k.id }

// Algorithm returns the only "alg" that k verifies.
func (k *Key) Algorithm() string { return k.alg }

// Public returns what NewKey was given. Read only.
func (k *Key) Public() []byte { return k.raw }

// JWK returns k as a JSON Web Key (RFC 7517 section 4) with its "kid", "alg" and "use".
func (k *Key) JWK() []byte {
	return fmt.Appendf(nil, `%s,"kid":%q,"alg":%q,"use":"sig"}`, k.jwk[:len(k.jwk)-1], k.id, k.alg)
}
