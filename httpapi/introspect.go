package httpapi

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"unicode/utf8"

	"github.com/knell-auth/knell/node"
)

// scopeIntrospect is the scope of an access token whose bearer may ask about others' tokens.
const scopeIntrospect = "introspect"

// introspect serves POST /introspect (RFC 7662). It may be asked by a confidential client, or with an access token or an API key
// that has the scope introspect. The hint is not needed: a token tells its type.
func (a *api) introspect(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Pragma", "no-cache")
	form, err := readFormUpTo(w, r, maxTokenForm)
	if err == nil && form["token"] == "" {
		err = badRequest("parameter token is missing")
	}
	if err != nil {
		failToken(w, r, a.n, err)
		return
	}
	client, failed, err := a.introspector(r, form)
	if err != nil {
		failed(w, r, a.n, err)
		return
	}
	info, active, err := a.n.Introspect(r.Context(), form["token"], client)
	if err != nil {
		failToken(w, r, a.n, err)
		return
	}
	body := []byte(`{"active":false}`)
	if active {
		body = appendTokenInfo(make([]byte, 0, 768), &info)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body)
}

// introspector returns the client that asks, "" for a first-party login, and how an error is to be answered: a bad access token is one
// of RFC 6750, a bad client one of RFC 6749.
func (a *api) introspector(r *http.Request, form map[string]string) (client string, failed failure, err error) {
	c, err := credentialOf(r.Header)
	switch {
	case errors.Is(err, errNoCredentials), c.scheme == schemeBasic:
		client, err = a.confidential(r, form)
		return client, failToken, err
	case err != nil:
		return "", failToken, err
	case form["client_id"] != "" || form["client_secret"] != "":
		return "", failToken, badRequest("more than one way of authentication")
	}
	id, err := authenticate(a.n, r, anonymous)
	if err == nil && !id.HasScope(scopeIntrospect) {
		err = missingScope([]string{scopeIntrospect})
	}
	if err != nil {
		return "", fail, err
	}
	return id.Client(), nil, nil
}

// appendTokenInfo appends the answer about an active token (RFC 7662 section 2.2). The token type of a refresh token is no type of
// RFC 6749 section 5.1, so that nobody takes it for an access token.
func appendTokenInfo(b []byte, t *node.TokenInfo) []byte {
	b = append(b, `{"active":true,"token_type":`...)
	if t.Refresh {
		b = append(b, `"refresh_token"`...)
	} else {
		b = append(b, `"Bearer"`...)
	}
	b = appendMember(b, `,"scope":`, t.Scope)
	b = appendMember(b, `,"client_id":`, t.Client)
	b = appendMember(b, `,"username":`, t.Username)
	b = appendMember(b, `,"sub":`, t.Subject)
	b = appendMember(b, `,"iss":`, t.Issuer)
	switch len(t.Audience) {
	case 0:
	case 1:
		b = appendMember(b, `,"aud":`, t.Audience[0])
	default:
		b = appendStrings(append(b, `,"aud":`...), t.Audience)
	}
	b = appendMember(b, `,"jti":`, t.ID)
	if !t.Session.IsZero() {
		b = append(t.Session.AppendText(append(b, `,"sid":"`...)), '"')
	}
	b = appendStrings(append(b, `,"roles":`...), t.Roles)
	if t.Expires != 0 {
		b = strconv.AppendInt(append(b, `,"exp":`...), t.Expires, 10)
	}
	b = strconv.AppendInt(append(b, `,"iat":`...), t.IssuedAt, 10)
	b = strconv.AppendInt(append(b, `,"nbf":`...), t.NotBefore, 10)
	if t.AuthTime != 0 {
		b = strconv.AppendInt(append(b, `,"auth_time":`...), t.AuthTime, 10)
	}
	return append(b, '}')
}

// appendMember appends a member of an object unless its value is empty.
func appendMember(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	return appendJSONString(append(b, name...), value)
}

func appendStrings(b []byte, list []string) []byte {
	b = append(b, '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendJSONString(b, s)
	}
	return append(b, ']')
}

// appendJSONString appends s as a JSON string.
func appendJSONString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			quoted, _ := json.Marshal(s) // a string always has a JSON text
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
