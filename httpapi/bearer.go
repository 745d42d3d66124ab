package httpapi

import (
	"net/http"
	"strings"
)

// bearer returns the access token of a request: of its one Authorization header, which holds the scheme (in any case), one
// space and a b64token (RFC 6750 section 2.1). Another scheme is as good as no credentials.
func bearer(h http.Header) (string, error) {
	token, err := uncheckedBearer(h)
	if err == nil && !isB64Token(token) {
		return "", errMalformedToken
	}
	return token, err
}

// uncheckedBearer is bearer without a look at the characters of the token, which costs more than to recognise a token that
// was verified before.
func uncheckedBearer(h http.Header) (string, error) {
	values := h["Authorization"]
	if len(values) != 1 {
		if len(values) == 0 {
			return "", errNoCredentials
		}
		return "", errManyCredentials
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", errNoCredentials
	}
	return token, nil
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
