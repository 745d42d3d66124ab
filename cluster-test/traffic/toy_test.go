package traffic

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// toy is a session store of three replicas with the interface of the real one, and with a defect on request. What it is
// told takes effect at once, except for what the defect delays: so tests need no clock.
type toy struct {
	defect string

	mu       sync.Mutex // guards all below
	sessions int
	gens     map[int]int  // newest generation of each session
	revoked  map[int]bool // known to replicas 0 and 1
	late     map[int]bool // known to replica 2, one logout later
	last     int
}

// Defects of a toy.
const (
	none      = ""
	lagging   = "replica 2 hears of a logout when the next one is asked for"
	forgetful = "every fifth login is lost"
	forking   = "each refresh of a token makes another successor"
	reusing   = "a spent refresh token is answered at any time"
	rude      = "401 where 503 is due"
	strange   = "answers 500"
)

// start serves the replicas and returns their URLs.
func (y *toy) start(t *testing.T) []string {
	y.gens, y.revoked, y.late = map[int]int{}, map[int]bool{}, map[int]bool{}
	var urls []string
	for i := range 3 {
		s := httptest.NewServer(y.replica(i))
		t.Cleanup(s.Close)
		urls = append(urls, s.URL)
	}
	return urls
}

func (y *toy) replica(i int) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", y.token)
	mux.HandleFunc("POST /logout", func(w http.ResponseWriter, r *http.Request) {
		var id, gen int
		fmt.Sscanf(r.Header.Get("Authorization"), "Bearer a%d.%d", &id, &gen)
		y.mu.Lock()
		defer y.mu.Unlock()
		y.late[y.last] = true
		y.revoked[id], y.last = true, id
		if y.defect != lagging {
			y.late[id] = true
		}
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /verify", func(w http.ResponseWriter, r *http.Request) {
		var id, gen int
		fmt.Sscanf(r.Header.Get("Authorization"), "Bearer a%d.%d", &id, &gen)
		y.mu.Lock()
		defer y.mu.Unlock()
		known := y.revoked
		if i == 2 {
			known = y.late
		}
		switch {
		case y.defect == strange:
			w.WriteHeader(http.StatusInternalServerError)
		case known[id], y.defect == forgetful && id%5 == 0, y.defect == rude && i == 1:
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	return mux
}

func (y *toy) token(w http.ResponseWriter, r *http.Request) {
	y.mu.Lock()
	defer y.mu.Unlock()
	var id, gen int
	if r.FormValue("grant_type") == "password" {
		y.sessions++
		id = y.sessions
	} else {
		fmt.Sscanf(strings.TrimPrefix(r.FormValue("refresh_token"), "r"), "%d.%d", &id, &gen)
		gen++
		switch {
		case y.defect == forking:
			gen = y.gens[id] + 1
		case gen < y.gens[id] && y.defect != reusing: // its successor has been used
			y.revoked[id], y.late[id] = true, true
			http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
			return
		}
		y.gens[id] = max(y.gens[id], gen)
	}
	_ = json.NewEncoder(w).Encode(map[string]any{
		"access_token": fmt.Sprintf("a%d.%d", id, gen), "refresh_token": fmt.Sprintf("r%d.%d", id, gen), "expires_in": 3600,
	})
}
