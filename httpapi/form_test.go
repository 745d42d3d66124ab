package httpapi

import (
	"maps"
	"net/url"
	"strings"
	"testing"
)

func TestParseForm(t *testing.T) {
	for _, c := range []struct {
		body string
		want map[string]string // nil: refused
	}{
		{"", map[string]string{}},
		{"a=1&b=x+y%26", map[string]string{"a": "1", "b": "x y&"}},
		{"a=1&&b=2&", map[string]string{"a": "1", "b": "2"}},
		{"a=&b", map[string]string{}},
		{"a=b=c", map[string]string{"a": "b=c"}},
		{"a=%C3%A9%09", map[string]string{"a": "\u00e9\t"}},
		{"a=1&a=1", nil},
		{"a=&a=1", nil},
		{"a=1&%61=2", nil},
		{"unknown=1&unknown=2", nil},
		{"a=1;b=2", nil},
		{"a=%", nil},
		{"a=%zz", nil},
		{"a=%00", nil},
		{"a=%0d%0aSet-Cookie:x", nil},
		{"a=\n", nil},
		{"a=%7f", nil},
		{"a=%ff", nil},
		{"%ff=a", nil},
	} {
		got, err := parseForm(c.body)
		if (err == nil) != (c.want != nil) || err == nil && !maps.Equal(got, c.want) {
			t.Errorf("%q: %q %v, want %q", c.body, got, err, c.want)
		}
	}
}

// FuzzParseForm compares with net/url: whatever is accepted means the same there, and nothing in it is ambiguous.
func FuzzParseForm(f *testing.F) {
	for _, s := range []string{loginForm, "a=1&a=2", "a=%zz", "a;b", "&&&", "=", "a=%00", "%61=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		form, err := parseForm(body)
		if err != nil {
			return
		}
		values, err := url.ParseQuery(body)
		if err != nil {
			t.Fatalf("%q is accepted, but not by net/url: %v", body, err)
		}
		for name, list := range values {
			if len(list) != 1 || form[name] != list[0] {
				t.Errorf("%q: %s is %q, for net/url %q", body, name, form[name], list)
			}
			if strings.ContainsAny(list[0], "\r\n\x00") {
				t.Errorf("%q: control characters pass", body)
			}
		}
	})
}

func TestShorten(t *testing.T) {
	if got := shorten(strings.Repeat("\u00e9", 100)); got != strings.Repeat("\u00e9", 20)+"..." {
		t.Error(got)
	}
	if got := shorten(strings.Repeat("a", 39) + "\u00e9"); got != strings.Repeat("a", 39)+"..." {
		t.Error(got)
	}
}

func TestMediaType(t *testing.T) {
	const want = "application/json"
	for value, ok := range map[string]bool{
		"application/json": true, "Application/JSON": true, "application/json; charset=utf-8": true, `application/json;charset="UTF-8"`: true,
		"application/json; charset=utf-16": false, "text/plain": false, "": false, "application/json, text/plain": false,
		"application/jsonx": false, "application/json; charset=utf-8; charset=utf-16": false,
	} {
		if isMediaType(value, want) != ok {
			t.Errorf("%q: %v", value, !ok)
		}
	}
}
