// Package webhook sends one message to one address: signed as Standard Webhooks (https://www.standardwebhooks.com) has it, and to no
// address that it must not reach. It owns keys as text, signatures, which addresses are good, one attempt over HTTP/1.1 and the time to
// the next one. It does not know what is sent, nor what becomes of it.
package webhook

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
)

// Bounds of a key in bytes, by the specification.
const (
	minKey = 24
	maxKey = 64
)

// keyPrefix begins the text of a key.
const keyPrefix = "whsec_"

// KeyPattern is the regular expression by which a scanner finds keys.
const KeyPattern = `\bwhsec_[A-Za-z0-9+/]{32,86}={0,2}`

var errKey = errors.New("a signing secret is whsec_ and the base64 of 24 to 64 bytes")

// NewKey returns a random key of 32 bytes.
func NewKey() []byte {
	k := make([]byte, 32)
	rand.Read(k)
	return k
}

// KeyText returns a key as its receiver is told.
func KeyText(key []byte) string { return keyPrefix + base64.StdEncoding.EncodeToString(key) }

// ParseKey reads what KeyText returns. Its error does not repeat the text.
func ParseKey(text string) ([]byte, error) {
	rest, ok := strings.CutPrefix(text, keyPrefix)
	if !ok {
		return nil, errKey
	}
	key, err := base64.StdEncoding.Strict().DecodeString(rest)
	if err != nil || !GoodKey(key) || strings.ContainsAny(rest, "\r\n") {
		return nil, errKey
	}
	return key, nil
}

// GoodKey reports whether a key has a good length.
func GoodKey(key []byte) bool { return len(key) >= minKey && len(key) <= maxKey }

// Sign returns the value of webhook-signature: one signature for each key, the newest first. at is the value of webhook-timestamp, in
// Unix seconds.
func Sign(keys [][]byte, id string, at int64, body []byte) string {
	var b strings.Builder
	for i, key := range keys {
		if i > 0 {
			b.WriteByte(' ')
		}
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id))
		mac.Write([]byte{'.'})
		mac.Write(strconv.AppendInt(nil, at, 10))
		mac.Write([]byte{'.'})
		mac.Write(body)
		b.WriteString("v1,")
		b.WriteString(base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	return b.String()
}
