package httpapi

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/knell-auth/knell/node"
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

// A client whose secret is replaced while it asks for a token is authenticated again: by the new secret it gets one, by the old one it
// does not.
func TestClientIsAuthenticatedAgain(t *testing.T) {
	for _, c := range []struct {
		overlap int
		status  int
	}{{0, 401}, {3600, 200}} {
		t.Run(fmt.Sprint(c.overlap), func(t *testing.T) {
			w := newWorld(t)
			changed := &changing{Node: w.node, change: func() {
				body := fmt.Sprintf(`{"secret":"svc-secret-9876543210","overlap_seconds":%d}`, c.overlap)
				expect(t, call(w.handler, "POST", "/clients/svc/secret", body, jsonType, "Authorization: Bearer "+w.vars["root"]), 200)
			}}
			h := New(changed, Config{})
			got := call(h, "POST", "/token", "grant_type=client_credentials", formType, "Authorization: Basic "+w.vars["svc-basic"])
			expect(t, got, c.status)
			if changed.times != map[int]int{401: 1, 200: 2}[c.status] {
				t.Errorf("authenticated %d times", changed.times)
			}
		})
	}
}

// changing is a node on which something changes between the first authentication of a client and what it asks for.
type changing struct {
	*node.Node
	change func()
	times  int
}

func (c *changing) AuthenticateClient(ctx context.Context, id, secret string, o node.Origin) (uint64, error) {
	seq, err := c.Node.AuthenticateClient(ctx, id, secret, o)
	if err == nil {
		c.times++
	}
	if c.change != nil {
		c.change()
		c.change = nil
	}
	return seq, err
}
