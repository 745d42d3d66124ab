package password

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

const (
	goodSalt   = "c29tZXNhbHQ"
	goodKey    = "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
	goodBcrypt = "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"
)

func argon2id(costs string) string { return "$argon2id$v=19$" + costs + "$" + goodSalt + "$" + goodKey }

func bcryptWith(old, replacement string) string {
	return strings.Replace(goodBcrypt, old, replacement, 1)
}

var malformedCases = []struct{ encoded, why string }{
	{"", "neither"},
	{"password", "neither"},
	{"$", "neither"},
	{"$argon2id", "neither"},
	{"$argon2i$v=19$m=256,t=2,p=1$" + goodSalt + "$" + goodKey, "neither"},
	{"$argon2d$v=19$m=256,t=2,p=1$" + goodSalt + "$" + goodKey, "neither"},
	{"$ARGON2ID$v=19$m=256,t=2,p=1$" + goodSalt + "$" + goodKey, "neither"},
	{" " + argon2id("m=256,t=2,p=1"), "neither"},
	{"$1$saltsalt$0123456789012345678901", "neither"},
	{"$6$saltsalt$0123456789012345678901", "neither"},
	{"{SSHA}0123456789012345678901", "neither"},

	{"$argon2id$", "not 5 parts"},
	{"$argon2id$m=256,t=2,p=1$" + goodSalt + "$" + goodKey, "not 5 parts"}, // version 16 by default
	{argon2id("m=256,t=2,p=1") + "$", "not 5 parts"},
	{"$argon2id$v=16$m=256,t=2,p=1$" + goodSalt + "$" + goodKey, "version"},
	{"$argon2id$v=019$m=256,t=2,p=1$" + goodSalt + "$" + goodKey, "version"},
	{argon2id("m=256,t=2,p=1") + strings.Repeat("A", 256), "longer than"},
	{argon2id("m=256,t=2,p=1") + "\n", "line break"},

	{argon2id(""), "costs are not"},
	{argon2id("m=256,t=2"), "costs are not"},
	{argon2id("t=2,m=256,p=1"), "costs are not"},
	{argon2id("m=256,t=2,p=1,keyid=AAAA"), "costs are not"},
	{argon2id("m=256,m=256,p=1"), "costs are not"},
	{argon2id("m=256,t=2,p="), "not followed by a number"},
	{argon2id("m=+256,t=2,p=1"), "not followed by a number"},
	{argon2id("m=0256,t=2,p=1"), "not followed by a number"},
	{argon2id("m=-1,t=2,p=1"), "not followed by a number"},
	{argon2id("m=256 ,t=2,p=1"), "not followed by a number"},
	{argon2id("m=0x100,t=2,p=1"), "not followed by a number"},
	{argon2id("m=4294967552,t=2,p=1"), "not followed by a number"}, // 2^32 + 256
	{argon2id("m=99999999999999999999,t=2,p=1"), "not followed by a number"},

	{argon2id("m=0,t=2,p=1"), "memory"},
	{argon2id("m=7,t=2,p=1"), "memory"},
	{argon2id("m=63,t=2,p=8"), "memory"},
	{argon2id("m=262145,t=1,p=1"), "memory"},
	{argon2id("m=4294967295,t=1,p=1"), "memory"},
	{argon2id("m=256,t=0,p=1"), "passes"},
	{argon2id("m=256,t=65,p=1"), "passes"},
	{argon2id("m=8,t=4294967295,p=1"), "passes"},
	{argon2id("m=262144,t=4,p=1"), "memory times passes"},
	{argon2id("m=65536,t=13,p=1"), "memory times passes"},
	{argon2id("m=256,t=2,p=0"), "lanes"}, // panics in x/crypto
	{argon2id("m=256,t=2,p=17"), "lanes"},
	{argon2id("m=256,t=2,p=257"), "lanes"}, // 1 in 8 bits

	{"$argon2id$v=19$m=256,t=2,p=1$$" + goodKey, "salt is not of"},
	{"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbA$" + goodKey, "salt is not of"},
	{"$argon2id$v=19$m=256,t=2,p=1$" + strings.Repeat("A", 87) + "$" + goodKey, "salt is not of"},
	{"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ=$" + goodKey, "salt is not unpadded"},
	{"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHR$" + goodKey, "salt is not unpadded"}, // stray bits
	{"$argon2id$v=19$m=256,t=2,p=1$c29tZ\nXNhbHQ$" + goodKey, "line break"},
	{"$argon2id$v=19$m=256,t=2,p=1$" + goodSalt + "$", "hash is not of"}, // would match every password
	{"$argon2id$v=19$m=256,t=2,p=1$" + goodSalt + "$AAAA", "hash is not of"},
	{"$argon2id$v=19$m=256,t=2,p=1$" + goodSalt + "$" + strings.Repeat("A", 87), "hash is not of"},
	{"$argon2id$v=19$m=256,t=2,p=1$" + goodSalt + "$" + strings.ReplaceAll(goodKey, "/", "_"), "hash is not unpadded"},

	{"$2$05$" + goodBcrypt[7:], "neither"},
	{bcryptWith("$2b", "$2x"), "neither"},
	{bcryptWith("$2b", "$2B"), "neither"},
	{bcryptWith("$2b$", "$2b."), "neither"},
	{bcryptWith("$2b", "$3b"), "neither"},
	{goodBcrypt[:59], "not of 60"},
	{goodBcrypt + "W", "not of 60"},
	{goodBcrypt + "\n", "not of 60"},
	{bcryptWith("$05$", "$+5$"), "2 digits"},
	{bcryptWith("$05$", "$5$$"), "2 digits"},
	{bcryptWith("$05$", "$05."), "2 digits"},
	{bcryptWith("$05$", "$03$"), "not within"},
	{bcryptWith("$05$", "$15$"), "not within"},
	{bcryptWith("$05$", "$31$"), "not within"},
	{bcryptWith("CC", "C\n"), "base64"},
	{bcryptWith("CC", "C="), "base64"},
	{bcryptWith("CC", "é"), "base64"},
	{goodBcrypt[:59] + "X", "stray bits"},
}

// Every string is refused by CheckEncoded and by Verify, with ErrMalformed, with the words in why, without the string.
func TestMalformed(t *testing.T) {
	h := New(Config{})
	for _, c := range malformedCases {
		err := CheckEncoded(c.encoded)
		if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), c.why) {
			t.Errorf("CheckEncoded(%q) = %v, want %q", c.encoded, err, c.why)
			continue
		}
		if len(c.encoded) > 16 && strings.Contains(err.Error(), c.encoded[len(c.encoded)-8:]) {
			t.Errorf("CheckEncoded(%q) quotes it: %v", c.encoded, err)
		}
		if r, verr := h.Verify(t.Context(), c.encoded, "U*U"); r != (Result{}) || verr == nil || verr.Error() != err.Error() {
			t.Errorf("Verify(%q) = %+v, %v, want %v", c.encoded, r, verr, err)
		}
	}
}

func TestAtTheBounds(t *testing.T) {
	for _, encoded := range []string{
		argon2id("m=8,t=1,p=1"),
		argon2id("m=262144,t=3,p=1"),
		argon2id("m=12288,t=64,p=16"),
		argon2id("m=128,t=1,p=16"),
		"$argon2id$v=19$m=262144,t=3,p=16$" + strings.Repeat("A", 86) + "$" + strings.Repeat("A", 86),
		bcryptWith("$05$", "$04$"),
		bcryptWith("$05$", "$14$"),
		bcryptWith("C.E5", "C/E5"), // stray bits in the salt: harmless, and in the wild
	} {
		if err := CheckEncoded(encoded); err != nil {
			t.Errorf("CheckEncoded(%s) = %v", encoded, err)
		}
	}
}

// What CheckEncoded lets through is within the bounds, is read alike by x/crypto, and survives encoding.
func FuzzCheckEncoded(f *testing.F) {
	for _, v := range vectors {
		f.Add(v.encoded)
	}
	for _, v := range importedVectors {
		f.Add(v.encoded)
	}
	for _, s := range []string{"", "$", "$2b$", "$argon2id$v=19$$$", argon2id("m=4294967295,t=4294967295,p=255"), goodBcrypt[:59]} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, encoded string) {
		err := CheckEncoded(encoded)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("%v is not ErrMalformed", err)
			}
			if len(err.Error()) > 200 {
				t.Fatalf("error of %d bytes", len(err.Error()))
			}
			return
		}
		if len(encoded) > maxEncodedBytes {
			t.Fatalf("%d bytes accepted", len(encoded))
		}
		if isImported(encoded) {
			im, err := parseImported(encoded)
			if err != nil || im.derive == nil || len(im.key) < minKeyBytes || len(im.key) > maxKeyBytes {
				t.Fatalf("accepted, but %v, hash of %d bytes", err, len(im.key))
			}
			return
		}
		if !strings.HasPrefix(encoded, argon2idPrefix) {
			if cost, err := bcrypt.Cost([]byte(encoded)); err != nil || cost > maxBcryptCost {
				t.Fatalf("bcrypt: cost %d, %v", cost, err)
			}
			return
		}
		p, err := parsePHC(encoded)
		if err != nil || p.check() != nil || len(p.key) < minKeyBytes {
			t.Fatalf("accepted, but %+v, %v", p.Params, err)
		}
		if p.String() != encoded {
			t.Fatalf("%q becomes %q", encoded, p.String())
		}
	})
}
