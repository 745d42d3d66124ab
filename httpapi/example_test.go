package httpapi_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/nats-io/nats.go"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/events/eventstest"
	"github.com/knell-auth/knell/httpapi"
	"github.com/knell-auth/knell/node"
)

// A service that is a replica itself: it verifies in process, without a request to anybody.
func serveNotes(ctx context.Context) error {
	nc, err := nats.Connect("tls://n1.example:4222", nats.UserCredentials("notes-1.creds"),
		nats.MaxReconnects(-1), nats.ReconnectBufSize(-1), nats.CustomInboxPrefix("_INBOX_notes-1"))
	if err != nil {
		return err
	}
	defer nc.Close()
	log, err := events.Open(ctx, nc, events.Config{Node: "notes-1", Replicas: 3})
	if err != nil {
		return err
	}
	defer log.Close()
	n, err := node.Start(ctx, node.Config{Name: "notes-1", Dir: "/var/lib/notes", Log: log,
		Issuer: "https://id.example.com", Audience: "api", Lease: 15 * time.Second})
	if err != nil {
		return err
	}
	defer n.Close(context.Background())
	return http.ListenAndServe("127.0.0.1:8000", notes(n))
}

// notes are the routes of the service; with net/http's ServeMux they would be wrapped likewise.
func notes(n *node.Node) http.Handler {
	r := chi.NewRouter()
	r.Use(httpapi.Authenticate(n))
	r.With(httpapi.RequireScope("notes")).Get("/notes", func(w http.ResponseWriter, r *http.Request) {
		id, _ := httpapi.IdentityFrom(r.Context())
		fmt.Fprintln(w, "the notes of", id.Subject())
	})
	r.With(httpapi.RequireRole("operator")).Delete("/notes", func(http.ResponseWriter, *http.Request) {})
	r.With(httpapi.EndWithToken(n)).Get("/changes", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			fmt.Fprint(w, "data: nothing new\n\n")
			_ = http.NewResponseController(w).Flush()
			select {
			case <-tick.C:
			case <-r.Context().Done(): // the client has gone, or: node.ErrRevoked, node.ErrExpired, node.ErrNotCurrent
				return
			}
		}
	})
	return r
}

// TestReadmeShowsExample: README has the code above.
func TestReadmeShowsExample(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(readme), "\n```go\n")
	block, _, found := strings.Cut(block, "```\n")
	if !found || !strings.Contains(string(source), block) {
		t.Errorf("README's Go code is not that of this file:\n%s", block)
	}
	_ = serveNotes // needs servers, and is compiled
}

// TestExample: the routes of the example do what they are to show.
func TestExample(t *testing.T) {
	ctx := t.Context()
	n, err := node.Start(ctx, node.Config{
		Name: "notes-1", Dir: t.TempDir(), Log: eventstest.New(t).Node("notes-1"), Issuer: "https://id.example.com", Audience: "api",
	})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close(context.Background())
	if _, err := n.CreateUser(ctx, node.NewUser{Name: "alice", Password: "wonderland-1865", Scope: []string{"notes"}}, node.Origin{}); err != nil {
		t.Fatal(err)
	}
	tok, err := n.Login(ctx, node.LoginRequest{Name: "alice", Password: "wonderland-1865"})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(notes(n))
	defer s.Close()
	send := func(method, path string, want int) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(ctx, method, s.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+tok.AccessToken)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		if resp.StatusCode != want {
			t.Errorf("%s %s: %d, want %d", method, path, resp.StatusCode, want)
		}
		return resp
	}
	send("GET", "/notes", 200)
	send("DELETE", "/notes", 403)
	lines := bufio.NewScanner(send("GET", "/changes", 200).Body)
	if !lines.Scan() || lines.Text() != "data: nothing new" {
		t.Fatalf("no stream: %q, %v", lines.Text(), lines.Err())
	}
	if err := n.Logout(ctx, tok.AccessToken, node.Origin{}); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() { // what was written before the logout returned; then it ends
	}
	send("GET", "/changes", 401)
}
