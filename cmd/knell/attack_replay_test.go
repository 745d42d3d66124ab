package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// A target that redirects has not taken the event: neither what it leads to counts, nor does that get the headers.
func TestReplayFollowsNoRedirect(t *testing.T) {
	var elsewhere atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/in" {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
			return
		}
		elsewhere.Add(1)
	}))
	defer server.Close()
	give, err := (&eventsReplayCmd{Post: server.URL + "/in"}).target(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := give(t.Context(), []byte("{}")); err == nil || !strings.Contains(err.Error(), "302") || elsewhere.Load() != 0 {
		t.Errorf("%v; %d requests elsewhere", err, elsewhere.Load())
	}
}
