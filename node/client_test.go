package node

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/bcrypt"
)

func TestRedirectURIs(t *testing.T) {
	for uri, good := range map[string]bool{
		"https://app.test/cb":                          true,
		"https://app.test":                             true,
		"https://app.test:8443/cb?tenant=1":            true,
		"https://[2001:db8::1]/cb":                     true,
		"http://127.0.0.1/cb":                          true,
		"http://127.0.0.1:8000/cb":                     true,
		"http://[::1]/cb":                              true,
		"http://localhost:3000/cb":                     true,
		"com.example.app:/cb":                          true,
		"com.example.app://cb":                         true,
		"":                                             false,
		"/cb":                                          false,
		"app.test/cb":                                  false,
		"//app.test/cb":                                false,
		"http://app.test/cb":                           false,
		"http://127.0.0.2/cb":                          false,
		"http://127.0.0.1.evil.test/cb":                false,
		"http://localhost.evil.test/cb":                false,
		"HTTPS://app.test/cb":                          false,
		"https:///cb":                                  false,
		"https:app.test":                               false,
		"https://app.test/cb#x":                        false,
		"https://app.test/cb#":                         false,
		"https://*.app.test/cb":                        false,
		"https://app.test/*":                           false,
		"https://user@app.test/cb":                     false,
		"https://app.test@evil.test/cb":                false,
		"https://app.test\\@evil.test/cb":              false,
		"https://app.test/a b":                         false,
		"https://app.test/\u00e4":                      false,
		"https://app.test/<script>":                    false,
		"https://app.test/\r\nX: y":                    false,
		"javascript:alert(1)":                          false,
		"data:text/html,x":                             false,
		"file:///etc/passwd":                           false,
		"app:/cb":                                      false, // a private-use scheme has a dot
		"com.example.app:cb":                           false,
		"https://app.test/" + strings.Repeat("x", 512): false,
	} {
		if err := CheckRedirect(uri); (err == nil) != good || err != nil && !errors.Is(err, ErrBadRequest) {
			t.Errorf("%q: %v", uri, err)
		}
	}
}

// redirectsAsked are redirect URIs in requests, and whether they match what the client of TestRedirectMatching has.
var redirectsAsked = map[string]bool{
	"https://app.test/cb":                   true,
	"https://app.test/other?x=1":            true,
	"http://127.0.0.1/cb":                   true,
	"http://127.0.0.1:54321/cb":             true,
	"http://127.0.0.1:1/cb":                 true,
	"http://[::1]/cb":                       true,
	"http://[::1]:54321/cb":                 true,
	"http://localhost:3000/cb":              true,
	"com.example.app:/cb":                   true,
	"https://app.test/cb/":                  false,
	"https://app.test/CB":                   false,
	"https://APP.test/cb":                   false,
	"HTTPS://app.test/cb":                   false,
	"https://app.test:443/cb":               false,
	"https://app.test:8443/cb":              false,
	"https://app.test./cb":                  false,
	"https://sub.app.test/cb":               false,
	"https://app.test/cb?":                  false,
	"https://app.test/cb?x=1":               false,
	"https://app.test/cb#":                  false,
	"https://app.test/cb#fragment":          false,
	"https://app.test/%63b":                 false,
	"https://app.test/x/../cb":              false,
	"https://app.test/./cb":                 false,
	"https://app.test//cb":                  false,
	"https://app.test/cb;x":                 false,
	"https://app.test/cb%00":                false,
	"https://app.test/cb ":                  false,
	" https://app.test/cb":                  false,
	"https://user@app.test/cb":              false,
	"https://app.test@evil.test/cb":         false,
	"https://evil.test/https://app.test/cb": false,
	"http://app.test/cb":                    false,
	"https://app.test/other":                false,
	"https://app.test/other?x=2":            false,
	"https://app.test/other?x=1&y=2":        false,
	"http://127.0.0.1:/cb":                  false,
	"http://127.0.0.1:123456/cb":            false,
	"http://127.0.0.1:80@evil.test/cb":      false,
	"http://127.0.0.1:80.evil.test/cb":      false,
	"http://127.0.0.1.evil.test/cb":         false,
	"http://127.0.0.1@evil.test/cb":         false,
	"http://127.0.0.1:+80/cb":               false,
	"http://127.0.0.1:8000/other":           false,
	"http://127.0.0.1:8000/cb/":             false,
	"http://127.0.0.1:8000/cb?x":            false,
	"https://127.0.0.1:8000/cb":             false,
	"http://127.1:8000/cb":                  false,
	"http://[::1%25lo]:8000/cb":             false,
	"http://[0:0:0:0:0:0:0:1]:8000/cb":      false,
	"http://localhost:8000/cb":              false,
	"http://localhost/cb":                   false,
	"com.example.app://cb":                  false,
	"com.example.app:/cb?x":                 false,
	"javascript:alert(1)":                   false,
}

// Redirect URIs are compared character by character; the port of a loopback address alone is free.
func TestRedirectMatching(t *testing.T) {
	c := Client{Redirects: []string{
		"https://app.test/cb", "https://app.test/other?x=1", "http://127.0.0.1/cb", "http://[::1]:1234/cb",
		"http://localhost:3000/cb", "com.example.app:/cb",
	}}
	for asked, good := range redirectsAsked {
		if got, ok := c.Redirect(asked); ok != good || ok && got != asked {
			t.Errorf("%q: %v, want %v", asked, ok, good)
		}
	}
	if _, ok := c.Redirect(""); ok {
		t.Error("one of several was chosen")
	}
	if got, ok := (Client{Redirects: c.Redirects[:1]}).Redirect(""); !ok || got != "https://app.test/cb" {
		t.Errorf("the only one: %q, %v", got, ok)
	}
	if _, ok := (Client{}).Redirect(""); ok {
		t.Error("none became one")
	}
}

func (r *rig) service() {
	r.t.Helper()
	err := r.nodes["a"].CreateClient(context.Background(), NewClient{
		ID: "svc", Secret: "svc-secret-0123456789", Scope: []string{"jobs", "notes"},
	}, Origin{})
	if err != nil {
		r.t.Fatal(err)
	}
}

// authenticates fails the test unless the secret is good, or not, everywhere.
func (r *rig) authenticates(secret string, good bool) {
	r.t.Helper()
	for name, n := range r.nodes {
		n.cfg.Limits.Off = true // how many guesses there may be is not asked here
		for range 2 {           // the second time from the cache
			_, err := n.AuthenticateClient(context.Background(), "svc", secret, Origin{})
			if good && err != nil || !good && !errors.Is(err, ErrInvalidClient) {
				r.t.Errorf("%q at %s: %v", secret, name, err)
			}
		}
	}
}

// A new secret is good at once everywhere; the old one for the overlap, and no longer.
func TestRotateClientSecret(t *testing.T) {
	bubbleWith(t, seldom, func(t *testing.T, r *rig) {
		ctx := context.Background()
		r.service()
		tok := must(r.nodes["a"].ClientToken(ctx, "svc", 0, nil, Origin{}))(t)
		rotate := func(at, secret string, overlap time.Duration) {
			t.Helper()
			if err := r.nodes[at].RotateClientSecret(ctx, "svc", secret, overlap, Origin{}); err != nil {
				t.Fatal(err)
			}
		}
		r.authenticates("svc-secret-0123456789", true)
		rotate("b", "second-secret-1", time.Hour)
		r.authenticates("second-secret-1", true)
		r.authenticates("svc-secret-0123456789", true)
		if c := must(r.nodes["c"].ClientByID("svc"))(t); time.Until(c.OldSecret).Round(time.Second) != time.Hour {
			t.Errorf("old secret until %v", c.OldSecret)
		}
		time.Sleep(59 * time.Minute)
		synctest.Wait()
		r.authenticates("svc-secret-0123456789", true)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		r.authenticates("svc-secret-0123456789", false)
		r.authenticates("second-secret-1", true)

		rotate("c", "third-secret-01", 0)
		r.authenticates("second-secret-1", false)
		r.authenticates("third-secret-01", true)

		rotate("a", "fourth-secret-1", time.Hour)
		rotate("a", "fifth-secret-01", time.Hour) // there are never three
		r.authenticates("third-secret-01", false)
		r.authenticates("fourth-secret-1", true)
		r.authenticates("fifth-secret-01", true)

		for _, bad := range []time.Duration{-time.Second, 31 * 24 * time.Hour} {
			if err := r.nodes["a"].RotateClientSecret(ctx, "svc", "sixth-secret-01", bad, Origin{}); !errors.Is(err, ErrBadRequest) {
				t.Errorf("overlap %v: %v", bad, err)
			}
		}
		r.app()
		if err := r.nodes["b"].RotateClientSecret(ctx, "app", "secret-of-none-1", 0, Origin{}); !errors.Is(err, ErrBadRequest) {
			t.Errorf("a public client: %v", err)
		}
		if err := r.nodes["b"].RotateClientSecret(ctx, "nobody", "secret-of-none-1", 0, Origin{}); !errors.Is(err, ErrNotFound) {
			t.Errorf("no client: %v", err)
		}
		if got := len(r.logged("account.client_secret_rotated")); got != 4 {
			t.Errorf("%d public records, want 4", got)
		}
		r.refused(tok, ErrExpired) // by the hour that passed, and not by the rotation
		r.same()
	})
}

// A client that is disabled or deleted has nothing that any replica accepts.
func TestDisableAndDeleteClient(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		r.service()
		own := must(r.nodes["a"].ClientToken(ctx, "svc", 0, nil, Origin{}))(t)
		through := must(r.nodes["b"].Login(ctx, LoginRequest{Name: "alice", Password: alicePassword, Client: "svc"}))(t)
		direct := r.login("c")
		if err := r.nodes["b"].DisableClient(ctx, "svc", Origin{}); err != nil {
			t.Fatal(err)
		}
		r.refused(own, ErrRevoked)
		r.refused(through, ErrRevoked)
		r.accepted(direct)
		r.authenticates("svc-secret-0123456789", false)
		if err := r.nodes["c"].DisableClient(ctx, "svc", Origin{}); err != nil {
			t.Errorf("again: %v", err)
		}
		if err := r.nodes["a"].EnableClient(ctx, "svc", Origin{}); err != nil {
			t.Fatal(err)
		}
		r.authenticates("svc-secret-0123456789", true)
		r.refused(own, ErrRevoked)
		own = must(r.nodes["c"].ClientToken(ctx, "svc", 0, nil, Origin{}))(t)
		if err := r.nodes["a"].DeleteClient(ctx, "svc", Origin{}); err != nil {
			t.Fatal(err)
		}
		r.refused(own, ErrRevoked)
		for name, n := range r.nodes {
			if _, err := n.ClientByID("svc"); !errors.Is(err, ErrNotFound) {
				t.Errorf("%s: %v", name, err)
			}
		}
		for what, err := range map[string]error{
			"enable": r.nodes["b"].EnableClient(ctx, "svc", Origin{}), "disable": r.nodes["b"].DisableClient(ctx, "svc", Origin{}),
			"delete": r.nodes["b"].DeleteClient(ctx, "svc", Origin{}),
			"change": r.nodes["b"].ChangeClient(ctx, "svc", ClientChange{Scope: []string{}}, Origin{}),
		} {
			if !errors.Is(err, ErrNotFound) {
				t.Errorf("%s: %v", what, err)
			}
		}
		r.service() // the id is free, and nothing of old is good again
		r.refused(own, ErrRevoked)
		r.same()
	})
}

// Other scopes of a client make its access tokens stale; a refresh goes on with what is left.
func TestClientScopeChanges(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		r.service()
		own := must(r.nodes["a"].ClientToken(ctx, "svc", 0, nil, Origin{}))(t)
		through := must(r.nodes["b"].Login(ctx, LoginRequest{Name: "alice", Password: alicePassword, Client: "svc"}))(t)
		direct := r.login("c")
		r.accepted(own)
		r.accepted(through)
		name := "Service"
		if err := r.nodes["c"].ChangeClient(ctx, "svc", ClientChange{Name: &name, Redirects: []string{testRedirect}}, Origin{}); err != nil {
			t.Fatal(err)
		}
		r.accepted(own)
		r.accepted(through)
		if err := r.nodes["c"].ChangeClient(ctx, "svc", ClientChange{Scope: []string{"jobs"}}, Origin{}); err != nil {
			t.Fatal(err)
		}
		r.refused(own, ErrStale)
		r.refused(through, ErrStale)
		r.accepted(direct)
		next := must(r.nodes["a"].Refresh(ctx, RefreshRequest{Token: through.RefreshToken, Client: "svc"}))(t)
		r.accepted(next)
		if len(next.Scope) != 0 {
			t.Errorf("scope %v", next.Scope)
		}
		c := must(r.nodes["b"].ClientByID("svc"))(t)
		if c.Name != "Service" || !slices.Equal(c.Scope, []string{"jobs"}) || !slices.Equal(c.Redirects, []string{testRedirect}) || c.Public {
			t.Errorf("%+v", c)
		}
		r.same()
	})
}

// Two changes at once are both made, one after the other.
func TestChangeClientRace(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.service()
		name := "Service"
		changes := map[string]ClientChange{"a": {Name: &name}, "b": {Scope: []string{"jobs"}}, "c": {Redirects: []string{testRedirect}}}
		results := make(chan error)
		for at, ch := range changes {
			go func() { results <- r.nodes[at].ChangeClient(context.Background(), "svc", ch, Origin{}) }()
		}
		for range changes {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		list := must(r.nodes["a"].Clients())(t)
		if len(list) != 1 || list[0].Name != name || len(list[0].Scope) != 1 || len(list[0].Redirects) != 1 {
			t.Errorf("%+v", list)
		}
		r.same()
	})
}

func TestBadClientsAreRefused(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		for what, edit := range map[string]func(*NewClient){
			"redirect URI":     func(c *NewClient) { c.Redirects = []string{"http://app.test/"} },
			"the same twice":   func(c *NewClient) { c.Redirects = []string{testRedirect, testRedirect} },
			"too many":         func(c *NewClient) { c.Redirects = slices.Repeat([]string{testRedirect}, maxRedirects+1) },
			"scope":            func(c *NewClient) { c.Scope = []string{"a b"} },
			"hash and secret":  func(c *NewClient) { c.Secret, c.Hash = "long-enough-1", "$2a$04$x" },
			"a hash of no use": func(c *NewClient) { c.Hash = "{SHA}x" },
			"id":               func(c *NewClient) { c.ID = "a/b" },
		} {
			nc := NewClient{ID: "app"}
			edit(&nc)
			if err := r.nodes["a"].CreateClient(ctx, nc, Origin{}); !errors.Is(err, ErrBadRequest) {
				t.Errorf("%s: %v", what, err)
			}
		}
		hash := must(bcrypt.GenerateFromPassword([]byte("imported-secret"), bcrypt.MinCost))(t)
		if err := r.nodes["a"].CreateClient(ctx, NewClient{ID: "svc", Hash: string(hash)}, Origin{}); err != nil {
			t.Fatal(err)
		}
		r.authenticates("imported-secret", true)
		r.authenticates("another-secret", false)
	})
}

// authenticate is AuthenticateClient for who does not ask for the sequence.
func authenticate(ctx context.Context, n *Node, id, secret string, o Origin) error {
	_, err := n.AuthenticateClient(ctx, id, secret, o)
	return err
}
