package httpapi

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"

	"github.com/knell-auth/knell/node"
)

// credentials are what a client presented to authenticate itself (RFC 6749 section 2.3).
type credentials struct {
	id     string // "" when there was no client at all
	secret string // "" for a public client
}

// clientCredentials returns the credentials in r and form: by Basic or by form parameters, never by both. A client_id
// beside Basic is no second authentication (section 3.2.1) as long as it is the same.
func clientCredentials(r *http.Request, form map[string]string) (credentials, error) {
	c := credentials{form["client_id"], form["client_secret"]}
	values := r.Header["Authorization"]
	switch {
	case len(values) > 1:
		return credentials{}, badRequest("more than one Authorization header")
	case len(values) == 1 && c.secret != "":
		return credentials{}, badRequest("more than one way of client authentication")
	case len(values) == 1:
		basic, ok := parseBasic(values[0])
		if !ok {
			return credentials{}, node.ErrInvalidClient
		}
		if c.id != "" && c.id != basic.id {
			return credentials{}, badRequest("client_id is not the client of the Authorization header")
		}
		c = basic
	case c.id == "" && c.secret != "":
		return credentials{}, badRequest("parameter client_id is missing")
	}
	if !isVisible(c.id) || !isVisible(c.secret) {
		return credentials{}, node.ErrInvalidClient
	}
	return c, nil
}

// confidential returns the confidential client that r and form authenticate. A public one cannot prove who it is.
func (a *api) confidential(r *http.Request, form map[string]string) (string, error) {
	c, err := clientCredentials(r, form)
	switch {
	case err != nil:
		return "", err
	case c.id == "" || c.secret == "":
		return "", node.ErrInvalidClient
	}
	_, err = a.n.AuthenticateClient(r.Context(), c.id, c.secret, a.origin(r))
	return c.id, err
}

// parseBasic parses an Authorization value of the scheme Basic, in which id and secret are form-encoded (RFC 6749 section
// 2.3.1).
func parseBasic(value string) (credentials, bool) {
	scheme, encoded, _ := strings.Cut(value, " ")
	if !strings.EqualFold(scheme, "Basic") {
		return credentials{}, false
	}
	plain, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return credentials{}, false
	}
	rawID, rawSecret, found := strings.Cut(string(plain), ":")
	id, err1 := url.QueryUnescape(rawID)
	secret, err2 := url.QueryUnescape(rawSecret)
	if !found || err1 != nil || err2 != nil || id == "" {
		return credentials{}, false
	}
	return credentials{id, secret}, true
}
