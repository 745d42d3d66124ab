package httpapi

import (
	"net/http"

	"github.com/knell-auth/knell/node"
)

// RequireSession lets only requests through that were made with an access token: not with an API key, nor with a user name
// and password. It stands behind Authenticate; without that, it refuses everybody. The refusal is 403.
func RequireSession() func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			id, ok := IdentityFrom(r.Context())
			switch {
			case !ok:
				fail(w, r, nil, errNoCredentials)
			case id.Kind() != node.KindSession:
				fail(w, r, nil, errNeedsSession)
			default:
				next.ServeHTTP(w, r)
			}
		})
	}
}
