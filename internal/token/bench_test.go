package token

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// manyTokens is one token whose bytes are rewritten in place, so that its text is in the processor's cache as that of a
// request that was just read, whatever the number of tokens.
type manyTokens struct {
	text []byte
	at   int
}

func newManyTokens(b *testing.B) *manyTokens {
	s := testSigner(1)
	t, err := s.Sign(typical(s, 1))
	if err != nil {
		b.Fatal(err)
	}
	return &manyTokens{text: []byte(t), at: len(t) - 200}
}

// nth returns the nth token, until the next call.
func (m *manyTokens) nth(n uint64) string {
	for i := range 8 {
		m.text[m.at+i] = 'A' + byte(n>>(4*i)&15)
	}
	return stringOf(m.text)
}

var benchEntry Entry

func BenchmarkCacheHit(b *testing.B) {
	for _, n := range []uint64{1, 10_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			m, c := newManyTokens(b), NewCache(4_000_000)
			for i := range n {
				c.Insert(m.nth(i), Entry{Expires: now, Session: uint32(i), Claims: &Claims{}})
			}
			b.ReportAllocs()
			x := uint64(1)
			for b.Loop() {
				x = x*6364136223846793005 + 1442695040888963407
				e, ok := c.Lookup(m.nth((x >> 32) % n))
				if !ok {
					b.Fatal("miss")
				}
				benchEntry = e
			}
		})
	}
}

// BenchmarkHitFloor is what a hit cannot do without: a tag over every byte of the token, and one look at the clock.
func BenchmarkHitFloor(b *testing.B) {
	m, t := newManyTokens(b), newTagger()
	x := uint64(1)
	b.Run("tag", func(b *testing.B) {
		for b.Loop() {
			x = x*6364136223846793005 + 1442695040888963407
			lo, _, _ := t.tag(m.nth(x >> 32))
			benchEntry.Session = uint32(lo)
		}
	})
	b.Run("tag+clock", func(b *testing.B) {
		for b.Loop() {
			x = x*6364136223846793005 + 1442695040888963407
			lo, _, _ := t.tag(m.nth(x >> 32))
			benchEntry.Session = uint32(lo) + uint32(time.Now().Unix())
		}
	})
	b.Run("clock", func(b *testing.B) {
		for b.Loop() {
			benchEntry.Session = uint32(time.Now().Unix())
		}
	})
	b.Run("gmac", func(b *testing.B) { // what the tag is measured against
		block, err := aes.NewCipher(make([]byte, 16))
		if err != nil {
			b.Fatal(err)
		}
		gcm, err := cipher.NewGCM(block)
		if err != nil {
			b.Skip(err)
		}
		nonce, sum := make([]byte, gcm.NonceSize()), make([]byte, 0, 16)
		for b.Loop() {
			x = x*6364136223846793005 + 1442695040888963407
			benchEntry.Session = uint32(gcm.Seal(sum, nonce, nil, bytesOf(m.nth(x>>32)))[0])
		}
	})
	b.Run("next", func(b *testing.B) { // the benchmark's own share
		for b.Loop() {
			x = x*6364136223846793005 + 1442695040888963407
			benchEntry.Session = uint32(len(m.nth(x >> 32)))
		}
	})
}

func BenchmarkInsert(b *testing.B) {
	m, c := newManyTokens(b), NewCache(1_000_000)
	b.ReportAllocs()
	claims := &Claims{}
	n := uint64(0)
	for b.Loop() {
		c.Insert(m.nth(n), Entry{Expires: now, Session: uint32(n), Claims: claims})
		n++
	}
}

// BenchmarkFirstSeen compares the gate with the signature alone and with golang-jwt.
func BenchmarkFirstSeen(b *testing.B) {
	s := testSigner(1)
	text, err := s.Sign(typical(s, 1))
	if err != nil {
		b.Fatal(err)
	}
	b.Run("ed25519", func(b *testing.B) {
		i := strings.LastIndexByte(text, '.')
		sig, _ := b64.DecodeString(text[i+1:])
		b.ReportAllocs()
		for b.Loop() {
			if !ed25519.Verify(ed25519.PublicKey(s.Key().Public()), []byte(text[:i]), sig) {
				b.Fatal("bad")
			}
		}
	})
	b.Run("gate", func(b *testing.B) {
		v := testVerifier(s)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := v.Verify(text, now); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("golang-jwt", func(b *testing.B) {
		p := jwt.NewParser(jwt.WithValidMethods([]string{"EdDSA"}), jwt.WithTimeFunc(func() time.Time { return time.Unix(now, 0) }))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := p.Parse(text, func(*jwt.Token) (any, error) { return ed25519.PublicKey(s.Key().Public()), nil }); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("gate-without-signature", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p, err := split(text)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := parseHeader(p.header, accessType); err != nil {
				b.Fatal(err)
			}
			if _, err := parseClaims(p.payload, p.scratch); err != nil {
				b.Fatal(err)
			}
		}
	})
}
