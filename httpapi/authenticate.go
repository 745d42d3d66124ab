package httpapi

import (
	"context"
	"net/http"

	"github.com/knell-auth/knell/node"
)

// Authenticate lets only requests through that carry a valid access token, and puts its identity into the request's
// context. It answers the others: 401 with a challenge (RFC 6750 section 3), 400 for two Authorization headers, 503 with
// Retry-After when the replica cannot prove that it is current.
//
// The check is made once, before the handler: EndWithToken, behind it, ends a handler that runs on after a logout.
func Authenticate(n Verifier) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			id, err := authenticate(n, r)
			if err != nil {
				fail(w, r, n, err)
				return
			}
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), identityKey, id)))
		})
	}
}

// authenticate returns the identity that the bearer token of r speaks for. No node accepts a token that is no b64token, so
// it is enough to look at the characters of those that were not accepted.
func authenticate(n Verifier, r *http.Request) (node.Identity, error) {
	token, err := uncheckedBearer(r.Header)
	if err != nil {
		return node.Identity{}, err
	}
	id, err := n.Verify(r.Context(), token)
	if err != nil && !isB64Token(token) {
		return node.Identity{}, errMalformedToken
	}
	return id, err
}

// IdentityFrom returns the identity that Authenticate put into a request's context, and whether there is one.
func IdentityFrom(ctx context.Context) (node.Identity, bool) {
	id, ok := ctx.Value(identityKey).(node.Identity)
	return id, ok && id.Valid()
}
