package httpapi

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Cross-origin requests (Fetch standard, section 3.3). Pages of listed origins may call the operations that are meant for
// browsers, and never administration. Nothing here depends on cookies: a page has to have a token to get anywhere, so
// Access-Control-Allow-Credentials is never sent, and no origin stands for all of them.

// What a page may send, and what it may read of an answer.
const (
	corsHeaders = "Authorization, Content-Type, Prefer, X-API-Key"
	corsExposed = "Location, Preference-Applied, Retry-After, Server-Timing, WWW-Authenticate, X-Request-Id"
	corsMaxAge  = "600" // seconds for which a browser may remember the answer to a preflight
)

// CheckOrigin returns an error unless s is the origin of a web page as browsers send it: scheme and host in lower case, the
// port unless it is the scheme's own, and nothing else.
func CheckOrigin(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("%q is not an origin such as https://app.example.com", s)
	case strings.Contains(u.Host, "*"):
		return fmt.Errorf("%q: an origin stands for itself only, without a wildcard", s)
	case s != strings.ToLower(s) || s != u.Scheme+"://"+u.Host || u.User != nil:
		return fmt.Errorf("%q: an origin is scheme, host and port, in lower case, without a path", s)
	case u.Scheme == "https" && u.Port() == "443", u.Scheme == "http" && u.Port() == "80", strings.HasSuffix(u.Host, ":"):
		return fmt.Errorf("%q: browsers leave the port away when it is the scheme's own", s)
	}
	return nil
}

// share lets pages of listed origins read the answers of next. Others are answered too, since not only browsers send Origin;
// their pages cannot read it.
func (a *api) share(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Add("Vary", "Origin")
		if origin := r.Header["Origin"]; len(origin) == 1 && slices.Contains(a.origins, origin[0]) {
			h.Set("Access-Control-Allow-Origin", origin[0])
			h.Set("Access-Control-Expose-Headers", corsExposed)
		}
		next.ServeHTTP(w, r)
	})
}

// preflight answers the OPTIONS request by which a browser asks whether a page may call one of methods.
func (a *api) preflight(methods []string) http.HandlerFunc {
	allowed := strings.Join(append(slices.Clone(methods), http.MethodOptions), ", ")
	return func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Add("Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers")
		h.Set("Allow", allowed)
		origin, method := r.Header["Origin"], r.Header["Access-Control-Request-Method"]
		if len(origin) == 0 || len(method) == 0 { // no preflight
			w.WriteHeader(http.StatusNoContent)
			return
		}
		if len(origin) > 1 || !slices.Contains(a.origins, origin[0]) {
			writeProblem(w, r, http.StatusForbidden, "pages of this origin may not call this")
			return
		}
		h.Set("Access-Control-Allow-Origin", origin[0])
		h.Set("Access-Control-Allow-Methods", strings.Join(methods, ", "))
		h.Set("Access-Control-Allow-Headers", corsHeaders)
		h.Set("Access-Control-Max-Age", corsMaxAge)
		w.WriteHeader(http.StatusNoContent)
	}
}
