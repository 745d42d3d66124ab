package httpapi

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"testing"
)

func TestParseBasic(t *testing.T) {
	encode := func(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }
	for _, c := range []struct {
		value string
		want  credentials
		ok    bool
	}{
		{encode("svc:secret"), credentials{"svc", "secret"}, true},
		{"basic c3ZjOg==", credentials{"svc", ""}, true},
		{encode("svc:a:b"), credentials{"svc", "a:b"}, true},
		{encode("s%3Avc:a%25+b"), credentials{"s:vc", "a% b"}, true}, // form-encoded (RFC 6749 section 2.3.1)
		{encode("svc"), credentials{}, false},
		{encode(":secret"), credentials{}, false},
		{encode("svc:%zz"), credentials{}, false},
		{encode("%:x"), credentials{}, false},
		{"Basic", credentials{}, false},
		{"Basic  c3ZjOg==", credentials{}, false},
		{"Basic c3ZjOg", credentials{}, false},
		{"Basic c3ZjOh==", credentials{}, false}, // not canonical
		{"Bearer c3ZjOg==", credentials{}, false},
		{"", credentials{}, false},
	} {
		if got, ok := parseBasic(c.value); got != c.want || ok != c.ok {
			t.Errorf("%q: %+v %v, want %+v %v", c.value, got, ok, c.want, c.ok)
		}
	}
}

// FuzzParseBasic compares with net/http: whatever is accepted means the same there.
func FuzzParseBasic(f *testing.F) {
	f.Add("Basic c3ZjOnNlY3JldA==")
	f.Add("basic c3ZjOg==")
	f.Fuzz(func(t *testing.T, value string) {
		got, ok := parseBasic(value)
		if !ok {
			return
		}
		r := &http.Request{Header: http.Header{"Authorization": {value}}}
		user, pass, ok := r.BasicAuth()
		id, err1 := url.QueryUnescape(user)
		secret, err2 := url.QueryUnescape(pass)
		if !ok || err1 != nil || err2 != nil || got != (credentials{id, secret}) {
			t.Errorf("%q: %+v, for net/http %q %q %v", value, got, id, secret, ok)
		}
	})
}
