package node

import (
	"context"
	"errors"
	"testing"

	"github.com/knell-auth/knell/internal/token"
)

// TestTokensOfAnotherHistory: a good signature is not enough: what a token says of the log has to be so. Such tokens are what is left of a
// log that was restored from a backup, of another cluster with the same keys, or of a thief who has the key of one replica.
func TestTokensOfAnotherHistory(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		tok, b := r.login("b"), r.nodes["b"]
		signer := b.signing.with.Load()
		claims := must(b.gate(tok.AccessToken, b.unix(b.clock.read()), liveOnly))(t)
		for name, c := range map[string]struct {
			edit func(*token.Claims)
			want error
		}{
			"another epoch":       {func(c *token.Claims) { c.Epoch[0] ^= 1 }, ErrInvalidToken},
			"another session":     {func(c *token.Claims) { c.Session[0] ^= 1 }, ErrRevoked},
			"an earlier session":  {func(c *token.Claims) { c.Start-- }, ErrRevoked},
			"a later sequence":    {func(c *token.Claims) { c.Issued += 1 << 40 }, ErrNotCurrent},
			"another issuer":      {func(c *token.Claims) { c.Issuer += "/" }, ErrInvalidToken},
			"another audience":    {func(c *token.Claims) { c.Audience = []string{"api2"} }, ErrInvalidToken},
			"a client's audience": {func(c *token.Claims) { c.Audience = []string{"app"} }, ErrInvalidToken},
			"an expiry long ago":  {func(c *token.Claims) { c.Expires = c.IssuedAt - 1 }, ErrExpired},
		} {
			forged := *claims
			c.edit(&forged)
			text := must(signer.access.Sign(&forged))(t)
			for at, n := range r.nodes {
				if _, err := n.Verify(ctx, text); !errors.Is(err, c.want) {
					t.Errorf("%s at %s: %v, want %v", name, at, err, c.want)
				}
			}
		}
		refresh := must(token.ParseRefresh(tok.RefreshToken))(t)
		for name, c := range map[string]struct {
			edit func(*token.Refresh)
			want error
		}{
			"another epoch":      {func(f *token.Refresh) { f.Epoch[0] ^= 1 }, ErrInvalidGrant},
			"another session":    {func(f *token.Refresh) { f.Session[0] ^= 1 }, ErrInvalidGrant},
			"a later generation": {func(f *token.Refresh) { f.Generation++ }, ErrInvalidGrant},
			"a later sequence":   {func(f *token.Refresh) { f.Seq += 1 << 40 }, ErrNotCurrent},
		} {
			forged := refresh
			c.edit(&forged)
			for at, n := range r.nodes {
				if _, err := n.Refresh(ctx, RefreshRequest{Token: signer.refresh.Sign(forged)}); !errors.Is(err, c.want) {
					t.Errorf("refresh token, %s at %s: %v, want %v", name, at, err, c.want)
				}
			}
		}
		r.same()
	})
}
