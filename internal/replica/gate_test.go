package replica

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestDrainEndsConnections: while a replica drains, all is answered as before but /readyz, and no connection outlives its answer.
func TestDrainEndsConnections(t *testing.T) {
	g := &gate{}
	g.open(http.NotFoundHandler())
	for _, c := range []struct {
		path, connection string
		status           int
	}{{"/token", "", 404}, {"/token", "close", 404}, {"/readyz", "close", 503}} {
		if c.connection != "" {
			g.drain()
		}
		w := httptest.NewRecorder()
		g.ServeHTTP(w, httptest.NewRequest(http.MethodPost, c.path, nil))
		if w.Code != c.status || w.Header().Get("Connection") != c.connection {
			t.Errorf("%s: %d, Connection %q; want %d, %q", c.path, w.Code, w.Header().Get("Connection"), c.status, c.connection)
		}
	}
}
