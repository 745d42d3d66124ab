package token

import (
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"
)

func TestRefreshSignAndVerify(t *testing.T) {
	s, other := NewRefreshSigner(make([]byte, 32)), NewRefreshSigner(append(make([]byte, 31), 1))
	for _, r := range []Refresh{
		{},
		{Session: [16]byte{1, 15: 2}, Epoch: [16]byte{3, 15: 4}, Generation: 7, Seq: 99},
		{Session: [16]byte{255}, Epoch: [16]byte{255}, Generation: 1<<32 - 1, Seq: 1<<64 - 1, KeyID: other.KeyID()},
	} {
		text := s.Sign(r)
		if text != s.Sign(r) || len(text) != refreshText || !strings.HasPrefix(text, "knr_") {
			t.Errorf("text %q", text)
		}
		got, err := ParseRefresh(text)
		if err != nil {
			t.Fatal(err)
		}
		r.KeyID, r.signature = s.KeyID(), got.signature
		if got != r {
			t.Errorf("got %+v, want %+v", got, r)
		}
		if err := got.Verify(s.Public()); err != nil {
			t.Error(err)
		}
		if err := got.Verify(other.Public()); !errors.Is(err, ErrUnknownKey) || !errors.Is(err, ErrInvalid) {
			t.Errorf("with another key: %v", err)
		}
		if err := got.Verify(nil); !errors.Is(err, ErrUnknownKey) {
			t.Errorf("with no key: %v", err)
		}
		for name, f := range map[string]func(*Refresh){
			"session":    func(r *Refresh) { r.Session[0]++ },
			"epoch":      func(r *Refresh) { r.Epoch[15]++ },
			"generation": func(r *Refresh) { r.Generation++ },
			"sequence":   func(r *Refresh) { r.Seq++ },
			"signature":  func(r *Refresh) { r.signature[63] ^= 1 },
		} {
			changed := got
			f(&changed)
			if err := changed.Verify(s.Public()); !errors.Is(err, ErrSignature) {
				t.Errorf("another %s: %v", name, err)
			}
		}
	}
}

// TestRefreshDomain: a signature over the payload alone, as any other use of the key might make, is not a refresh token.
func TestRefreshDomain(t *testing.T) {
	s := NewRefreshSigner(make([]byte, 32))
	r := Refresh{Seq: 1, KeyID: s.KeyID()}
	copy(r.signature[:], ed25519.Sign(s.priv, r.message()[len(refreshDomain):]))
	if err := r.Verify(s.Public()); !errors.Is(err, ErrSignature) {
		t.Error(err)
	}
}

func TestParseRefreshRefuses(t *testing.T) {
	good := NewRefreshSigner(make([]byte, 32)).Sign(Refresh{Seq: 5})
	access := testSigner(1)
	for name, text := range map[string]string{
		"empty":          "",
		"prefix":         "knr_",
		"access token":   signed(t, access, typical(access, 1)),
		"other prefix":   "knx_" + good[4:],
		"upper case":     "KNR_" + good[4:],
		"no prefix":      good[4:],
		"short":          good[:len(good)-1],
		"long":           good + "A",
		"padding":        good + "=",
		"padding inside": good[:len(good)-1] + "=",
		"line break":     good + "\n",
		"line breaks":    good[:40] + "\r\n" + good[42:],
		"trailing bits":  good[:len(good)-1] + string(good[len(good)-1]+1),
		"plus":           good[:40] + "+" + good[41:],
		"space":          " " + good,
		"twice":          good + good,
	} {
		if r, err := ParseRefresh(text); !errors.Is(err, ErrMalformed) || r != (Refresh{}) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}
