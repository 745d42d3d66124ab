package node

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"
)

// A client secret that is made here: a prefix that says what it is, 256 random bits and a checksum, as in an API key. It is stored
// as a digest under clientDigest, and checked without a slow hash, a reservation or a delay: nobody guesses it. Secrets that somebody
// chose, and imported hashes, are treated like passwords.
const (
	clientSecretPrefix = "kns_"
	clientSecretSize   = len(clientSecretPrefix) + apiKeySecret + apiKeySum

	clientDigest = "$sha256$" // before the base64 of SHA-256 of the whole text
)

// ClientSecretPattern is the regular expression by which a scanner finds client secrets that were made here.
const ClientSecretPattern = `\bkns_[a-z2-7]{52}[0-9a-f]{8}\b`

// NewClientSecret returns a random secret of 256 bits, for a client that does not choose one.
func NewClientSecret() string {
	b := make([]byte, 0, clientSecretSize)
	b = append(b, clientSecretPrefix...)
	b = secretText.AppendEncode(b, newKey())
	return string(appendSum(b, b))
}

// isClientSecret reports whether s has the form of NewClientSecret.
func isClientSecret(s string) bool {
	if len(s) != clientSecretSize || !strings.HasPrefix(s, clientSecretPrefix) {
		return false
	}
	const end = clientSecretSize - apiKeySum
	random := s[len(clientSecretPrefix):end]
	if b, err := secretText.DecodeString(random); err != nil || secretText.EncodeToString(b) != random {
		return false
	}
	return string(appendSum(nil, []byte(s[:end]))) == s[end:]
}

// digestSecret returns what is stored of a secret that was made here.
func digestSecret(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return clientDigest + base64.RawStdEncoding.EncodeToString(sum[:])
}

// newSecretHash returns what is stored of a client's secret. imported is its hash, if that is what there is.
func (n *Node) newSecretHash(ctx context.Context, secret, imported string) (string, error) {
	if !isClientSecret(secret) {
		return n.newHash(ctx, secret, imported)
	}
	if imported != "" {
		return "", fmt.Errorf("%w: want a secret or a hash, and not both", ErrBadRequest)
	}
	return digestSecret(secret), nil
}

// digested reports whether a secret of the form of NewClientSecret is one of s.
func (s clientSecrets) digested(secret string) bool {
	digest := []byte(digestSecret(secret))
	newest := subtle.ConstantTimeCompare(digest, []byte(s.hash))
	return newest|subtle.ConstantTimeCompare(digest, []byte(s.old)) == 1
}

// slow returns the slow hashes of s: none for a client that does not exist, or is public, or whose secrets were made here or
// forgotten.
func (s clientSecrets) slow() (hashes []string) {
	for _, h := range []string{s.hash, s.old} {
		if h != "" && h != suspended && !strings.HasPrefix(h, clientDigest) {
			hashes = append(hashes, h)
		}
	}
	return hashes
}
