//go:build knell_next

package httpapi

import (
	"context"
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/knell-auth/knell/node"
)

// nexter is a replica of the next version, as tests of upgrades have it.
type nexter interface {
	Next(ctx context.Context, optional bool, o node.Origin) error
}

// mountNext adds POST /next, which writes an event of the next version, with ?optional one that older versions pass over.
func (a *api) mountNext(r chi.Router) {
	r.Post("/next", func(w http.ResponseWriter, r *http.Request) {
		if err := a.n.(nexter).Next(r.Context(), r.URL.Query().Has("optional"), node.Origin{Actor: "local"}); err != nil {
			fail(w, r, a.n, err)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
}
