package node

import (
	"context"
	"errors"
	"testing"

	"github.com/knell-auth/knell/internal/token"
)

// TestForgedClaims: who has stolen a replica's key signs nothing that goes beyond a session in the log.
func TestForgedClaims(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		r.service()
		bob := r.user("bob", "builder-password-1")
		tok := r.login("a")
		own := must(r.nodes["a"].ClientToken(ctx, "svc", 0, nil, Origin{}))(t)
		stolen := r.nodes["a"].signing.with.Load()
		for name, c := range map[string]struct {
			of   Tokens
			edit func(c *token.Claims)
			want error
		}{
			"nothing":            {tok, func(c *token.Claims) {}, nil},
			"less":               {tok, func(c *token.Claims) { c.Scope, c.Scopes, c.Roles = "notes", []string{"notes"}, nil }, nil},
			"another id":         {tok, func(c *token.Claims) { c.ID = "x" }, nil},
			"of a client":        {own, func(c *token.Claims) {}, nil},
			"another user":       {tok, func(c *token.Claims) { c.Subject = bob.ID.String() }, ErrInvalidToken},
			"no user":            {tok, func(c *token.Claims) { c.Subject = "root" }, ErrInvalidToken},
			"another client":     {tok, func(c *token.Claims) { c.ClientID = "svc" }, ErrInvalidToken},
			"a scope":            {tok, func(c *token.Claims) { c.Scope, c.Scopes = "notes admin", []string{"notes", "admin"} }, ErrInvalidToken},
			"a part of a scope":  {tok, func(c *token.Claims) { c.Scope, c.Scopes = "note", []string{"note"} }, ErrInvalidToken},
			"a role":             {tok, func(c *token.Claims) { c.Roles = []string{"admin"} }, ErrInvalidToken},
			"a longer life":      {tok, func(c *token.Claims) { c.Expires++ }, ErrInvalidToken},
			"a younger log-in":   {tok, func(c *token.Claims) { c.AuthTime++ }, ErrInvalidToken},
			"a client's user":    {own, func(c *token.Claims) { c.Subject = bob.ID.String() }, ErrInvalidToken},
			"a client's role":    {own, func(c *token.Claims) { c.Roles = []string{"reader"} }, ErrInvalidToken},
			"a client's client":  {own, func(c *token.Claims) { c.ClientID = "knell:first-party" }, ErrInvalidToken},
			"a client's scope":   {own, func(c *token.Claims) { c.Scope, c.Scopes = "admin", []string{"admin"} }, ErrInvalidToken},
			"a user's own token": {tok, func(c *token.Claims) { c.Session = own.Session }, ErrRevoked},
		} {
			id := must(r.nodes["b"].Verify(ctx, c.of.AccessToken))(t)
			forged := *id.c
			c.edit(&forged)
			forged.KeyID = stolen.access.KeyID()
			text := must(stolen.access.Sign(&forged))(t)
			for at, n := range r.nodes {
				if _, err := n.Verify(ctx, text); !errors.Is(err, c.want) {
					t.Errorf("%s at %s: %v, want %v", name, at, err, c.want)
				}
			}
		}
		// A token of an older generation says what it said.
		must(r.nodes["b"].Refresh(ctx, RefreshRequest{Token: tok.RefreshToken}))(t)
		if _, err := r.nodes["c"].Verify(ctx, tok.AccessToken); err != nil {
			t.Error(err)
		}
	})
}

// BenchmarkLook is what the first verification of a token asks the state, without the lock.
func BenchmarkLook(b *testing.B) {
	n := benchNode(b)
	id := must(n.Verify(context.Background(), tokens(b, n, 1)[0]))(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := n.state.look(id.c); err != nil {
			b.Fatal(err)
		}
	}
}
