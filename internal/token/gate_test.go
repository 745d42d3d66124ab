package token

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// sealed returns a token of any header and payload with a good signature by s.
func sealed(s *Signer, header, payload string) string {
	text := b64.EncodeToString([]byte(header)) + "." + b64.EncodeToString([]byte(payload))
	sig, err := s.sign([]byte(text))
	if err != nil {
		panic(err)
	}
	return text + "." + b64.EncodeToString(sig)
}

func headerOf(s *Signer) string {
	return `{"alg":"` + s.Key().Algorithm() + `","kid":"` + s.KeyID() + `","typ":"at+jwt"}`
}

func signed(t testing.TB, s *Signer, c *Claims) string {
	text, err := s.Sign(c)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestSignAndVerify(t *testing.T) {
	s := testSigner(1)
	v := testVerifier(testSigner(2), s)
	change := func(f func(*Claims)) *Claims { c := typical(s, 1); f(c); return c }
	for name, c := range map[string]*Claims{
		"typical":      typical(s, 1),
		"client":       change(func(c *Claims) { c.ClientID, c.Roles, c.AuthTime = "svc", nil, 0 }),
		"no scope":     change(func(c *Claims) { c.Scope, c.Scopes = "", nil }),
		"two aud":      change(func(c *Claims) { c.Audience = []string{"other", "https://api.example.com"} }),
		"many roles":   change(func(c *Claims) { c.Roles = strings.Split(strings.Repeat("r,", 200)+"r", ",") }),
		"odd text":     change(func(c *Claims) { c.Subject, c.ClientID, c.Roles = `a"b\c`, `\`, []string{`"`, "ü €", `\\"`} }),
		"nbf":          change(func(c *Claims) { c.NotBefore = now }),
		"big numbers":  change(func(c *Claims) { c.Expires, c.Start, c.Issued = maxTime, maxSeq, maxSeq }),
		"small number": change(func(c *Claims) { c.IssuedAt, c.Start, c.Issued = 1, 1, 1 }),
	} {
		text := signed(t, s, c)
		got, err := v.Verify(text, now)
		if err != nil || !reflect.DeepEqual(got, c) {
			t.Errorf("%s: %v\n got %+v\nwant %+v", name, err, got, c)
		}
		if again := signed(t, s, c); again != text {
			t.Errorf("%s: signed differently the second time", name)
		}
	}
	header, _, _ := strings.Cut(signed(t, s, typical(s, 1)), ".")
	if b, _ := b64.DecodeString(header); string(b) != headerOf(s) {
		t.Errorf("header %s", b)
	}
}

func TestSignRefuses(t *testing.T) {
	s := testSigner(1)
	for name, f := range map[string]func(*Claims){
		"no issuer":       func(c *Claims) { c.Issuer = "" },
		"no subject":      func(c *Claims) { c.Subject = "" },
		"no audience":     func(c *Claims) { c.Audience = nil },
		"empty audience":  func(c *Claims) { c.Audience = []string{"a", ""} },
		"no id":           func(c *Claims) { c.ID = "" },
		"no expiry":       func(c *Claims) { c.Expires = 0 },
		"late expiry":     func(c *Claims) { c.Expires = maxTime + 1 },
		"negative iat":    func(c *Claims) { c.IssuedAt = -1 },
		"no session":      func(c *Claims) { c.Session = [16]byte{} },
		"no epoch":        func(c *Claims) { c.Epoch = [16]byte{} },
		"no start":        func(c *Claims) { c.Start = 0 },
		"issued earlier":  func(c *Claims) { c.Issued = c.Start - 1 },
		"scopes differ":   func(c *Claims) { c.Scopes = c.Scopes[:1] },
		"scopes missing":  func(c *Claims) { c.Scopes = nil },
		"double space":    func(c *Claims) { c.Scope, c.Scopes = "a  b", []string{"a", "", "b"} },
		"space inside":    func(c *Claims) { c.Scope, c.Scopes = "a b", []string{"a b"} },
		"control":         func(c *Claims) { c.Subject = "a\nb" },
		"zero byte":       func(c *Claims) { c.Roles = []string{"a\x00b"} },
		"not UTF-8":       func(c *Claims) { c.ClientID = "\xff" },
		"key of another":  func(c *Claims) { c.KeyID = testSigner(2).KeyID() },
		"longer than 4kB": func(c *Claims) { c.Subject = strings.Repeat("s", 3000) },
	} {
		c := typical(s, 1)
		f(c)
		if text, err := s.Sign(c); !errors.Is(err, ErrClaims) || text != "" {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
}

// refusal is a token that the gate must refuse with want.
type refusal struct {
	name, token string
	want        error
}

func testRefusals(t *testing.T, v *Verifier, list []refusal) {
	t.Helper()
	for _, c := range list {
		got, err := v.Verify(c.token, now)
		if got != nil || !errors.Is(err, c.want) || !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %+v, %v; want %v", c.name, got, err, c.want)
		}
	}
}

// join makes a token of its encoded parts.
func join(parts ...string) string { return strings.Join(parts, ".") }

func TestVerifyForm(t *testing.T) {
	s := testSigner(1)
	good := signed(t, s, typical(s, 1))
	parts := strings.Split(good, ".")
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, good[len(good)-1])
	testRefusals(t, testVerifier(s), []refusal{
		{"empty", "", ErrMalformed},
		{"dots", "..", ErrMalformed},
		{"one part", parts[0], ErrMalformed},
		{"two parts", join(parts[0], parts[1]), ErrMalformed},
		{"four parts", good + ".", ErrMalformed},
		{"five parts (JWE)", join(parts[0], "", parts[1], parts[1], parts[2]), ErrMalformed},
		{"empty header", join("", parts[1], parts[2]), ErrMalformed},
		{"empty payload", join(parts[0], "", parts[2]), ErrMalformed},
		{"no signature", join(parts[0], parts[1], ""), ErrMalformed},
		{"too long", join(parts[0], strings.Repeat("A", MaxSize), parts[2]), ErrMalformed},
		{"refresh token", NewRefreshSigner(make([]byte, 32)).Sign(Refresh{}), ErrMalformed},
		{"Bearer", "Bearer " + good, ErrMalformed},
		{"space after", good + " ", ErrMalformed},
		{"line break after", good + "\n", ErrMalformed},
		{"line break in header", good[:4] + "\n" + good[4:], ErrMalformed},
		{"line break in payload", parts[0] + "." + parts[1][:8] + "\r\n" + parts[1][8:] + "." + parts[2], ErrMalformed},
		{"line breaks in signature", parts[0] + "." + parts[1] + "." + parts[2][:3] + "\r\n\n\n" + parts[2][3:], ErrMalformed},
		{"padding", good + "==", ErrMalformed},
		{"padded header", join(parts[0]+"=", parts[1], parts[2]), ErrMalformed},
		{"standard alphabet", join("//79", parts[1], parts[2]), ErrMalformed},
		{"trailing bits", good[:len(good)-1] + string(alphabet[last|1]), ErrMalformed},
		{"odd length", good + "AAA", ErrMalformed},
		{"zero byte", good + "\x00", ErrMalformed},
	})
	if _, err := testVerifier(s).Verify(good, now); err != nil {
		t.Errorf("the good one: %v", err)
	}
}

func TestVerifyHeader(t *testing.T) {
	s := testSigner(1)
	parts := strings.Split(signed(t, s, typical(s, 1)), ".")
	payload, _ := b64.DecodeString(parts[1])
	with := func(header string) string { return sealed(s, header, string(payload)) }
	kid := `"kid":"` + s.KeyID() + `"`
	mac := hmac.New(sha256.New, s.Key().Public())
	hs := b64.EncodeToString([]byte(`{"alg":"HS256",`+kid+`,"typ":"at+jwt"}`)) + "." + parts[1]
	mac.Write([]byte(hs))
	testRefusals(t, testVerifier(s), []refusal{
		{"alg none", with(`{"alg":"none",` + kid + `,"typ":"at+jwt"}`), ErrMalformed},
		{"alg none, unsigned", join(b64.EncodeToString([]byte(`{"alg":"none",`+kid+`,"typ":"at+jwt"}`)), parts[1], ""), ErrMalformed},
		{"alg HS256 with the public key", hs + "." + b64.EncodeToString(mac.Sum(nil)), ErrMalformed},
		{"alg eddsa", with(`{"alg":"eddsa",` + kid + `,"typ":"at+jwt"}`), ErrMalformed},
		{"alg Ed25519", with(`{"alg":"Ed25519",` + kid + `,"typ":"at+jwt"}`), ErrMalformed},
		{"alg ES256", with(`{"alg":"ES256",` + kid + `,"typ":"at+jwt"}`), ErrMalformed},
		{"no alg", with(`{` + kid + `,"typ":"at+jwt"}`), ErrMalformed},
		{"empty alg", with(`{"alg":"",` + kid + `,"typ":"at+jwt"}`), ErrMalformed},
		{"alg twice", with(`{"alg":"none","alg":"EdDSA",` + kid + `,"typ":"at+jwt"}`), ErrMalformed},
		{"alg twice, empty first", with(`{"alg":"","alg":"EdDSA",` + kid + `,"typ":"at+jwt"}`), ErrMalformed},
		{"alg as a list", with(`{"alg":["EdDSA"],` + kid + `,"typ":"at+jwt"}`), ErrMalformed},
		{"escaped member", with(`{"\u0061lg":"EdDSA",` + kid + `,"typ":"at+jwt"}`), ErrMalformed},
		{"escaped value", with(`{"alg":"\u0045dDSA",` + kid + `,"typ":"at+jwt"}`), ErrMalformed},
		{"upper case member", with(`{"ALG":"EdDSA",` + kid + `,"typ":"at+jwt"}`), ErrMalformed},
		{"typ JWT", with(`{"alg":"EdDSA",` + kid + `,"typ":"JWT"}`), ErrMalformed},
		{"typ application/at+jwt", with(`{"alg":"EdDSA",` + kid + `,"typ":"application/at+jwt"}`), ErrMalformed},
		{"typ AT+JWT", with(`{"alg":"EdDSA",` + kid + `,"typ":"AT+JWT"}`), ErrMalformed},
		{"no typ", with(`{"alg":"EdDSA",` + kid + `}`), ErrMalformed},
		{"no kid", with(`{"alg":"EdDSA","typ":"at+jwt"}`), ErrMalformed},
		{"kid null", with(`{"alg":"EdDSA","kid":null,"typ":"at+jwt"}`), ErrMalformed},
		{"crit", with(`{"alg":"EdDSA","crit":["x"],` + kid + `,"typ":"at+jwt","x":1}`), ErrMalformed},
		{"b64", with(`{"alg":"EdDSA","b64":false,` + kid + `,"typ":"at+jwt"}`), ErrMalformed},
		{"jku", with(`{"alg":"EdDSA","jku":"https://evil.example",` + kid + `,"typ":"at+jwt"}`), ErrMalformed},
		{"jwk", with(`{"alg":"EdDSA","jwk":{"kty":"OKP"},` + kid + `,"typ":"at+jwt"}`), ErrMalformed},
		{"x5u", with(`{"alg":"EdDSA","x5u":"https://evil.example",` + kid + `,"typ":"at+jwt"}`), ErrMalformed},
		{"cty JWT (nested)", with(`{"alg":"EdDSA","cty":"JWT",` + kid + `,"typ":"at+jwt"}`), ErrMalformed},
		{"zip", with(`{"alg":"EdDSA",` + kid + `,"typ":"at+jwt","zip":"DEF"}`), ErrMalformed},
		{"header with space", with(`{ "alg":"EdDSA",` + kid + `,"typ":"at+jwt"}`), ErrMalformed},
		{"header and more", with(headerOf(s) + `{}`), ErrMalformed},
		{"header with comma", with(`{"alg":"EdDSA",` + kid + `,"typ":"at+jwt",}`), ErrMalformed},
		{"header cut", with(`{"alg":"EdDSA",` + kid + `,"typ":"at+jwt"`), ErrMalformed},
		{"header null", with(`null`), ErrMalformed},
		{"header empty object", with(`{}`), ErrMalformed},
	})
}

func TestVerifyKeyAndSignature(t *testing.T) {
	s, other := testSigner(1), testSigner(2)
	good := signed(t, s, typical(s, 1))
	parts := strings.Split(good, ".")
	payload, _ := b64.DecodeString(parts[1])
	with := func(header string) string { return sealed(s, header, string(payload)) }
	testRefusals(t, testVerifier(s), []refusal{
		{"unknown kid", sealed(other, headerOf(other), string(payload)), ErrUnknownKey},
		{"kid of a path", with(`{"alg":"EdDSA","kid":"../../dev/null","typ":"at+jwt"}`), ErrUnknownKey},
		{"kid of a query", with(`{"alg":"EdDSA","kid":"x' OR '1'='1","typ":"at+jwt"}`), ErrUnknownKey},
		{"kid and more", with(`{"alg":"EdDSA","kid":"` + s.KeyID() + `A","typ":"at+jwt"}`), ErrUnknownKey},
		{"kid cut", with(`{"alg":"EdDSA","kid":"` + s.KeyID()[:42] + `","typ":"at+jwt"}`), ErrUnknownKey},
		{"signed by another", sealed(other, headerOf(s), string(payload)), ErrSignature},
		{"short signature", join(parts[0], parts[1], parts[2][:84]), ErrSignature},
		{"long signature", good + "AA", ErrSignature},
		{"longer signature", join(parts[0], parts[1], parts[2][:84]+"AAAA"), ErrSignature},
		{"zero signature", join(parts[0], parts[1], strings.Repeat("A", 86)), ErrSignature},
		{"other payload", join(parts[0], b64.EncodeToString([]byte(strings.Replace(string(payload), "member", "admins", 1))), parts[2]), ErrSignature},
		{"payload no JSON, unsigned", join(parts[0], "AAAA", parts[2]), ErrSignature},
	})
}

func TestVerifyZeroRefuses(t *testing.T) {
	s := testSigner(1)
	good := signed(t, s, typical(s, 1))
	full := testVerifier(s)
	for name, c := range map[string]struct {
		v    Verifier
		want error
	}{
		"zero":        {Verifier{}, ErrUnknownKey},
		"no keys":     {Verifier{Issuer: full.Issuer, Audience: full.Audience}, ErrUnknownKey},
		"no issuer":   {Verifier{Audience: full.Audience, Key: full.Key}, ErrIssuer},
		"no audience": {Verifier{Issuer: full.Issuer, Key: full.Key}, ErrAudience},
		"another key": {Verifier{Issuer: full.Issuer, Audience: full.Audience, Key: func(string) *Key { return testSigner(2).Key() }}, ErrUnknownKey},
	} {
		if _, err := c.v.Verify(good, now); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestVerifyAllocations(t *testing.T) {
	s := testSigner(1)
	v, text := testVerifier(s), signed(t, s, typical(s, 1))
	n := testing.AllocsPerRun(20, func() {
		if _, err := v.Verify(text, now); err != nil {
			t.Fatal(err)
		}
	})
	if n > 5 {
		t.Errorf("%v allocations", n)
	}
}

// TestErrorsSayNothingOfTheToken guards logs: an error text is one of a fixed set.
func TestErrorsSayNothingOfTheToken(t *testing.T) {
	s := testSigner(1)
	for _, secret := range []string{"hunter2", "knr_hunter2", "a.hunter2.b", sealed(s, headerOf(s), `{"hunter2":1}`), sealed(s, `{"hunter2":1}`, "{}")} {
		_, err := testVerifier(s).Verify(secret, now)
		_, err2 := ParseRefresh(secret)
		if text := fmt.Sprint(err, err2); strings.Contains(text, "hunter2") {
			t.Error(text)
		}
	}
}
