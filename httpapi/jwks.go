package httpapi

import (
	"net/http"
	"strconv"
)

// jwks serves GET /.well-known/jwks.json: the keys that may verify a live token (RFC 7517 section 5). It may be kept for a minute
// only, so that a revoked key is soon gone. A new key is in it before the first token that it signs.
func (a *api) jwks(w http.ResponseWriter, r *http.Request) {
	set, err := a.n.JWKS()
	if err != nil {
		fail(w, r, a.n, err)
		return
	}
	writeDocument(w, mediaKeys, 60, set)
}

// writeDocument answers with a public document, which scripts of any origin may read and anybody keep for maxAge seconds.
func writeDocument(w http.ResponseWriter, contentType string, maxAge int, body []byte) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Cache-Control", "public, max-age="+strconv.Itoa(maxAge))
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(body)
}
