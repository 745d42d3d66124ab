//go:build !knell_next

package httpapi

import "github.com/go-chi/chi/v5"

// mountNext adds nothing: only builds with the tag knell_next have an operation of the next version.
func (a *api) mountNext(chi.Router) {}
