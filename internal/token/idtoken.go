package token

import (
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"strconv"
)

// idType is the "typ" of an ID token. No Verifier accepts it: an ID token is no access token.
const idType = "JWT"

// IDClaims is what an ID token says (OpenID Connect Core 1.0 section 2).
type IDClaims struct {
	Issuer   string // "iss"
	Subject  string // "sub"
	ClientID string // "aud": the client that it is for, and nobody else
	Nonce    string // "nonce", the client's; "": absent

	// Unix seconds: "exp", "iat", "auth_time" (0: absent).
	Expires, IssuedAt, AuthTime int64

	Session     [16]byte // "sid"; zero: absent
	AccessToken string   // issued beside it: "at_hash" is made of it (section 3.1.3.6); "": absent
}

// SignID returns the ID token that says c, under the same key as access tokens. ErrClaims: a required claim is missing, a text has
// control characters or is not UTF-8, or the token would be longer than MaxSize.
func (s *Signer) SignID(c IDClaims) (string, error) {
	switch {
	case c.Issuer == "" || c.Subject == "" || c.ClientID == "":
		return "", fmt.Errorf("%w: iss, sub and aud must not be empty", ErrClaims)
	case c.Expires <= 0 || c.IssuedAt <= 0 || c.AuthTime < 0 || c.Expires > maxTime || c.IssuedAt > maxTime || c.AuthTime > maxTime:
		return "", fmt.Errorf("%w: exp, iat or auth_time out of range", ErrClaims)
	}
	for _, text := range []string{c.Issuer, c.Subject, c.ClientID, c.Nonce} {
		if !isText(text) {
			return "", fmt.Errorf("%w: text has control characters or is not UTF-8", ErrClaims)
		}
	}
	b := appendString(append(make([]byte, 0, 512), `{"iss":`...), c.Issuer)
	b = appendString(append(b, `,"sub":`...), c.Subject)
	b = appendString(append(b, `,"aud":`...), c.ClientID)
	b = strconv.AppendInt(append(b, `,"exp":`...), c.Expires, 10)
	b = strconv.AppendInt(append(b, `,"iat":`...), c.IssuedAt, 10)
	if c.AuthTime != 0 {
		b = strconv.AppendInt(append(b, `,"auth_time":`...), c.AuthTime, 10)
	}
	if c.Nonce != "" {
		b = appendString(append(b, `,"nonce":`...), c.Nonce)
	}
	if c.AccessToken != "" {
		b = appendString(append(b, `,"at_hash":`...), s.leftHash(c.AccessToken))
	}
	if c.Session != [16]byte{} {
		b = append(base32ID.AppendEncode(append(b, `,"sid":"`...), c.Session[:]), '"')
	}
	return s.seal(s.id, append(b, '}'))
}

// leftHash returns the left half of the hash of text, which is that of the signature algorithm: SHA-512 for Ed25519, SHA-256
// otherwise.
func (s *Signer) leftHash(text string) string {
	if s.key.alg == EdDSA {
		sum := sha512.Sum512([]byte(text))
		return b64.EncodeToString(sum[:len(sum)/2])
	}
	sum := sha256.Sum256([]byte(text))
	return b64.EncodeToString(sum[:len(sum)/2])
}
