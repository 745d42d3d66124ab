package httpapi

import (
	"context"
	"net/http"

	"github.com/knell-auth/knell/node"
)

// Authenticate lets only requests through that carry one good credential, and puts its identity into the request's context:
// an access token or an API key as Bearer, an API key as X-API-Key, or, where n accepts it, user name and password as Basic.
// It answers the others: 401 with challenges (RFC 6750 section 3, RFC 7617), 400 for more than one credential, 503 with
// Retry-After when the replica cannot prove that it is current.
//
// The check is made once, before the handler: EndWithToken, behind it, ends a handler that runs on after a logout.
func Authenticate(n Verifier) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			id, err := authenticate(n, r, anonymous)
			if err != nil {
				fail(w, r, n, err)
				return
			}
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), identityKey, id)))
		})
	}
}

// authenticate returns the identity that the credential of r speaks for. origin says where r comes from; it is asked only for a
// user name and a password, whose failure is recorded.
func authenticate(n Verifier, r *http.Request, origin func(*http.Request) node.Origin) (node.Identity, error) {
	c, err := credentialOf(r.Header)
	switch {
	case err != nil:
		return node.Identity{}, err
	case c.scheme == schemeBasic:
		return authenticateBasic(n, r, c.value, origin)
	case c.scheme == schemeAPIKey && !node.IsAPIKey(c.value):
		return node.Identity{}, errMalformedKey
	}
	// No node accepts what is no b64token, and to recognise a token that was verified before costs less than to look at its
	// characters: it is enough to look at those of what was not accepted.
	id, err := n.Verify(r.Context(), c.value)
	if err != nil && !isB64Token(c.value) {
		return node.Identity{}, errMalformedToken
	}
	return id, err
}

func authenticateBasic(n Verifier, r *http.Request, value string, origin func(*http.Request) node.Origin) (node.Identity, error) {
	if !n.AcceptsBasic() {
		return node.Identity{}, errNoCredentials
	}
	name, password, ok := parseUserPass(value)
	if !ok {
		return node.Identity{}, node.ErrInvalidBasic
	}
	return n.VerifyBasic(r.Context(), name, password, origin(r))
}

// anonymous says where a request comes from of which nobody knows yet who makes it.
func anonymous(r *http.Request) node.Origin {
	q := requestOf(r)
	address := q.address
	if address == "" { // a service mounts only the authentication
		address = clientAddress(r, nil)
	}
	return node.Origin{Address: address, UserAgent: r.UserAgent(), RequestID: q.id}
}

// anonymous is the same for a request that the requests middleware has not seen. It is identified from then on, so that the
// answer has the request id of the event.
func (a *api) anonymous(r *http.Request) node.Origin {
	*r = *a.identified(r)
	return anonymous(r)
}

// IdentityFrom returns the identity that Authenticate put into a request's context, and whether there is one.
func IdentityFrom(ctx context.Context) (node.Identity, bool) {
	id, ok := ctx.Value(identityKey).(node.Identity)
	return id, ok && id.Valid()
}
