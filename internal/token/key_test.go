package token

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

// signers holds one signer of each algorithm, made once: RSA keys take time.
var signers = sync.OnceValue(func() map[string]*Signer {
	m := map[string]*Signer{}
	for _, alg := range Algorithms() {
		private, err := NewPrivate(alg)
		if err != nil {
			panic(err)
		}
		if m[alg], err = NewSigner(alg, private); err != nil {
			panic(err)
		}
	}
	return m
})

func decode(t *testing.T, s string) []byte {
	t.Helper()
	b, err := b64.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The key of RFC 7638 section 3.1.
const rfcModulus = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3" +
	"oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n9" +
	"1CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"

// TestThumbprint has the examples of RFC 8037 appendix A.3 and RFC 7638 section 3.1.
func TestThumbprint(t *testing.T) {
	rsaRaw := x509.MarshalPKCS1PublicKey(&rsa.PublicKey{N: new(big.Int).SetBytes(decode(t, rfcModulus)), E: rsaExponent})
	for _, c := range []struct {
		alg string
		raw []byte
		id  string
	}{
		{EdDSA, decode(t, "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"},
		{RS256, rsaRaw, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"},
	} {
		k, err := NewKey(c.alg, c.raw)
		if err != nil || k.ID() != c.id || k.Algorithm() != c.alg || !bytes.Equal(k.Public(), c.raw) {
			t.Errorf("%s: %v, %+v", c.alg, err, k)
		}
	}
}

// TestForeignSignature is the example of RFC 7515 appendix A.3, which nobody here signed.
func TestForeignSignature(t *testing.T) {
	raw := append([]byte{4}, append(decode(t, "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"),
		decode(t, "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0")...)...)
	k, err := NewKey(ES256, raw)
	if err != nil {
		t.Fatal(err)
	}
	signed := "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
	sig := decode(t, "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q")
	if err := k.method.Verify(signed, sig, k.public); err != nil {
		t.Error(err)
	}
	if err := k.method.Verify(signed+"A", sig, k.public); err == nil {
		t.Error("a signature of something else verifies")
	}
}

// TestJWK reads each public key back from its JWK, as somebody else would.
func TestJWK(t *testing.T) {
	for alg, s := range signers() {
		var m map[string]string
		if err := json.Unmarshal(s.Key().JWK(), &m); err != nil {
			t.Fatalf("%s: %v", alg, err)
		}
		if m["kid"] != s.KeyID() || m["alg"] != alg || m["use"] != "sig" || m["d"] != "" {
			t.Errorf("%s: %v", alg, m)
		}
		var raw []byte
		switch m["kty"] + m["crv"] {
		case "OKPEd25519":
			raw = decode(t, m["x"])
		case "ECP-256":
			raw = append([]byte{4}, append(decode(t, m["x"]), decode(t, m["y"])...)...)
		case "RSA":
			e := new(big.Int).SetBytes(decode(t, m["e"]))
			raw = x509.MarshalPKCS1PublicKey(&rsa.PublicKey{N: new(big.Int).SetBytes(decode(t, m["n"])), E: int(e.Int64())})
		}
		if k, err := NewKey(alg, raw); err != nil || k.ID() != s.KeyID() {
			t.Errorf("%s: %v of %v", alg, err, m)
		}
	}
}

func TestKeyRefuses(t *testing.T) {
	point := bytes.Clone(signers()[ES256].Key().Public())
	compressed := append([]byte{2}, point[1:33]...)
	off := bytes.Clone(point)
	off[64] ^= 1
	n := new(big.Int).SetBytes(decode(t, rfcModulus))
	der := x509.MarshalPKCS1PublicKey(&rsa.PublicKey{N: n, E: rsaExponent})
	for name, c := range map[string]struct {
		alg string
		raw []byte
	}{
		"no algorithm":    {"", make([]byte, 32)},
		"none":            {"none", nil},
		"HS256":           {"HS256", make([]byte, 32)},
		"Ed25519 short":   {EdDSA, make([]byte, 31)},
		"Ed25519 empty":   {EdDSA, nil},
		"P-256 empty":     {ES256, nil},
		"P-256 scalar":    {ES256, make([]byte, 32)},
		"compressed":      {ES256, compressed},
		"infinity":        {ES256, []byte{0}},
		"not on curve":    {ES256, off},
		"P-256 longer":    {ES256, append(bytes.Clone(point), 0)},
		"RSA empty":       {RS256, nil},
		"RSA longer":      {RS256, append(bytes.Clone(der), 0)},
		"RSA exponent 3":  {RS256, x509.MarshalPKCS1PublicKey(&rsa.PublicKey{N: n, E: 3})},
		"RSA 2047 bits":   {RS256, x509.MarshalPKCS1PublicKey(&rsa.PublicKey{N: new(big.Int).Rsh(n, 1), E: rsaExponent})},
		"RSA 4096 bits":   {RS256, x509.MarshalPKCS1PublicKey(&rsa.PublicKey{N: new(big.Int).Mul(n, n), E: rsaExponent})},
		"point for RS256": {RS256, point},
		"DER for ES256":   {ES256, der},
	} {
		if k, err := NewKey(c.alg, c.raw); k != nil || !errors.Is(err, ErrKey) {
			t.Errorf("%s: %v, %v", name, k, err)
		}
	}
}

func TestSignerRefuses(t *testing.T) {
	p256, err := NewPrivate(ES256)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	wrongCurve, err := x509.MarshalPKCS8PrivateKey(p384)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		alg     string
		private []byte
	}{
		"none": {"none", p256}, "seed of 31": {EdDSA, make([]byte, 31)}, "seed for ES256": {ES256, make([]byte, 32)},
		"P-256 for RS256": {RS256, p256}, "P-256 for EdDSA": {EdDSA, p256}, "P-384": {ES256, wrongCurve}, "nothing": {RS256, nil},
	} {
		if s, err := NewSigner(c.alg, c.private); s != nil || !errors.Is(err, ErrKey) {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
	if _, err := NewPrivate("none"); !errors.Is(err, ErrKey) {
		t.Error(err)
	}
}

// TestAlgorithms: each algorithm signs what it verifies, equal claims give equal tokens, golang-jwt agrees, and no key takes a
// token of another algorithm, whatever its header says.
func TestAlgorithms(t *testing.T) {
	lengths := map[string]int{EdDSA: 64, ES256: 64, RS256: 256}
	var all []*Signer
	for _, s := range signers() {
		all = append(all, s)
	}
	v := testVerifier(all...)
	for alg, s := range signers() {
		for n := range uint64(64) { // an R or an S with a leading zero byte comes once in 128 signatures
			c := typical(s, n)
			text := signed(t, s, c)
			got, err := v.Verify(text, now)
			if err != nil || !reflect.DeepEqual(got, c) {
				t.Fatalf("%s: %v\n got %+v\nwant %+v", alg, err, got, c)
			}
			if again := signed(t, s, c); again != text {
				t.Errorf("%s: signed differently the second time", alg)
			}
			if sig := decode(t, text[strings.LastIndexByte(text, '.')+1:]); len(sig) != lengths[alg] {
				t.Errorf("%s: signature of %d bytes", alg, len(sig))
			}
			agree(t, s, text, c)
		}
		payload := string(typical(s, 1).appendJSON(nil))
		for other, o := range signers() {
			if other == alg {
				continue
			}
			testRefusals(t, v, []refusal{
				{alg + " says " + other, sealed(s, `{"alg":"`+other+`","kid":"`+s.KeyID()+`","typ":"at+jwt"}`, payload), ErrMalformed},
				{alg + " with the kid of " + other, sealed(s, `{"alg":"`+alg+`","kid":"`+o.KeyID()+`","typ":"at+jwt"}`, payload), ErrMalformed},
				{alg + " in the name of " + other, sealed(s, headerOf(o), payload), ErrSignature},
			})
		}
	}
}

// TestECDSAForm: of ES256 signatures only R and S at fixed lengths are taken, not DER, and none that is trivial.
func TestECDSAForm(t *testing.T) {
	s := signers()[ES256]
	text := signed(t, s, typical(s, 1))
	dot := strings.LastIndexByte(text, '.')
	with := func(sig []byte) string { return text[:dot+1] + base64.RawURLEncoding.EncodeToString(sig) }
	sig := decode(t, text[dot+1:])
	der, err := ecdsa.SignASN1(rand.Reader, s.private.(*ecdsa.PrivateKey), make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	order := elliptic.P256().Params().N.Bytes()
	testRefusals(t, testVerifier(s), []refusal{
		{"DER", with(der), ErrSignature},
		{"zero", with(make([]byte, 64)), ErrSignature},
		{"order", with(append(bytes.Clone(order), order...)), ErrSignature},
		{"zero S", with(append(bytes.Clone(sig[:32]), make([]byte, 32)...)), ErrSignature},
		{"short", with(sig[:63]), ErrSignature},
		{"long", with(append(bytes.Clone(sig), 0)), ErrSignature},
		{"leading zeros", with(append(append([]byte{0}, sig[:32]...), append([]byte{0}, sig[32:]...)...)), ErrSignature},
		{"swapped", with(append(bytes.Clone(sig[32:]), sig[:32]...)), ErrSignature},
	})
}

// TestSignID: golang-jwt verifies ID tokens, the gate refuses them, and what they say is what was asked.
func TestSignID(t *testing.T) {
	// The access token and at_hash of RS256 in OpenID Connect Core 1.0 appendix A.3.
	const access, hash = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y", "77QmUPtjPfzWtF2AnpK9RQ"
	for alg, s := range signers() {
		text, err := s.SignID(IDClaims{
			Issuer: "https://login.example.com", Subject: "user", ClientID: "web", Nonce: `n"0\S6`, Expires: now + 600, IssuedAt: now,
			AuthTime: now - 5, Session: [16]byte{1}, AccessToken: access,
		})
		if err != nil {
			t.Fatal(err)
		}
		got := jwt.MapClaims{}
		parsed, err := jwt.NewParser(jwt.WithValidMethods([]string{alg}), jwt.WithJSONNumber(), jwt.WithoutClaimsValidation()).
			ParseWithClaims(text, got, func(*jwt.Token) (any, error) { return s.Key().public, nil })
		if err != nil || parsed.Header["typ"] != "JWT" || parsed.Header["kid"] != s.KeyID() {
			t.Fatalf("%s: %v, %v", alg, err, parsed.Header)
		}
		want := jwt.MapClaims{
			"iss": "https://login.example.com", "sub": "user", "aud": "web", "nonce": `n"0\S6`, "exp": json.Number("1800000600"),
			"iat": json.Number("1800000000"), "auth_time": json.Number("1799999995"), "sid": "aeaaaaaaaaaaaaaaaaaaaaaaaa", "at_hash": hash,
		}
		if alg == EdDSA { // its hash is SHA-512
			want["at_hash"] = got["at_hash"]
			if sum, ok := got["at_hash"].(string); !ok || len(decode(t, sum)) != 32 {
				t.Errorf("at_hash %v", got["at_hash"])
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %v\nwant %v", alg, got, want)
		}
		testRefusals(t, testVerifier(s), []refusal{{"ID token of " + alg, text, ErrMalformed}})
	}
	s := testSigner(1)
	good := IDClaims{Issuer: "i", Subject: "s", ClientID: "c", Expires: 2, IssuedAt: 1}
	if _, err := s.SignID(good); err != nil {
		t.Error(err)
	}
	for name, f := range map[string]func(*IDClaims){
		"no issuer": func(c *IDClaims) { c.Issuer = "" }, "no subject": func(c *IDClaims) { c.Subject = "" },
		"no client": func(c *IDClaims) { c.ClientID = "" }, "no expiry": func(c *IDClaims) { c.Expires = 0 },
		"no iat": func(c *IDClaims) { c.IssuedAt = 0 }, "late": func(c *IDClaims) { c.AuthTime = maxTime + 1 },
		"control in nonce": func(c *IDClaims) { c.Nonce = "a\nb" }, "nonce not UTF-8": func(c *IDClaims) { c.Nonce = "\xff" },
		"too long": func(c *IDClaims) { c.Nonce = strings.Repeat("n", MaxSize) },
	} {
		c := good
		f(&c)
		if text, err := s.SignID(c); !errors.Is(err, ErrClaims) || text != "" {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
}
