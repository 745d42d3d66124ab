package webhook

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"regexp"
	"strings"
	"testing"
)

// The example of the specification's own test suites, and what two keys give.
func TestSign(t *testing.T) {
	key, err := ParseKey("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	const id, at = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330
	body := []byte(`{"test": 2432232314}`)
	const want = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	if got := Sign([][]byte{key}, id, at, body); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	second := NewKey()
	mac := hmac.New(sha256.New, second)
	mac.Write([]byte(id + ".1614265330." + string(body)))
	both := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)) + " " + want
	if got := Sign([][]byte{second, key}, id, at, body); got != both {
		t.Errorf("got %s, want %s", got, both)
	}
}

func TestKeyText(t *testing.T) {
	key := NewKey()
	text := KeyText(key)
	if back, err := ParseKey(text); err != nil || !bytes.Equal(back, key) {
		t.Errorf("%v: %x, want %x", err, back, key)
	}
	if !regexp.MustCompile(KeyPattern).MatchString(text) {
		t.Errorf("%s is not what a scanner looks for", KeyPattern)
	}
	of := func(n int) string { return keyPrefix + base64.StdEncoding.EncodeToString(make([]byte, n)) }
	for _, bad := range []string{"", "whsec_", strings.TrimPrefix(text, keyPrefix), "WHSEC_" + text[6:], of(23), of(65), text + "=", text + "\n",
		text[:20] + "\n" + text[20:], strings.ReplaceAll(of(33), "A", "-"), "whpk_" + text[6:]} {
		if _, err := ParseKey(bad); err == nil || bad != "" && strings.Contains(err.Error(), bad) && len(bad) > 6 {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for _, n := range []int{24, 64} {
		if _, err := ParseKey(of(n)); err != nil {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}
