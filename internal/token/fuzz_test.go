package token

import (
	"testing"
)

// FuzzVerify mutates good tokens. What is accepted must be a token that was signed, byte by byte.
func FuzzVerify(f *testing.F) {
	s := testSigner(1)
	v := testVerifier(s)
	good := map[string]bool{}
	for n := range uint64(4) {
		c := typical(s, n)
		if n == 3 {
			c.Audience, c.Roles, c.NotBefore = []string{"x", c.Audience[0]}, nil, now
		}
		text := signed(f, s, c)
		good[text] = true
		f.Add(text)
		f.Add(text + "=")
		f.Add(text[:50] + "\n" + text[50:])
		f.Add(text[:len(text)-1])
	}
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := v.Verify(text, now); (err == nil) != good[text] {
			t.Fatalf("%v, %+v", err, c)
		}
	})
}

// FuzzClaims signs any payload. What is accepted golang-jwt accepts too and reads the same, and signing it again gives
// something that reads the same.
func FuzzClaims(f *testing.F) {
	s := testSigner(1)
	v := testVerifier(s)
	f.Add(object(members()))
	f.Add(string(typical(s, 1).appendJSON(nil)))
	for name, value := range map[string]string{
		"sub": `"a\\\"ü"`, "aud": `["https://api.example.com","y"]`, "new": `{"a":["\n",null,true,{"b":0}]}`, "roles": "",
		"scope": `""`, "exp": "1.8e9",
	} {
		m := members()
		m[name] = value
		f.Add(object(m))
	}
	f.Fuzz(func(t *testing.T, payload string) {
		text := sealed(s, headerOf(s), payload)
		c, err := v.Verify(text, now)
		if err != nil {
			return
		}
		agree(t, s, text, c)
		again, err := v.Verify(signed(t, s, c), now)
		if err != nil {
			t.Fatal(err)
		}
		agree(t, s, text, again)
	})
}

// FuzzParseRefresh looks for a second text of a refresh token, and for a text that verifies without having been signed.
func FuzzParseRefresh(f *testing.F) {
	s := NewRefreshSigner(make([]byte, 32))
	good := map[string]bool{}
	for n := range uint64(4) {
		text := s.Sign(Refresh{Session: [16]byte{1, byte(n)}, Epoch: [16]byte{2}, Generation: uint32(n), Seq: n * 77})
		good[text] = true
		f.Add(text)
		f.Add(text[:20] + "\n" + text[21:])
		f.Add(text[:len(text)-1] + "=")
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRefresh(text)
		if err != nil {
			if good[text] {
				t.Fatal(err)
			}
			return
		}
		if back := RefreshPrefix + b64.EncodeToString(append(r.message()[len(refreshDomain):], r.signature[:]...)); back != text {
			t.Fatalf("%q has a second text", back)
		}
		if err := r.Verify(s.Public()); (err == nil) != good[text] {
			t.Fatalf("%v, %+v", err, r)
		}
	})
}
