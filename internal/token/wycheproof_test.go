package token

import (
	"cmp"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/big"
	"slices"
	"testing"

	"github.com/c2sp/wycheproof"
)

// deviations are the vectors on which the gate differs from Project Wycheproof, by why. Each has to differ: one that does not
// any more fails the test.
var deviations = map[string][]string{
	// A token without claims is none, and is refused before its signature is looked at.
	"an empty payload": {"json_web_signature 259"},
	// "use" and "key_ops" are members of a JWK. A replica reads no JWK: it takes keys from its log, where each is one that
	// tokens are signed with.
	"a key for encryption": {
		"json_web_signature 353", "json_web_signature 354", "json_web_signature 355", "json_web_signature 356", "json_web_key 21",
	},
}

// joseGroup is a group of vectors with one key, or one set of keys.
type joseGroup struct {
	Public, Private *jwkSet
	Tests           []struct {
		ID       int `json:"tcId"`
		Comment  string
		JWS, JWE tokenText
		Result   string
	}
}

// jwkSet is a JWK, or a set of them.
type jwkSet struct {
	jwk
	Keys []jwk
}

// tokenText is a compact serialization, or the JSON text of another one, which is no token.
type tokenText string

// UnmarshalJSON implements json.Unmarshaler.
func (s *tokenText) UnmarshalJSON(b []byte) error {
	if b[0] != '"' {
		*s = tokenText(b)
		return nil
	}
	return json.Unmarshal(b, (*string)(s))
}

type jwk struct{ Kty, Alg, Crv, Kid, N, E, X, Y string }

// key returns k as a key of Knell, and nil where there is none: of an algorithm that Knell has not, or with bytes that NewKey refuses.
func (k jwk) key() *Key {
	part := func(text string) []byte {
		b, _ := b64.DecodeString(text)
		return b
	}
	var alg string
	var raw []byte
	switch k.Kty + " " + k.Crv {
	case "EC P-256":
		alg, raw = ES256, slices.Concat([]byte{4}, part(k.X), part(k.Y))
	case "RSA ":
		e := new(big.Int).SetBytes(part(k.E))
		alg, raw = RS256, x509.MarshalPKCS1PublicKey(&rsa.PublicKey{N: new(big.Int).SetBytes(part(k.N)), E: int(e.Int64())})
	case "OKP Ed25519":
		alg, raw = EdDSA, part(k.X)
	}
	key, err := NewKey(cmp.Or(k.Alg, alg), raw)
	if err != nil {
		return nil
	}
	key.id = k.Kid // in place of its thumbprint
	return key
}

func readVectors(t *testing.T, name string, into any) {
	t.Helper()
	text, err := fs.ReadFile(wycheproof.TestVectors, name+"_test.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
}

// TestWycheproofJOSE has all vectors for JWS, JWK and JWE. What is signed with an algorithm of Knell's is judged as they say;
// all else is refused, whatever they say: other algorithms, none, MACs, and everything that is encrypted.
func TestWycheproofJOSE(t *testing.T) {
	deviates := map[string]bool{}
	for _, list := range deviations {
		for _, name := range list {
			deviates[name] = true
		}
	}
	count := map[string]int{}
	for _, file := range []string{"json_web_signature", "json_web_key", "json_web_crypto", "json_web_encryption"} {
		var vectors struct{ TestGroups []joseGroup }
		readVectors(t, file, &vectors)
		for _, g := range vectors.TestGroups {
			set := cmp.Or(g.Public, g.Private)
			keys := map[string]*Key{}
			for _, k := range append(set.Keys, set.jwk) {
				if key := k.key(); key != nil {
					keys[k.Kid] = key
				}
			}
			v := &Verifier{Key: func(kid string) *Key { return keys[kid] }}
			for _, test := range g.Tests {
				name := fmt.Sprintf("%s %d", file, test.ID)
				_, _, err := v.authentic(string(test.JWS+test.JWE), "")
				want := len(keys) > 0 && test.Result == "valid"
				if deviates[name] {
					want = !want
					delete(deviates, name)
					count["deviations"]++
				}
				switch {
				case (err == nil) != want:
					t.Errorf("%s, %s (%s): %v", name, test.Comment, test.Result, err)
				case want:
					count["accepted"]++
				case len(keys) > 0:
					count["refused"]++
				default:
					count["refused without a key"]++
				}
			}
		}
	}
	for name := range deviates {
		t.Errorf("%s is no vector", name)
	}
	want := map[string]int{"accepted": 17, "refused": 291, "refused without a key": 341, "deviations": 6}
	if fmt.Sprint(count) != fmt.Sprint(want) {
		t.Errorf("vectors: %v, want %v", count, want)
	}
}

// TestWycheproofSignatures has the vectors of the three algorithms themselves: keys and signatures as bytes, of which those for
// JOSE have few, and none for EdDSA. "Acceptable" is what some libraries take for the sake of old signers: it is refused.
func TestWycheproofSignatures(t *testing.T) {
	for _, c := range []struct {
		file, alg      string
		count, refused int // vectors, and those whose key is refused
	}{
		{"ed25519", EdDSA, 151, 0},
		{"ecdsa_secp256r1_sha256_p1363", ES256, 262, 0},
		{"rsa_signature_2048_sha256", RS256, 259, 2},
	} {
		var vectors struct {
			TestGroups []struct {
				PublicKey struct {
					PK, Uncompressed string
				}
				PublicKeyASN string `json:"publicKeyAsn"`
				Tests        []struct {
					ID           int `json:"tcId"`
					Comment, Msg string
					Sig, Result  string
				}
			}
		}
		readVectors(t, c.file, &vectors)
		count, refused := 0, 0
		for _, g := range vectors.TestGroups {
			raw, err := hex.DecodeString(cmp.Or(g.PublicKey.PK, g.PublicKey.Uncompressed, g.PublicKeyASN))
			if err != nil {
				t.Fatal(err)
			}
			key, err := NewKey(c.alg, raw)
			if err != nil { // one exponent alone is taken
				refused += len(g.Tests)
				continue
			}
			for _, test := range g.Tests {
				msg, err1 := hex.DecodeString(test.Msg)
				sig, err2 := hex.DecodeString(test.Sig)
				if err1 != nil || err2 != nil {
					t.Fatal(err1, err2)
				}
				if err := key.method.Verify(string(msg), sig, key.public); (err == nil) != (test.Result == "valid") {
					t.Errorf("%s %d, %s (%s): %v", c.file, test.ID, test.Comment, test.Result, err)
				}
				count++
			}
		}
		if count+refused != c.count || refused != c.refused {
			t.Errorf("%s: %d vectors, and %d whose key is refused", c.file, count, refused)
		}
	}
}
