package token

import (
	"encoding/binary"
	"math/big"
	"testing"
)

// reference is tag as its comment defines it, in arithmetic that cannot overflow.
func (t *tagger) reference(token string) (tags [2]uint64) {
	var words []uint64
	text := []byte(token)
	for b := text; len(b) >= blockSize; b = b[blockSize:] {
		for j := 0; j < blockSize; j += 8 {
			words = append(words, binary.LittleEndian.Uint64(b[j:]))
		}
	}
	for b := text[len(text)-blockSize:]; len(b) > 0; b = b[8:] {
		words = append(words, binary.LittleEndian.Uint64(b))
	}
	num := func(v uint64) *big.Int { return new(big.Int).SetUint64(v) }
	mod := new(big.Int).Lsh(big.NewInt(1), 128)
	for half := range tags {
		nh := new(big.Int)
		for i := 0; i < len(words); i += 2 {
			k := t.keys[half][i/8]
			nh.Add(nh, new(big.Int).Mul(num(words[i]+k[i%8]), num(words[i+1]+k[i%8+1])))
		}
		nh.Mod(nh, mod)
		hi := new(big.Int).Rsh(nh, 64)
		sum := new(big.Int)
		for i, v := range []*big.Int{big.NewInt(1), num(nh.Uint64()), hi, num(uint64(len(token)))} {
			c := new(big.Int).Add(new(big.Int).Lsh(num(t.finish[half][i].hi), 64), num(t.finish[half][i].lo))
			sum.Add(sum, c.Mul(c, v))
		}
		tags[half] = sum.Mod(sum, mod).Rsh(sum, 64).Uint64()
	}
	return tags
}

func TestTagIsItsDefinition(t *testing.T) {
	tagger := newTagger()
	text := make([]byte, MaxSize)
	for i := range text {
		text[i] = byte(i*i>>3 ^ i)
	}
	for n := minTagged; n <= MaxSize; n += 1 + n/50 {
		lo, hi, ok := tagger.tag(string(text[:n]))
		want := tagger.reference(string(text[:n]))
		if !ok || lo != want[0]|1 || hi != want[1] {
			t.Fatalf("tag of %d bytes: %x %x %v, want %x", n, lo, hi, ok, want)
		}
	}
	for _, n := range []int{0, 1, minTagged - 1, MaxSize + 1} {
		if _, _, ok := tagger.tag(string(make([]byte, n))); ok {
			t.Errorf("%d bytes have a tag", n)
		}
	}
}

// TestTagCoversEveryByte changes each byte of texts around the block borders, and the length, and looks for a tag that
// half of it has not changed.
func TestTagCoversEveryByte(t *testing.T) {
	tagger := newTagger()
	for _, n := range []int{64, 65, 71, 127, 128, 129, 673, MaxSize} {
		text := make([]byte, n)
		for i := range text {
			text[i] = 'a' + byte(i%26)
		}
		lo, hi, _ := tagger.tag(string(text))
		differs := func(what string, at int, other []byte) {
			if l, h, ok := tagger.tag(string(other)); ok && (l == lo || h == hi) {
				t.Errorf("%d bytes, %s at %d: half of the tag is the same", n, what, at)
			}
		}
		for i := range text {
			for _, flip := range []byte{1, 0x20, 0x80} {
				text[i] ^= flip
				differs("flip", i, text)
				text[i] ^= flip
			}
		}
		differs("cut", n, text[:n-1])
		differs("longer", n, append(text[:n:n], 'a'))
		differs("zero appended", n, append(text[:n:n], 0))
		differs("block appended", n, append(text[:n:n], text[n-blockSize:]...))
	}
}

func TestTagsOfTwoCachesDiffer(t *testing.T) {
	text := string(make([]byte, 100))
	a, b, _ := newTagger().tag(text)
	c, d, _ := newTagger().tag(text)
	if a == c || b == d {
		t.Error("keys are not random")
	}
}
