package password

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// cheap are the least parameters that Check accepts.
var cheap = Params{MemoryKiB: 8, Time: 1, Lanes: 1}

// Sources: src/test.c of the argon2 reference implementation (github.com/P-H-C/phc-winner-argon2), with the hashes of its
// hexref column; wrapper.c of Openwall's crypt_blowfish.
var vectors = []struct{ encoded, password string }{
	{"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4", "password"},
	{"$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc", "password"},
	{"$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "password"},
	{"$argon2id$v=19$m=65536,t=1,p=1$c29tZXNhbHQ$9qWtwbpyPd3vm1rB1GThgPzZ3/ydHL92zKL+15XZypg", "password"},
	{"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"},
	{"$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK", "U*U*"},
	{"$2b$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a", "U*U*U"},
	{"$2y$05$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3e", "\xff\xff\xa3"},
	{"$2a$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui", bytes72},
}

const bytes72 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

// few returns the first of what is hashed at full cost, where time is short, which is under the race detector; else all.
func few(wrong ...string) []string {
	if testing.Short() {
		return wrong[:1]
	}
	return wrong
}

func TestVectors(t *testing.T) {
	h := New(Config{Params: cheap})
	for _, v := range vectors {
		if err := CheckEncoded(v.encoded); err != nil {
			t.Errorf("CheckEncoded(%s) = %v", v.encoded, err)
		}
		if r, err := h.Verify(t.Context(), v.encoded, v.password); !r.OK || err != nil {
			t.Errorf("Verify(%s, %q) = %+v, %v, want OK", v.encoded, v.password, r, err)
		}
		for _, wrong := range few("x"+v.password, "", v.password+"x", v.password+"\x00", v.password[1:]) {
			if r, err := h.Verify(t.Context(), v.encoded, wrong); r != (Result{}) || err != nil {
				t.Errorf("Verify(%s, %q) = %+v, %v, want zero", v.encoded, wrong, r, err)
			}
		}
	}
}

func TestHash(t *testing.T) {
	h := New(Config{})
	for _, password := range []string{"x", "correct horse battery staple", strings.Repeat("ü", MaxBytes/2)} {
		one, err := h.Hash(t.Context(), password)
		if err != nil {
			t.Fatal(err)
		}
		if want := "$argon2id$v=19$m=19456,t=2,p=1$"; !strings.HasPrefix(one, want) {
			t.Errorf("Hash = %s, want %s...", one, want)
		}
		if err := CheckEncoded(one); err != nil {
			t.Error(err)
		}
		if r, err := h.Verify(t.Context(), one, password); err != nil || r != (Result{OK: true}) {
			t.Errorf("Verify = %+v, %v, want OK and no rehash", r, err)
		}
		if other, _ := h.Hash(t.Context(), password); other == one {
			t.Error("the salt repeats")
		}
	}
	for _, password := range []string{"", strings.Repeat("x", MaxBytes+1)} {
		if _, err := h.Hash(t.Context(), password); !errors.Is(err, ErrPolicy) {
			t.Errorf("Hash of %d bytes: %v, want ErrPolicy", len(password), err)
		}
	}
}

// bcrypt reads 72 bytes and repeats a short password with a NUL behind it. The library accepts both kinds of false
// password below; Verify must not.
func TestBcryptAmbiguity(t *testing.T) {
	a, err := bcrypt.GenerateFromPassword([]byte("a"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	empty, err := bcrypt.GenerateFromPassword(nil, bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	h := New(Config{})
	for _, c := range []struct{ encoded, password string }{
		{"$2a$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui", bytes72 + "chars after 72 are ignored"},
		{"$2a$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui", bytes72 + "\x00"},
		{string(a), "a\x00a"},
		{string(a), "a\x00a\x00a"},
		{string(empty), ""},
		{string(empty), "\x00"},
	} {
		if bcrypt.CompareHashAndPassword([]byte(c.encoded), []byte(c.password)) != nil {
			t.Errorf("%q: x/crypto refuses it by now; this test no longer bites", c.password)
		}
		worked := false
		h.compute = func(q question) answer {
			worked = true
			return compute(q)
		}
		if r, err := h.Verify(t.Context(), c.encoded, c.password); r != (Result{}) || err != nil {
			t.Errorf("Verify(%q) = %+v, %v, want zero", c.password, r, err)
		}
		if !worked {
			t.Errorf("Verify(%q) did less work than for any wrong password", c.password)
		}
	}
}

// An argon2id password over MaxBytes is refused after the same work, even where the hash of its beginning would match.
func TestArgon2idLength(t *testing.T) {
	h := New(Config{Params: cheap})
	encoded, err := h.Hash(t.Context(), strings.Repeat("x", MaxBytes))
	if err != nil {
		t.Fatal(err)
	}
	if r, err := h.Verify(t.Context(), encoded, strings.Repeat("x", MaxBytes+1)); r.OK || err != nil {
		t.Errorf("%+v, %v, want refusal", r, err)
	}
}

// Time cannot be tested, the arguments of the slow function can.
func TestUnknownUserCostsTheSame(t *testing.T) {
	type work struct {
		password, salt int
		params         Params
		key            int
	}
	for _, params := range []Params{{}, {MemoryKiB: 64, Time: 3, Lanes: 2}} {
		h := New(Config{Params: params})
		var done []work
		h.compute = func(q question) answer {
			p, err := parsePHC(q.Encoded)
			if err != nil {
				t.Error(err)
			}
			done = append(done, work{len(q.Password), len(p.salt), p.Params, len(p.key)})
			return answer{Key: slices.Repeat([]byte{1}, len(p.key))}
		}
		encoded, err := h.Hash(t.Context(), "whatever")
		if err != nil {
			t.Fatal(err)
		}
		for _, password := range []string{"", "wrong", strings.Repeat("x", MaxBytes+1)} {
			done = nil
			if _, err := h.Verify(t.Context(), encoded, password); err != nil {
				t.Fatal(err)
			}
			if err := h.VerifyUnknown(t.Context(), password); err != nil {
				t.Fatal(err)
			}
			if len(done) != 2 || done[0] != done[1] {
				t.Errorf("params %+v, password of %d bytes: work %+v", params, len(password), done)
			}
		}
	}
}

func TestRehash(t *testing.T) {
	h := New(Config{Params: Params{MemoryKiB: 64, Time: 2, Lanes: 1}})
	h.compute = func(q question) answer {
		p, err := parsePHC(q.Encoded)
		if err != nil {
			return compute(q)
		}
		return answer{Key: make([]byte, len(p.key))}
	}
	encode := func(m, t uint32, lanes uint8, salt, key int) string {
		return phc{Params{m, t, lanes}, make([]byte, salt), make([]byte, key)}.String()
	}
	for _, c := range []struct {
		name, encoded string
		want          bool
	}{
		{"same", encode(64, 2, 1, 16, 32), false},
		{"less memory", encode(63, 2, 1, 16, 32), true},
		{"less memory, more passes", encode(32, 8, 1, 16, 32), true},
		{"fewer passes", encode(64, 1, 1, 16, 32), true},
		{"more memory, as much written", encode(128, 1, 1, 16, 32), false},
		{"stronger", encode(256, 4, 4, 32, 64), false},
		{"short salt", encode(64, 2, 1, 15, 32), true},
		{"short key", encode(64, 2, 1, 16, 31), true},
	} {
		if r, err := h.Verify(t.Context(), c.encoded, "password"); err != nil || r != (Result{true, c.want}) {
			t.Errorf("%s: %+v, %v, want Rehash %v", c.name, r, err, c.want)
		}
	}
	if r, err := h.Verify(t.Context(), vectors[4].encoded, vectors[4].password); err != nil || r != (Result{true, true}) {
		t.Errorf("bcrypt: %+v, %v, want Rehash", r, err)
	}
	if r, err := h.Verify(t.Context(), vectors[4].encoded, "wrong"); err != nil || r != (Result{}) {
		t.Errorf("bcrypt, wrong password: %+v, %v, want zero", r, err)
	}
}

func TestParams(t *testing.T) {
	if p := (Params{Time: 3}).orDefault(); p != (Params{19456, 3, 1}) {
		t.Errorf("defaults: %+v", p)
	}
	for _, p := range []Params{{MemoryKiB: 7}, {MemoryKiB: 1 << 20}, {Time: 65}, {Lanes: 17}, {MemoryKiB: 8, Lanes: 2}} {
		if err := p.Check(); !errors.Is(err, ErrMalformed) {
			t.Errorf("Check(%+v) = %v, want ErrMalformed", p, err)
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("New with %+v did not panic", p)
				}
			}()
			New(Config{Params: p})
		}()
	}
}

func TestCheckNew(t *testing.T) {
	for _, c := range []struct{ password, why string }{
		{"12345678", ""},
		{"        ", ""}, // NIST: spaces are characters
		{"пароль12", ""},
		{"🐴🐴🐴🐴🐴🐴🐴🐴", ""},
		{strings.Repeat("x", MaxBytes), ""},
		{"", "shorter than 8 characters"},
		{"1234567", "shorter than 8 characters"},
		{"üüüüüüü", "shorter than 8 characters"}, // 14 bytes
		{strings.Repeat("x", MaxBytes+1), "longer than 1024 bytes"},
		{"pass\x00word", "control character"},
		{"password\n", "control character"},
		{"password\u0085", "control character"},
		{"password\xff", "not valid UTF-8"},
	} {
		err := CheckNew(c.password)
		switch {
		case c.why == "" && err != nil:
			t.Errorf("%q: %v, want nil", c.password, err)
		case c.why != "" && (!errors.Is(err, ErrPolicy) || !strings.HasSuffix(err.Error(), c.why)):
			t.Errorf("%q: %v, want ErrPolicy: %s", c.password, err, c.why)
		case err != nil && c.password != "" && strings.Contains(fmt.Sprintf("%+v", err), c.password):
			t.Errorf("%q is in the error", c.password)
		}
	}
}
