package httpapi

import (
	"errors"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

func TestBearer(t *testing.T) {
	for _, c := range []struct {
		values []string
		token  string
		err    error
	}{
		{nil, "", errNoCredentials},
		{[]string{""}, "", errNoCredentials},
		{[]string{"Bearer abc.def-_~+/=="}, "abc.def-_~+/==", nil},
		{[]string{"bEARER abc"}, "abc", nil},
		{[]string{"Bearer"}, "", errMalformedToken},
		{[]string{"Bearer "}, "", errMalformedToken},
		{[]string{"Bearer  abc"}, "abc", nil},
		{[]string{"Bearer   "}, "", errMalformedToken},
		{[]string{"Bearer abc "}, "", errMalformedToken},
		{[]string{"Bearer abc def"}, "", errMalformedToken},
		{[]string{"Bearer abc, Bearer def"}, "", errMalformedToken},
		{[]string{"Bearer a=b"}, "", errMalformedToken},
		{[]string{"Bearer =="}, "", errMalformedToken},
		{[]string{"Bearer a\x00b"}, "", errMalformedToken},
		{[]string{"Bearer a\u00e9"}, "", errMalformedToken},
		{[]string{"Bearer\tabc"}, "", errNoCredentials},
		{[]string{"Bearerabc"}, "", errNoCredentials},
		{[]string{"Basic YTpi"}, "", errNoSession},
		{[]string{"Bearer knl_abc"}, "", errNoSession},
		{[]string{"Digest x"}, "", errNoCredentials},
		{[]string{"Bearer abc", "Bearer abc"}, "", errManyCredentials},
		{[]string{"Basic YTpi", "Bearer abc"}, "", errManyCredentials},
		{[]string{"", ""}, "", errManyCredentials},
	} {
		token, err := bearer(http.Header{"Authorization": c.values})
		if token != c.token || !errors.Is(err, c.err) {
			t.Errorf("%q: %q %v, want %q %v", c.values, token, err, c.token, c.err)
		}
	}
}

// FuzzBearer compares with the grammar of RFC 6750 section 2.1.
func FuzzBearer(f *testing.F) {
	for _, s := range []string{"Bearer abc", "bearer a==", "Bearer  a", "Bearer", "Basic YTpi", "Bearer a=b", "BEARER ~"} {
		f.Add(s)
	}
	grammar := regexp.MustCompile(`^(?i:bearer) +([A-Za-z0-9._~+/-]+=*)$`)
	f.Fuzz(func(t *testing.T, value string) {
		want := ""
		if m := grammar.FindStringSubmatch(value); m != nil && !strings.HasSuffix(value, "\n") && !strings.HasPrefix(m[1], "knl_") {
			want = m[1]
		}
		token, err := bearer(http.Header{"Authorization": {value}})
		if token != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q %v, want %q", value, token, err, want)
		}
	})
}

func TestParseScope(t *testing.T) {
	for s, want := range map[string]int{
		"a": 1, "a b": 2, "a:b/c b!": 2, "": 0, " ": 0, "a  b": 0, " a": 0, "a ": 0, "a\"": 0, "a\\": 0, "a\tb": 0, "\u00e9": 0, "a\x7f": 0,
	} {
		scopes, ok := parseScope(s)
		if len(scopes) != want || ok != (want > 0) {
			t.Errorf("%q: %q %v", s, scopes, ok)
		}
	}
}
