package httpapi

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/knell-auth/knell/node"
)

// headerAPIKey carries an API key, for clients that cannot set Authorization. Header maps have it in this form.
const headerAPIKey = "X-Api-Key"

// scheme says how a credential was presented.
type scheme uint8

const (
	schemeBearer scheme = iota + 1 // RFC 6750: an access token or an API key
	schemeAPIKey                   // X-API-Key
	schemeBasic                    // RFC 7617
)

// credential is what a request presented. value is not checked yet: it is what stands behind the scheme.
type credential struct {
	scheme scheme
	value  string
}

// credentialOf returns the one credential in h. Two are refused, even two that are the same or of which one is of a scheme
// that nobody here knows: which of them counts is not for a proxy and a service to see differently. A scheme is compared in
// any case, and has spaces behind it (RFC 9110 section 11.4).
func credentialOf(h http.Header) (credential, error) {
	values, keys := h["Authorization"], h[headerAPIKey]
	switch {
	case len(values)+len(keys) > 1:
		return credential{}, errManyCredentials
	case len(keys) == 1:
		return credential{schemeAPIKey, keys[0]}, nil
	case len(values) == 0:
		return credential{}, errNoCredentials
	}
	name, value, _ := strings.Cut(values[0], " ")
	value = strings.TrimLeft(value, " ")
	switch {
	case strings.EqualFold(name, "Bearer"):
		return credential{schemeBearer, value}, nil
	case strings.EqualFold(name, "Basic"):
		return credential{schemeBasic, value}, nil
	}
	return credential{}, errNoCredentials // another scheme is as good as none
}

// bearer returns the access token of a request that ends or lists sessions: Bearer and a b64token (RFC 6750 section 2.1). Other
// credentials have no session.
func bearer(h http.Header) (string, error) {
	c, err := credentialOf(h)
	switch {
	case err != nil:
		return "", err
	case c.scheme != schemeBearer || node.IsAPIKey(c.value):
		return "", errNoSession
	case !isB64Token(c.value):
		return "", errMalformedToken
	}
	return c.value, nil
}

// parseUserPass returns user name and password of what stands behind Basic (RFC 7617 section 2): base64 of both, in UTF-8,
// with a colon between them, which a name cannot have. Neither has control characters.
func parseUserPass(value string) (name, password string, ok bool) {
	plain, err := base64.StdEncoding.Strict().DecodeString(value)
	if err != nil || !utf8.Valid(plain) || bytes.ContainsFunc(plain, unicode.IsControl) {
		return "", "", false
	}
	return strings.Cut(string(plain), ":")
}

// isB64Token reports whether s is a b64token: 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"=".
func isB64Token(s string) bool {
	s = strings.TrimRight(s, "=")
	for i := 0; i < len(s); i++ {
		if !b64TokenChars[s[i]] {
			return false
		}
	}
	return s != ""
}

// b64TokenChars has the characters of a b64token but its padding. Never written to.
var b64TokenChars = charset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/")

func charset(chars string) (set [256]bool) {
	for i := 0; i < len(chars); i++ {
		set[chars[i]] = true
	}
	return set
}

// isScopeToken reports whether s is one scope: 1*( %x21 / %x23-5B / %x5D-7E ) (RFC 6749 section 3.3).
func isScopeToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= 0x20 || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return s != ""
}

// parseScope returns the scopes in s, which single spaces separate; ok is false when s is not well-formed. The empty
// string is not.
func parseScope(s string) (scopes []string, ok bool) {
	scopes = strings.Split(s, " ")
	for _, scope := range scopes {
		if !isScopeToken(scope) {
			return nil, false
		}
	}
	return scopes, true
}
