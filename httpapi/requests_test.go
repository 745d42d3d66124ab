package httpapi

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/node"
)

func TestClientAddress(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, c := range []struct {
		peer      string
		forwarded []string
		proxies   []netip.Prefix
		want      string
	}{
		{"192.0.2.1:80", nil, nil, "192.0.2.1"},
		{"192.0.2.1:80", []string{"198.51.100.7"}, nil, "192.0.2.1"},
		{"192.0.2.1:80", []string{"198.51.100.7"}, proxies, "192.0.2.1"},
		{"10.0.0.1:80", nil, proxies, "10.0.0.1"},
		{"10.0.0.1:80", []string{"198.51.100.7"}, proxies, "198.51.100.7"},
		{"[::ffff:10.0.0.1]:80", []string{"198.51.100.7"}, proxies, "198.51.100.7"},
		{"[fd00::1%eth0]:80", []string{"2001:db8::1"}, proxies, "2001:db8::1"},
		// The client made up the left part.
		{"10.0.0.1:80", []string{"1.1.1.1, 198.51.100.7"}, proxies, "198.51.100.7"},
		{"10.0.0.1:80", []string{"1.1.1.1", "198.51.100.7, 10.0.0.2"}, proxies, "198.51.100.7"},
		{"10.0.0.1:80", []string{"10.0.0.3, 10.0.0.2"}, proxies, "10.0.0.3"},
		{"10.0.0.1:80", []string{"198.51.100.7:1234"}, proxies, "198.51.100.7"},
		{"10.0.0.1:80", []string{"[2001:db8::1]:1234"}, proxies, "2001:db8::1"},
		{"10.0.0.1:80", []string{"198.51.100.7, unknown"}, proxies, "10.0.0.1"},
		{"10.0.0.1:80", []string{"198.51.100.7, , 10.0.0.2"}, proxies, "10.0.0.2"},
		{"10.0.0.1:80", []string{""}, proxies, "10.0.0.1"},
		{"@", []string{"198.51.100.7"}, proxies, ""}, // a Unix socket
	} {
		r := &http.Request{RemoteAddr: c.peer, Header: http.Header{"X-Forwarded-For": c.forwarded}}
		if got := clientAddress(r, c.proxies); got != c.want {
			t.Errorf("%s %q: %s, want %s", c.peer, c.forwarded, got, c.want)
		}
	}
}

func FuzzClientAddress(f *testing.F) {
	f.Add("1.1.1.1, 10.0.0.2")
	f.Add(",,,")
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	f.Fuzz(func(t *testing.T, forwarded string) {
		r := &http.Request{RemoteAddr: "10.0.0.1:80", Header: http.Header{"X-Forwarded-For": {forwarded}}}
		if _, err := netip.ParseAddr(clientAddress(r, proxies)); err != nil {
			t.Error(err)
		}
	})
}

func TestRequestID(t *testing.T) {
	for _, c := range []struct {
		values []string
		kept   bool
	}{
		{nil, false},
		{[]string{"abc.DEF_09-"}, true},
		{[]string{strings.Repeat("a", 64)}, true},
		{[]string{strings.Repeat("a", 65)}, false},
		{[]string{""}, false},
		{[]string{"a b"}, false},
		{[]string{"a\"b"}, false},
		{[]string{"a", "a"}, false},
	} {
		r := &http.Request{RemoteAddr: "10.0.0.1:80", Header: http.Header{"X-Request-Id": c.values}}
		if own := requestID(r, nil); len(c.values) == 1 && own == c.values[0] {
			t.Errorf("%q was taken from a client", own)
		}
		got := requestID(r, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")})
		if c.kept != (len(c.values) == 1 && got == c.values[0]) {
			t.Errorf("%q: %q", c.values, got)
		}
		if _, err := events.ParseID(got); !c.kept && err != nil {
			t.Errorf("%q: new id %q", c.values, got)
		}
	}
}

// The node is told who asks and from where.
func TestOrigin(t *testing.T) {
	var got node.Origin
	n := &scripted{origin: func(o node.Origin) { got = o }}
	h := New(n, Config{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}) // httptest's peer
	call(h, "POST", "/logout", "", "Authorization: Bearer abc", "User-Agent: ua", "X-Request-Id: r1", "X-Forwarded-For: 198.51.100.7")
	want := node.Origin{Address: "198.51.100.7", UserAgent: "ua", RequestID: "r1"}
	if got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
