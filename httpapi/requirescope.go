package httpapi

import (
	"net/http"
	"slices"

	"github.com/knell-auth/knell/node"
)

// RequireScope lets only requests through whose token has all of scopes. It stands behind Authenticate; without that, it
// refuses everybody. The refusal is 403 with error="insufficient_scope" and the scopes (RFC 6750 section 3.1). It panics
// on a scope that RFC 6749 section 3.3 does not allow, since nobody could have it.
func RequireScope(scopes ...string) func(http.Handler) http.Handler {
	scopes = slices.Clone(scopes)
	for _, s := range scopes {
		if !isScopeToken(s) {
			panic("httpapi: RequireScope: malformed scope")
		}
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			id, ok := IdentityFrom(r.Context())
			switch {
			case !ok:
				fail(w, r, nil, errNoCredentials)
			case !hasScopes(id, scopes):
				fail(w, r, nil, missingScope(scopes))
			default:
				next.ServeHTTP(w, r)
			}
		})
	}
}

func hasScopes(id node.Identity, scopes []string) bool {
	for _, s := range scopes {
		if !id.HasScope(s) {
			return false
		}
	}
	return true
}
