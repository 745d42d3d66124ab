package httpapi

import "net/http"

// RequireRole lets only requests through whose user had role when the token was issued; a change of roles makes older
// tokens invalid. It stands behind Authenticate; without that, it refuses everybody. The refusal is 403. It panics on an
// empty role.
func RequireRole(role string) func(http.Handler) http.Handler {
	if role == "" {
		panic("httpapi: RequireRole: empty role")
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			id, ok := IdentityFrom(r.Context())
			switch {
			case !ok:
				fail(w, r, nil, errNoCredentials)
			case !id.HasRole(role):
				fail(w, r, nil, errMissingRole)
			default:
				next.ServeHTTP(w, r)
			}
		})
	}
}
