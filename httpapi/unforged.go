package httpapi

import "net/http"

// errForged answers what another site made a browser send.
var errForged = &requestError{answer{status: http.StatusForbidden,
	text: "a page of another site sent this, and a browser adds user name and password unasked"}}

// sites returns what tells requests that a page of another site made from all others. Those of listed origins are none.
func sites(origins []string) *http.CrossOriginProtection {
	p := http.NewCrossOriginProtection()
	for _, origin := range origins {
		_ = p.AddTrustedOrigin(origin) // what is no origin trusts nobody
	}
	return p
}

// unforged refuses what another site made a browser send with Basic and what is not just read. A browser remembers user name and
// password and sends them along with every request for this server; no other credential here is sent unasked. The answer comes
// before anything is looked at.
func (a *api) unforged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, err := credentialOf(r.Header); err == nil && c.scheme == schemeBasic && a.sites.Check(r) != nil {
			fail(w, r, a.n, errForged)
			return
		}
		next.ServeHTTP(w, r)
	})
}
