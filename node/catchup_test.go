package node

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knell-auth/knell/events/eventstest"
)

// TestCatchUp: a replica that has not applied the sequence of a token waits for it, and answers as soon as it has; after the
// bound it says that it does not know, and never that the token is not good.
func TestCatchUp(t *testing.T) {
	const bound = 5 * time.Second // longer than the election after which the message comes that it waits for
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.edit = func(c *Config) { c.Lease = time.Minute } // the lease outlasts all of it
		r.start("a")
		r.start("b")
		r.user("alice", alicePassword)
		b, ctx := r.nodes["b"], context.Background()
		for name, ask := range map[string]func(context.Context, Tokens) error{
			"access token":  func(ctx context.Context, tok Tokens) error { _, err := b.Verify(ctx, tok.AccessToken); return err },
			"logout":        func(ctx context.Context, tok Tokens) error { return b.Logout(ctx, tok.AccessToken, Origin{}) },
			"introspection": func(ctx context.Context, tok Tokens) error { return introspects(ctx, b, tok.RefreshToken) },
			"refresh token": func(ctx context.Context, tok Tokens) error {
				_, err := b.Refresh(ctx, RefreshRequest{Token: tok.RefreshToken})
				return err
			},
		} {
			for _, c := range []struct {
				lag, patience, after time.Duration // of b; of who asks; when the answer comes
				want                 error
			}{
				{0, time.Hour, 0, nil},
				{bound - time.Millisecond, time.Hour, bound - time.Millisecond, nil},
				{bound + time.Second, time.Hour, bound, ErrNotCurrent},
				{bound - time.Millisecond, time.Second, time.Second, ErrNotCurrent},
			} {
				synctest.Wait()
				r.links["b"].SetDelays(eventstest.Delays{Deliver: c.lag})
				began := time.Now()
				tok := r.login("a")
				ctx, cancel := context.WithTimeout(ctx, c.patience)
				err := ask(ctx, tok)
				cancel()
				took := time.Since(began)
				if c.want == nil && name != "access token" && name != "introspection" {
					took = min(took, c.after) // it appends something, and waits for that as well
				}
				if !errors.Is(err, c.want) || took != c.after {
					t.Errorf("%s, %v behind: %v after %v, want %v after %v", name, c.lag, err, took, c.want, c.after)
				}
				r.links["b"].SetDelays(eventstest.Delays{})
			}
		}
	})
}

// introspects returns an error unless a token is active.
func introspects(ctx context.Context, n *Node, tok string) error {
	_, active, err := n.Introspect(ctx, tok, "")
	if err == nil && !active {
		return ErrInvalidToken
	}
	return err
}
