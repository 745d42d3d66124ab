package node

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/knell-auth/knell/events"
)

// Codes and the requests in log-in pages are statements under a key that every replica of one log derives alike: any of them
// reads what another one wrote. Neither holds a secret.
const (
	codePrefix    = "knc_"
	requestPrefix = "kna_"
)

// requestTTL is how long a log-in page can be used.
const requestTTL = 10 * time.Minute

// codeText is what an authorization code says. All but the sequence goes into the code's id, under which the log has the
// rest.
type codeText struct {
	seq       uint64   // log sequence at which it was issued
	random    [24]byte // nobody guesses it
	named     bool     // the authorization request named the redirect URI
	remember  bool     // the user asked for the longer lifetimes
	challenge [32]byte
	redirect  [32]byte // SHA-256 of the redirect URI
	nonce     string   // the client's, for the ID token
}

// codeFixed is the length of a code's text without the nonce, in bytes.
const codeFixed = 8 + 24 + 1 + 32 + 32

// Bits of a code's byte of flags.
const (
	codeNamed = 1 << iota
	codeRemember
)

// hashRedirect makes the redirect URI in a code short.
func hashRedirect(uri string) [32]byte { return sha256.Sum256([]byte(uri)) }

func (k *codeText) bytes() []byte {
	b := make([]byte, 0, codeFixed+len(k.nonce)+sha256.Size)
	b = binary.BigEndian.AppendUint64(b, k.seq)
	b = append(b, k.random[:]...)
	var flags byte
	if k.named {
		flags |= codeNamed
	}
	if k.remember {
		flags |= codeRemember
	}
	b = append(b, flags)
	b = append(b, k.challenge[:]...)
	b = append(b, k.redirect[:]...)
	return append(b, k.nonce...)
}

// id returns the id under which the log knows the code. It binds everything in it that was known before the log's answer.
func (k *codeText) id() events.ID { return events.DeriveID("authorization code", k.bytes()[8:]) }

func (n *Node) sealCode(k codeText) string { return n.seal(codePrefix, k.bytes()) }

// openCode returns what a code says, and whether a replica of this log made it.
func (n *Node) openCode(s string) (codeText, bool) {
	b, ok := n.open(codePrefix, s)
	if !ok || len(b) < codeFixed {
		return codeText{}, false
	}
	k := codeText{
		seq: binary.BigEndian.Uint64(b), named: b[32]&codeNamed != 0, remember: b[32]&codeRemember != 0, nonce: string(b[codeFixed:]),
	}
	copy(k.random[:], b[8:])
	copy(k.challenge[:], b[33:])
	copy(k.redirect[:], b[65:])
	return k, true
}

// sealedRequest is an authorization request in a log-in page.
type sealedRequest struct {
	CodeRequest
	Expires int64 `json:"expires"` // Unix seconds
}

// SealRequest returns r as text that any replica opens for ten minutes. A log-in page carries it, so that what was shown is
// what is granted.
func (n *Node) SealRequest(r CodeRequest) string {
	b, err := json.Marshal(sealedRequest{r, n.unix(n.clock.read()) + seconds(requestTTL)})
	if err != nil { // it holds texts and a number
		panic(err)
	}
	return n.seal(requestPrefix, b)
}

// OpenRequest returns the request in a text of SealRequest. ErrBadRequest: it is none, or too old.
func (n *Node) OpenRequest(s string) (CodeRequest, error) {
	var r sealedRequest
	b, ok := n.open(requestPrefix, s)
	switch {
	case !ok || json.Unmarshal(b, &r) != nil:
		return CodeRequest{}, fmt.Errorf("%w: this is not a request that a log-in page carries", ErrBadRequest)
	case n.unix(n.clock.read()) >= r.Expires:
		return CodeRequest{}, fmt.Errorf("%w: the log-in page is too old", ErrBadRequest)
	}
	return r.CodeRequest, nil
}

// seal returns prefix and, in base64url, b with its MAC.
func (n *Node) seal(prefix string, b []byte) string {
	return prefix + base64.RawURLEncoding.EncodeToString(append(b, n.mac(prefix, b)...))
}

// open undoes seal. Of all texts for the same bytes it accepts one.
func (n *Node) open(prefix, s string) ([]byte, bool) {
	text, ok := strings.CutPrefix(s, prefix)
	if !ok || strings.ContainsAny(text, "\r\n") { // which the decoder skips
		return nil, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) < sha256.Size {
		return nil, false
	}
	b, mac := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	return b, hmac.Equal(mac, n.mac(prefix, b))
}

// mac returns the MAC of b under the key of a prefix. It is derived from the key that hashes names, but by HKDF: no name that
// somebody types has this key as its hash. Another epoch has other keys.
func (n *Node) mac(prefix string, b []byte) []byte {
	n.mu.RLock()
	secret, epoch := n.state.hashKey, n.state.epoch
	n.mu.RUnlock()
	key, err := hkdf.Key(sha256.New, secret, epoch[:], "knell "+prefix, sha256.Size)
	if err != nil { // only for a key that is too long
		panic(err)
	}
	m := hmac.New(sha256.New, key)
	m.Write(b)
	return m.Sum(nil)
}
