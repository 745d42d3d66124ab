package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"math/big"
)

// p256Bytes is the length of a coordinate and of a scalar of P-256.
const p256Bytes = 32

// NewPrivate returns a new private key of an algorithm, as NewSigner reads it. An RSA key takes some tenths of a second.
func NewPrivate(alg string) ([]byte, error) {
	switch alg {
	case EdDSA:
		seed := make([]byte, ed25519.SeedSize)
		rand.Read(seed)
		return seed, nil
	case ES256:
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		return x509.MarshalPKCS8PrivateKey(key)
	case RS256:
		key, err := rsa.GenerateKey(rand.Reader, rsaBits)
		if err != nil {
			return nil, err
		}
		return x509.MarshalPKCS8PrivateKey(key)
	}
	return nil, ErrKey
}

// Signer signs access tokens and ID tokens. Safe for concurrent use.
type Signer struct {
	key        *Key
	private    crypto.Signer
	access, id string // headers, encoded, with the dot after them
}

// NewSigner returns the signer of a private key: for EdDSA a seed of 32 bytes, for the others PKCS #8. The error is ErrKey.
func NewSigner(alg string, private []byte) (*Signer, error) {
	s := &Signer{}
	var public []byte
	switch alg {
	case EdDSA:
		if len(private) != ed25519.SeedSize {
			return nil, ErrKey
		}
		key := ed25519.NewKeyFromSeed(private)
		s.private, public = key, key.Public().(ed25519.PublicKey)
	default:
		parsed, err := x509.ParsePKCS8PrivateKey(private)
		if err != nil {
			return nil, ErrKey
		}
		switch key := parsed.(type) {
		case *ecdsa.PrivateKey:
			if public, err = key.PublicKey.Bytes(); err != nil {
				return nil, ErrKey
			}
			s.private = key
		case *rsa.PrivateKey:
			s.private, public = key, x509.MarshalPKCS1PublicKey(&key.PublicKey)
		}
	}
	var err error
	if s.key, err = NewKey(alg, public); err != nil {
		return nil, err
	}
	s.access, s.id = s.header(accessType), s.header(idType)
	return s, nil
}

// header returns the encoded JOSE header of tokens of a type, with the dot after it.
func (s *Signer) header(typ string) string {
	return b64.EncodeToString(fmt.Appendf(nil, `{"alg":%q,"kid":%q,"typ":%q}`, s.key.alg, s.key.id, typ)) + "."
}

// KeyID returns the "kid" of the tokens that s signs.
func (s *Signer) KeyID() string { return s.key.id }

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
	return s.seal(s.access, c.appendJSON(make([]byte, 0, 512)))
}

// seal returns the JWT of an encoded header and a payload.
func (s *Signer) seal(header string, payload []byte) (string, error) {
	b := make([]byte, 0, len(header)+b64.EncodedLen(len(payload))+1+b64.EncodedLen(rsaBits/8))
	b = append(b, header...)
	b = b64.AppendEncode(b, payload)
	sig, err := s.sign(b)
	if err != nil {
		return "", fmt.Errorf("token: sign: %w", err)
	}
	b = append(b, '.')
	b = b64.AppendEncode(b, sig)
	if len(b) > MaxSize {
		return "", fmt.Errorf("%w: longer than %d bytes", ErrClaims, MaxSize)
	}
	return string(b), nil
}

// sign returns the signature of message in the form of RFC 7518. None of the algorithms uses randomness here: a token that is
// given again within the grace window of its refresh is the same.
func (s *Signer) sign(message []byte) ([]byte, error) {
	if key, ok := s.private.(ed25519.PrivateKey); ok {
		return ed25519.Sign(key, message), nil
	}
	digest := sha256.Sum256(message)
	sig, err := s.private.Sign(nil, digest[:], crypto.SHA256)
	if err != nil || s.key.alg != ES256 {
		return sig, err
	}
	var parsed struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(sig, &parsed); err != nil {
		return nil, err
	}
	fixed := make([]byte, 2*p256Bytes)
	parsed.R.FillBytes(fixed[:p256Bytes])
	parsed.S.FillBytes(fixed[p256Bytes:])
	return fixed, nil
}
