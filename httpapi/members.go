package httpapi

import (
	"net/http"

	"github.com/go-chi/chi/v5"
)

// removeMember serves POST /members/{name}/remove on the local socket.
func (a *api) removeMember(w http.ResponseWriter, r *http.Request) {
	name := chi.URLParam(r, "name")
	if a.remove == nil {
		fail(w, r, a.n, badRequest("this replica keeps no copy of the log, or is alone"))
		return
	}
	if err := a.remove(r.Context(), name); err != nil {
		fail(w, r, a.n, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
