package node

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"strings"

	"github.com/knell-auth/knell/events"
)

// An API key as text: a prefix that says what it is, the key's id as it stands in events and lists, 256 random bits, and a
// checksum, by which a typing error is told from a bad key, and a scanner for leaked secrets a key from something that looks
// like one. The checksum is the CRC-32 (IEEE 802.3) of all that stands before it, in hexadecimal. It proves nothing: the
// random part does.
const (
	apiKeyPrefix = "knl_"
	apiKeyID     = 26 // characters of the id
	apiKeySecret = 52 // characters of the random part
	apiKeySum    = 8  // characters of the checksum
	apiKeySize   = len(apiKeyPrefix) + apiKeyID + apiKeySecret + apiKeySum
)

// APIKeyPattern is the regular expression by which a scanner finds API keys in text.
const APIKeyPattern = `\bknl_[a-z2-7]{78}[0-9a-f]{8}\b`

// IsAPIKey reports whether a credential claims to be an API key. No access token begins like one.
func IsAPIKey(credential string) bool { return strings.HasPrefix(credential, apiKeyPrefix) }

// secretText is the encoding of the random part: that of ids.
var secretText = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// apiKeyDigest is what is stored of a key: a hash of its whole text. The key is random, so it needs no slow one.
type apiKeyDigest [sha256.Size]byte

// newAPIKeyText makes a key with the given id.
func newAPIKeyText(id events.ID) (string, apiKeyDigest) {
	b := make([]byte, 0, apiKeySize)
	b = append(b, apiKeyPrefix...)
	b = id.AppendText(b)
	b = secretText.AppendEncode(b, newKey())
	b = appendSum(b, b)
	return string(b), sha256.Sum256(b)
}

// parseAPIKey returns the id in a key's text, and its digest. ok is false for what cannot be a key.
func parseAPIKey(s string) (id events.ID, digest apiKeyDigest, ok bool) {
	if len(s) != apiKeySize || !IsAPIKey(s) {
		return id, digest, false
	}
	var text [apiKeySize]byte
	copy(text[:], s)
	const end = apiKeySize - apiKeySum
	var sum [apiKeySum]byte
	if string(appendSum(sum[:0], text[:end])) != s[end:] {
		return id, digest, false
	}
	id, err := events.ParseID(s[len(apiKeyPrefix) : len(apiKeyPrefix)+apiKeyID])
	return id, sha256.Sum256(text[:]), err == nil
}

// appendSum appends the checksum of text to b.
func appendSum(b, text []byte) []byte {
	var sum [apiKeySum / 2]byte
	binary.BigEndian.PutUint32(sum[:], crc32.ChecksumIEEE(text))
	return hex.AppendEncode(b, sum[:])
}
