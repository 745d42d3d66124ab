package httpapi

import "net/http"

// What stands in every answer, as OWASP's REST Security Cheat Sheet has it: every answer is about a session, so none may be
// stored; none is a page, so it may neither load nor do anything, nor stand in a frame, should a browser take it for one. A
// handler that serves a page sets its own policy.
var secure = map[string][]string{
	"Cache-Control":                {"no-store"},
	"Content-Security-Policy":      {"default-src 'none'; frame-ancestors 'none'"},
	"Cross-Origin-Resource-Policy": {"same-origin"}, // without CORS; with it, it does not apply
	"Referrer-Policy":              {"no-referrer"},
	"X-Content-Type-Options":       {"nosniff"},
	"X-Frame-Options":              {"DENY"},
}

// secureHeaders keeps answers out of caches, frames and browsers' guesses.
func secureHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setSecureHeaders(w.Header())
		next.ServeHTTP(w, r)
	})
}

func setSecureHeaders(h http.Header) {
	for name, values := range secure {
		h[name] = values[:1:1] // shared: whoever adds one gets a list of his own
	}
}

// hstsValue says for how long, in seconds, a browser that came by TLS once uses nothing else (RFC 6797). Other hosts below
// this one are not ours to speak for.
var hstsValue = []string{"max-age=63072000"}

// hsts marks answers over TLS. Behind a proxy that ends TLS it is the proxy's to do.
func hsts(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS != nil {
			w.Header()["Strict-Transport-Security"] = hstsValue[:1:1]
		}
		next.ServeHTTP(w, r)
	})
}
