package webhook

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// maxURL is the longest address of a target, in bytes.
const maxURL = 2048

// A Target is where messages are sent.
type Target struct {
	url     *url.URL
	address string // host and port
	private bool
}

// Errors of ParseTarget. They say nothing of the address: it may hold a token.
var (
	errURL      = errors.New("the URL must be an absolute one, of at most 2048 printable characters")
	errScheme   = errors.New("the URL must begin with https://; with http:// only if the webhook may go to a private address")
	errUserinfo = errors.New("the URL must not have a user name or a password")
	errFragment = errors.New("the URL must not have a fragment")
	errHost     = errors.New("the URL must name a host, without a zone")
	errPort     = errors.New("the port of the URL must be a number from 1 to 65535")
)

// ParseTarget returns the target at an address. private says that it may be one that is not public.
func ParseTarget(text string, private bool) (*Target, error) {
	if text == "" || len(text) > maxURL || strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c > '~' || c == '\\' }) {
		return nil, errURL
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Opaque != "":
		return nil, errURL
	case u.Scheme != "https" && (u.Scheme != "http" || !private):
		return nil, errScheme
	case u.User != nil:
		return nil, errUserinfo
	case strings.Contains(text, "#"):
		return nil, errFragment
	}
	host, port := u.Hostname(), u.Port()
	if host == "" || strings.ContainsAny(host, "%,") || strings.HasSuffix(u.Host, ":") {
		return nil, errHost
	}
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return nil, errPort
	}
	return &Target{u, net.JoinHostPort(host, port), private}, nil
}

// Origin returns scheme, host and port, which is what may be said about the target in public.
func (t *Target) Origin() string { return fmt.Sprintf("%s://%s", t.url.Scheme, t.url.Host) }

// secure reports whether messages go over TLS.
func (t *Target) secure() bool { return t.url.Scheme == "https" }

// CheckLiteral is Policy.Check for a host that is an address already; a name is looked at when it is resolved.
func (p *Policy) CheckLiteral(t *Target) error {
	at, err := netip.ParseAddrPort(t.address)
	if err != nil {
		return nil
	}
	return p.Check(t, at)
}
