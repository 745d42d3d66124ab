package httpapi

import (
	"context"
	"net/http"

	"github.com/go-chi/chi/v5"
)

// signingKey is a signing key in an answer.
type signingKey struct {
	ID      string `json:"kid"`
	Alg     string `json:"alg"`
	Node    string `json:"node"`
	Seq     uint64 `json:"sequence"`
	Live    bool   `json:"live"` // in the JWKS: a token of it may be live
	Revoked bool   `json:"revoked"`
}

// keysDocument is a list of signing keys.
type keysDocument struct {
	Keys []signingKey `json:"keys"`
}

// listKeys serves GET /keys.
func (a *api) listKeys(w http.ResponseWriter, _ *http.Request) {
	keys := []signingKey{}
	for _, k := range a.n.Keys() {
		keys = append(keys, signingKey{k.ID, k.Alg, k.Node, k.Seq, k.Live, k.Revoked})
	}
	writeJSON(w, http.StatusOK, keysDocument{keys})
}

// revokeKey serves POST /keys/{kid}/revoke. The body may have a reason.
func (a *api) revokeKey(w http.ResponseWriter, r *http.Request) {
	kid, o := chi.URLParam(r, "kid"), a.origin(r)
	empty, err := emptyBody(w, r)
	if err == nil && !empty {
		err = readJSON(w, r, members{"reason": &o.Reason})
	}
	if err != nil {
		fail(w, r, a.n, err)
		return
	}
	a.revoke(w, r, func(ctx context.Context) error { return a.n.RevokeKey(ctx, kid, o) })
}
