package webhook

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func target(t *testing.T, text string, private bool) *Target {
	t.Helper()
	to, err := ParseTarget(text, private)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return to
}

// What a URL must not be, and what it may.
func TestTargets(t *testing.T) {
	for name, c := range map[string]struct {
		url     string
		private bool
		want    error
	}{
		"plain http":                  {"http://siem.example.com/in", false, errScheme},
		"plain http to a private":     {"http://siem.example.com/in", true, nil},
		"https":                       {"https://siem.example.com/in?token=x%20y", false, nil},
		"a port":                      {"https://siem.example.com:8443", false, nil},
		"IPv6":                        {"https://[2606:4700::1]/in", false, nil},
		"user name and password":      {"https://user:pw@siem.example.com/", false, errUserinfo},
		"user name alone":             {"https://user@siem.example.com/", false, errUserinfo},
		"an empty user name":          {"https://@siem.example.com/", false, errUserinfo},
		"host in the user name":       {"https://siem.example.com@169.254.169.254/", false, errUserinfo},
		"a backslash before the at":   {`https://siem.example.com\@127.0.0.1/`, false, errURL},
		"a fragment":                  {"https://siem.example.com/#x", false, errFragment},
		"an empty fragment":           {"https://siem.example.com/#", false, errFragment},
		"no host":                     {"https:///in", false, errHost},
		"no host but a port":          {"https://:443/in", false, errHost},
		"an empty port":               {"https://siem.example.com:/in", false, errHost},
		"port 0":                      {"https://siem.example.com:0/in", false, errPort},
		"a port too many":             {"https://siem.example.com:65536/in", false, errPort},
		"a port with a sign":          {"https://siem.example.com:+443/in", false, errURL},
		"a zone":                      {"https://[fe80::1%25eth0]/in", true, errHost},
		"a file":                      {"file:///etc/passwd", true, errScheme},
		"gopher":                      {"gopher://127.0.0.1:6379/_FLUSHALL", true, errScheme},
		"a Unix socket":               {"unix:///data/admin.sock", true, errScheme},
		"opaque":                      {"https:siem.example.com", false, errURL},
		"relative":                    {"/in", false, errScheme},
		"a line break":                {"https://siem.example.com/\r\nX-Evil: 1", false, errURL},
		"an escaped line break":       {"https://siem.example.com%0d%0a.evil/", false, errURL},
		"a space":                     {"https://siem.example.com/a b", false, errURL},
		"characters of other scripts": {"https://siem.ex\u0430mple.com/", false, errURL},
		"too long":                    {"https://siem.example.com/" + strings.Repeat("x", maxURL), false, errURL},
		"nothing":                     {"", false, errURL},
	} {
		_, err := ParseTarget(c.url, c.private)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "siem") {
			t.Errorf("%s: the error repeats the address: %v", name, err)
		}
	}
}

// Addresses that must not be reached, each in every way to write it, and what allows them.
func TestAddresses(t *testing.T) {
	allowed := Policy{Private: prefixes("0.0.0.0/0", "::/0"), Own: func(at netip.AddrPort) bool { return at == netip.MustParseAddrPort("127.0.0.1:8080") }}
	secure, private := target(t, "https://x.test", false), target(t, "https://x.test", true)
	for name, c := range map[string]struct {
		address       string
		public, never bool
	}{
		"public":                   {address: "93.184.216.34", public: true},
		"public IPv6":              {address: "2606:4700::1", public: true},
		"loopback":                 {address: "127.0.0.1"},
		"loopback IPv6":            {address: "::1"},
		"loopback mapped":          {address: "::ffff:127.0.0.1"},
		"loopback compatible":      {address: "::127.0.0.1"},
		"loopback translated":      {address: "64:ff9b::7f00:1"},
		"loopback by 6to4":         {address: "2002:7f00:1::"},
		"by Teredo":                {address: "2001::1"},
		"10/8":                     {address: "10.1.2.3"},
		"172.16/12":                {address: "172.31.255.255"},
		"192.168/16":               {address: "192.168.0.1"},
		"private mapped":           {address: "::ffff:10.0.0.1"},
		"private translated":       {address: "64:ff9b::a00:1"},
		"local translation prefix": {address: "64:ff9b:1::a00:1"},
		"carrier-grade NAT":        {address: "100.64.0.1"},
		"unique local":             {address: "fd12:3456::1"},
		"documentation IPv6":       {address: "2001:db8::1"},
		"link-local":               {address: "169.254.1.1", never: true},
		"metadata":                 {address: "169.254.169.254", never: true},
		"metadata mapped":          {address: "::ffff:169.254.169.254", never: true},
		"metadata translated":      {address: "64:ff9b::a9fe:a9fe", never: true},
		"metadata of AWS by IPv6":  {address: "fd00:ec2::254", never: true},
		"metadata of Alibaba":      {address: "100.100.100.200", never: true},
		"metadata of Azure":        {address: "168.63.129.16", never: true},
		"link-local IPv6":          {address: "fe80::1", never: true},
		"link-local with a zone":   {address: "fe80::1%lo", never: true},
		"site-local":               {address: "fec0::1", never: true},
		"unspecified":              {address: "0.0.0.0", never: true},
		"unspecified IPv6":         {address: "::", never: true},
		"unspecified mapped":       {address: "::ffff:0.0.0.0", never: true},
		"this network":             {address: "0.1.2.3", never: true},
		"multicast":                {address: "224.0.0.1", never: true},
		"multicast IPv6":           {address: "ff02::1", never: true},
		"broadcast":                {address: "255.255.255.255", never: true},
	} {
		at := netip.AddrPortFrom(netip.MustParseAddr(c.address), 443)
		if err := new(Policy).Check(secure, at); (err == nil) != c.public {
			t.Errorf("%s: %v", name, err)
		}
		if err := new(Policy).Check(private, at); (err == nil) != c.public {
			t.Errorf("%s, by a webhook that says that it may be private: %v", name, err)
		}
		if err := allowed.Check(secure, at); (err == nil) != c.public {
			t.Errorf("%s, allowed, by a webhook that does not say so: %v", name, err)
		}
		if err := allowed.Check(private, at); (err == nil) == c.never {
			t.Errorf("%s, allowed: %v", name, err)
		}
	}
	for _, own := range []string{"127.0.0.1:8080", "[::ffff:127.0.0.1]:8080", "[64:ff9b::7f00:1]:8080"} {
		if err := allowed.Check(private, netip.MustParseAddrPort(own)); err == nil || !strings.Contains(err.Error(), "itself") {
			t.Errorf("%s, where the replica listens: %v", own, err)
		}
	}
	if err := allowed.Check(target(t, "http://x.test", true), netip.MustParseAddrPort("93.184.216.34:80")); err == nil {
		t.Error("plain http goes to a public address")
	}
	if err := new(Policy).Check(private, netip.AddrPort{}); err == nil {
		t.Error("no address is allowed")
	}
}

// names resolves each name that it is asked for to the addresses in turn, one a question, as a name server that rebinds does.
func names(t *testing.T, addresses ...string) (*net.Resolver, *atomic.Int32) {
	t.Helper()
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int32
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 512)
		for {
			n, from, err := l.ReadFrom(buf)
			if err != nil {
				return
			}
			q := buf[:n]
			end := 12
			for q[end] != 0 {
				end += int(q[end]) + 1
			}
			isA := q[end+2] == 1
			a := append([]byte{}, q[:end+5]...) // header and question, without what EDNS adds
			a[2], a[3], a[7], a[11] = 0x84, 0, 0, 0
			if isA {
				i := int(asked.Add(1)) - 1
				a[7] = 1
				a = append(a, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
				ip := netip.MustParseAddr(addresses[min(i, len(addresses)-1)]).As4()
				a = append(a, ip[:]...)
			}
			_, _ = l.WriteTo(a, from)
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", l.LocalAddr().String())
	}
	return &net.Resolver{PreferGo: true, Dial: dial}, &asked
}

// A name that resolves to an address which is not public gets nowhere: whatever it resolved to before, and however it is written.
func TestNames(t *testing.T) {
	var reached atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { reached.Add(1) }))
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	send := func(url string, private bool, resolver *net.Resolver, p Policy) error {
		s := Sender{Target: target(t, url, private), Policy: p, resolver: resolver}
		defer s.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		return s.Send(ctx, &Message{ID: "1", Body: []byte("{}")}).Err
	}
	resolver, asked := names(t, "127.0.0.1")
	for name, url := range map[string]string{
		"a name of loopback":     "https://localhost:" + port,
		"a name that resolves":   "https://rebind.test:" + port,
		"an address":             "https://127.0.0.1:" + port,
		"a mapped address":       "https://[::ffff:127.0.0.1]:" + port,
		"an address as a number": "https://2130706433:" + port,
		"an address in octal":    "https://0177.0.0.1:" + port,
		"an address in hex":      "https://0x7f.0.0.1:" + port,
		"a short address":        "https://127.1:" + port,
		"with a dot":             "https://localhost.:" + port,
	} {
		err := send(url, false, resolver, Policy{Private: prefixes("0.0.0.0/0", "::/0")})
		var refused *RefusedError
		if !errors.As(err, &refused) && !strings.Contains(err.Error(), "cannot be resolved") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if asked.Load() == 0 {
		t.Error("nobody asked the name server")
	}
	// The first answer is good; the connection is made by the second one.
	rebinding, _ := names(t, "93.184.216.34", "127.0.0.1")
	if _, err := rebinding.LookupHost(t.Context(), "rebind.test"); err != nil {
		t.Fatal(err)
	}
	var refused *RefusedError
	if err := send("https://rebind.test:"+port, false, rebinding, Policy{}); !errors.As(err, &refused) {
		t.Errorf("after the name was bound to another address: %v", err)
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("the server was reached %d times", n)
	}
	// The same is good where it is allowed, but for the replica's own port.
	good := Policy{Private: prefixes("127.0.0.0/8")}
	if err := send("http://rebind.test:"+port, true, resolver, good); err != nil || reached.Load() != 1 {
		t.Errorf("allowed: %v", err)
	}
	good.Own = func(at netip.AddrPort) bool { return at.Port() == uint16(server.Listener.Addr().(*net.TCPAddr).Port) }
	if err := send("http://rebind.test:"+port, true, resolver, good); !errors.As(err, &refused) || reached.Load() != 1 {
		t.Errorf("to the replica itself: %v", err)
	}
}

// No proxy is asked, whatever the environment says.
func TestNoProxy(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the proxy was asked") }))
	defer proxy.Close()
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"} {
		t.Setenv(name, proxy.URL)
	}
	var got string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got = string(b)
	}))
	defer server.Close()
	s := Sender{Target: target(t, server.URL, true), Policy: Policy{Private: prefixes("127.0.0.0/8")}}
	defer s.Close()
	if r := s.Send(t.Context(), &Message{Body: []byte("straight")}); r.Err != nil || got != "straight" {
		t.Errorf("%v: %q", r.Err, got)
	}
}
