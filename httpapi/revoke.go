package httpapi

import (
	"context"
	"net/http"
)

// revokeToken serves POST /revoke (RFC 7009): it ends the session of an access or a refresh token, and answers 200 when no replica
// accepts it any more. So it does for what is no token, or an old one. Prefer: wait works as at /logout.
func (a *api) revokeToken(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Pragma", "no-cache")
	token, client, err := a.revocation(w, r)
	if err != nil {
		failToken(w, r, a.n, err)
		return
	}
	o := a.origin(r)
	o.Actor = client
	a.await(w, r, func(ctx context.Context) error { return a.n.RevokeToken(ctx, token, client, o) }, http.StatusOK, failToken)
}

// revocation returns the token of a well-formed request, and the client that makes it; "" for none, which may revoke the tokens of
// first-party logins.
func (a *api) revocation(w http.ResponseWriter, r *http.Request) (token, client string, err error) {
	form, err := readFormUpTo(w, r, maxTokenForm)
	if err != nil {
		return "", "", err
	}
	if token = form["token"]; token == "" {
		return "", "", badRequest("parameter token is missing")
	}
	c, err := clientCredentials(r, form)
	if err == nil && c.id != "" {
		_, err = a.n.AuthenticateClient(r.Context(), c.id, c.secret, a.origin(r))
	}
	return token, c.id, err
}
