package main

import (
	"net/netip"
	"testing"
)

func TestSize(t *testing.T) {
	for _, c := range []struct {
		text string
		want size
		ok   bool
	}{
		{"0", 0, true}, {"1024", 1024, true}, {"10B", 10, true}, {"2KiB", 2048, true}, {"2K", 2048, true}, {"2KB", 2000, true},
		{"8GiB", 8 << 30, true}, {"1T", 1 << 40, true}, {"1048576TiB", 1 << 60, true},
		{"", 0, false}, {"GiB", 0, false}, {"-1", 0, false}, {"1.5GiB", 0, false}, {"1 GiB", 0, false}, {"1gib", 0, false},
		{"1048577TiB", 0, false}, {"99999999999999999999", 0, false},
	} {
		var s size
		if err := s.UnmarshalText([]byte(c.text)); (err == nil) != c.ok || s != c.want {
			t.Errorf("%q: got %d, %v", c.text, s, err)
		}
	}
}

func TestNetwork(t *testing.T) {
	for text, want := range map[string]string{
		"10.1.2.3": "10.1.2.3/32", "10.1.2.3/8": "10.0.0.0/8", "::1": "::1/128", "2001:db8::1/32": "2001:db8::/32",
		"": "", "example.com": "", "10.0.0.0/33": "",
	} {
		var n network
		err := n.UnmarshalText([]byte(text))
		if got := netip.Prefix(n).String(); (err == nil) != (want != "") || err == nil && got != want {
			t.Errorf("%q: got %s, %v", text, got, err)
		}
	}
}

func TestLoopback(t *testing.T) {
	for a, want := range map[address]bool{
		"127.0.0.1:80": true, "127.9.9.9:80": true, "[::1]:80": true, "localhost:80": true,
		":80": false, "0.0.0.0:80": false, "[::]:80": false, "10.0.0.1:80": false, "example.com:80": false, "": false,
	} {
		if a.loopback() != want {
			t.Errorf("%q: loopback is %v", a, !want)
		}
	}
}
