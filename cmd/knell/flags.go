package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// address is a host:port to listen on.
type address string

// UnmarshalText implements encoding.TextUnmarshaler. Names are not looked up here.
func (a *address) UnmarshalText(text []byte) error {
	_, port, err := net.SplitHostPort(string(text))
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return fmt.Errorf("%q is not a host:port to listen on, such as 127.0.0.1:8080", text)
	}
	*a = address(text)
	return nil
}

// loopback reports whether only this machine can reach a. Names other than localhost are not looked up.
func (a address) loopback() bool {
	host, _, err := net.SplitHostPort(string(a))
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}

// network is a proxy's address or a range of them.
type network netip.Prefix

// UnmarshalText implements encoding.TextUnmarshaler: it takes 10.0.0.0/8 and 10.1.2.3.
func (n *network) UnmarshalText(text []byte) error {
	if ip, err := netip.ParseAddr(string(text)); err == nil {
		*n = network(netip.PrefixFrom(ip, ip.BitLen()))
		return nil
	}
	p, err := netip.ParsePrefix(string(text))
	if err != nil {
		return fmt.Errorf("%q is neither an IP address nor a range such as 10.0.0.0/8", text)
	}
	*n = network(p.Masked())
	return nil
}

// size is a number of bytes.
type size int64

// units are the suffixes of a size, the longer ones first.
var units = []struct {
	suffix string
	factor int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12},
	{"K", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}, {"T", 1 << 40}, {"B", 1}, {"", 1},
}

// age is a length of time, which may be given in days.
type age time.Duration

// UnmarshalText implements encoding.TextUnmarshaler: it takes 90d, 36h, 0 and forever, which is 0.
func (a *age) UnmarshalText(text []byte) error {
	s := string(text)
	if s == "forever" || s == "0" {
		*a = 0
		return nil
	}
	if days, found := strings.CutSuffix(s, "d"); found {
		n, err := strconv.ParseUint(days, 10, 16)
		*a = age(n) * age(24*time.Hour)
		if err == nil {
			return nil
		}
	} else if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		*a = age(d)
		return nil
	}
	return fmt.Errorf("%q is not a length of time such as 90d or 36h", text)
}

// maxSize is larger than any disk and far from overflow, in bytes.
const maxSize = 1 << 60

// UnmarshalText implements encoding.TextUnmarshaler: it takes 1073741824, 1GiB, 1GB and 1G.
func (s *size) UnmarshalText(text []byte) error {
	for _, u := range units {
		digits, found := strings.CutSuffix(string(text), u.suffix)
		if !found {
			continue
		}
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || n < 0 || n > maxSize/u.factor {
			break
		}
		*s = size(n * u.factor)
		return nil
	}
	return fmt.Errorf("%q is not a size such as 8GiB", text)
}

// is reports whether s is what text says.
func (s size) is(text string) bool {
	var other size
	return other.UnmarshalText([]byte(text)) == nil && s == other
}

// firstError returns the first error of checks as a usageError, nil when all hold.
func firstError(checks ...error) error {
	for _, err := range checks {
		if err != nil {
			return usageError{err}
		}
	}
	return nil
}

// unless returns an error with this text when ok is false.
func unless(ok bool, format string, args ...any) error {
	if ok {
		return nil
	}
	return fmt.Errorf(format, args...)
}

// listen opens the TCP listener of a flag. The error names the flag.
func listen(flag string, a address) (net.Listener, error) {
	l, err := net.Listen("tcp", string(a))
	if err != nil {
		return nil, usagef("--%s %s: %w; choose another address with --%s", flag, a, reason(err), flag)
	}
	return l, nil
}

// free returns an error that names the flag unless a can be listened on. "" is free.
func free(flag string, a address) error {
	if a == "" {
		return nil
	}
	l, err := listen(flag, a)
	if err != nil {
		return err
	}
	return l.Close()
}

// reason returns what went wrong without the address, which the caller names in his own words.
func reason(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}
