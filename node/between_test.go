package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/events/eventstest"
)

// between carries out f when the replica is about to append its first event of a type: after it looked, and before the event is in
// the log.
func (r *rig) between(at string, typ events.Type, f func() error) {
	r.t.Helper()
	var once sync.Once
	r.links[at].OnAppend(func(e *events.Event) (fault eventstest.Fault) {
		if e.Data.Type() == typ {
			once.Do(func() {
				if err := f(); err != nil {
					r.t.Errorf("between look and append: %v", err)
				}
			})
		}
		return fault
	})
	r.t.Cleanup(func() { r.links[at].OnAppend(nil) })
}

// TestKeyRevokedDuringRefresh: whoever forges refresh tokens with a key that was stolen gets nothing that outlives the revocation of
// the key, not by a refresh that was under way either.
func TestKeyRevokedDuringRefresh(t *testing.T) {
	for name, typ := range map[string]events.Type{
		"rotation": events.TypeSessionRefreshed, "once more in the grace window": events.TypeRefreshReplayed,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				ctx := context.Background()
				tok, good := r.login("b"), r.login("c")
				if typ == events.TypeRefreshReplayed {
					must(r.nodes["c"].Refresh(ctx, RefreshRequest{Token: tok.RefreshToken}))(t)
				}
				stolen := kid(r.nodes["b"])
				r.between("a", typ, func() error { return r.nodes["c"].RevokeKey(ctx, stolen, Origin{}) })
				if _, err := r.nodes["a"].Refresh(ctx, RefreshRequest{Token: tok.RefreshToken}); !errors.Is(err, ErrInvalidGrant) {
					t.Errorf("the token of a revoked key: %v", err)
				}
				r.accepted(must(r.nodes["a"].Refresh(ctx, RefreshRequest{Token: good.RefreshToken}))(t))
				r.same()
			})
		})
	}
}

// TestClientChangesDuringLogin: what a session is granted through a client is what the client may have when the session starts.
func TestClientChangesDuringLogin(t *testing.T) {
	ctx := context.Background()
	for name, c := range map[string]struct {
		change func(n *Node) error
		want   error // of the login
	}{
		"disabled": {func(n *Node) error { return n.DisableClient(ctx, "app", Origin{}) }, ErrInvalidClient},
		"deleted":  {func(n *Node) error { return n.DeleteClient(ctx, "app", Origin{}) }, ErrInvalidClient},
		"narrowed": {func(n *Node) error {
			return n.ChangeClient(ctx, "app", ClientChange{Scope: []string{"profile"}}, Origin{})
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				both := []string{"profile", "notes"}
				if err := r.nodes["a"].CreateClient(ctx, NewClient{ID: "app", Scope: both}, Origin{}); err != nil {
					t.Fatal(err)
				}
				r.between("a", events.TypeSessionStarted, func() error { return c.change(r.nodes["b"]) })
				tok, err := r.nodes["a"].Login(ctx, LoginRequest{Name: "alice", Password: alicePassword, Client: "app"})
				if !errors.Is(err, c.want) {
					t.Fatalf("got %v, want %v", err, c.want)
				}
				if err == nil {
					// What it was not granted does not come later.
					if err := r.nodes["c"].ChangeClient(ctx, "app", ClientChange{Scope: both}, Origin{}); err != nil {
						t.Fatal(err)
					}
					next := must(r.nodes["c"].Refresh(ctx, RefreshRequest{Token: tok.RefreshToken, Client: "app"}))(t)
					if id := must(r.nodes["b"].Verify(ctx, next.AccessToken))(t); id.Scope() != "profile" {
						t.Errorf("granted %q", id.Scope())
					}
				}
				r.same()
			})
		})
	}
}

// TestClientChangesDuringRefresh: a refresh is decided by the client as it is when it gets into the log.
func TestClientChangesDuringRefresh(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		if err := r.nodes["a"].CreateClient(ctx, NewClient{ID: "app", Scope: []string{"profile", "notes"}}, Origin{}); err != nil {
			t.Fatal(err)
		}
		tok := must(r.nodes["a"].Login(ctx, LoginRequest{Name: "alice", Password: alicePassword, Client: "app"}))(t)
		r.between("b", events.TypeSessionRefreshed, func() error {
			return r.nodes["c"].ChangeClient(ctx, "app", ClientChange{Scope: []string{"profile"}}, Origin{})
		})
		next := must(r.nodes["b"].Refresh(ctx, RefreshRequest{Token: tok.RefreshToken, Client: "app"}))(t)
		if id := must(r.nodes["c"].Verify(ctx, next.AccessToken))(t); id.Scope() != "profile" {
			t.Errorf("granted %q", id.Scope())
		}
		if got := len(r.logged(events.TypeSessionRefreshed)); got != 2 {
			t.Errorf("%d refreshes in the log, want the void one and its repetition", got)
		}
		r.same()
	})
}

// A grant is for the client as it was authenticated: another secret since, and it has to be authenticated again.
func TestClientChangesAfterAuthentication(t *testing.T) {
	ctx := context.Background()
	for name, c := range map[string]struct {
		typ   events.Type
		grant func(r *rig, seq uint64, tok Tokens, red CodeRedemption) error
	}{
		"log in": {events.TypeSessionStarted, func(r *rig, seq uint64, _ Tokens, _ CodeRedemption) error {
			_, err := r.nodes["a"].Login(ctx, LoginRequest{Name: "alice", Password: alicePassword, Client: "web", ClientSeq: seq})
			return err
		}},
		"refresh": {events.TypeSessionRefreshed, func(r *rig, seq uint64, tok Tokens, _ CodeRedemption) error {
			_, err := r.nodes["a"].Refresh(ctx, RefreshRequest{Token: tok.RefreshToken, Client: "web", ClientSeq: seq})
			return err
		}},
		"code": {events.TypeSessionStarted, func(r *rig, seq uint64, _ Tokens, red CodeRedemption) error {
			red.ClientSeq = seq
			_, err := r.nodes["a"].RedeemCode(ctx, red)
			return err
		}},
		"client's own": {events.TypeClientToken, func(r *rig, seq uint64, _ Tokens, _ CodeRedemption) error {
			_, err := r.nodes["a"].ClientToken(ctx, "web", seq, nil, Origin{})
			return err
		}},
	} {
		for _, when := range []string{"before", "during"} {
			t.Run(fmt.Sprint(name, " ", when), func(t *testing.T) {
				bubble(t, func(t *testing.T, r *rig) {
					const secret = "web-secret-0123456789"
					must0(t, r.nodes["a"].CreateClient(ctx, NewClient{
						ID: "web", Secret: secret, Scope: []string{"openid", "profile"}, Redirects: []string{testRedirect},
					}, Origin{}))
					tok := must(r.nodes["b"].Login(ctx, LoginRequest{Name: "alice", Password: alicePassword, Client: "web"}))(t)
					req := r.app()
					req.Client = "web"
					red := r.code("c", req)
					rotate := func() error { return r.nodes["b"].RotateClientSecret(ctx, "web", "web-secret-9876543210", 0, Origin{}) }
					seq := must(r.nodes["a"].AuthenticateClient(ctx, "web", secret, Origin{}))(t)
					if when == "before" {
						must0(t, rotate())
					} else {
						r.between("a", c.typ, rotate)
					}
					if err := c.grant(r, seq, tok, red); !errors.Is(err, ErrClientChanged) {
						t.Errorf("got %v", err)
					}
					if err := authenticate(ctx, r.nodes["a"], "web", secret, Origin{}); !errors.Is(err, ErrInvalidClient) {
						t.Errorf("the old secret: %v", err)
					}
					seq = must(r.nodes["a"].AuthenticateClient(ctx, "web", "web-secret-9876543210", Origin{}))(t)
					if err := c.grant(r, seq, tok, red); err != nil {
						t.Errorf("with the new one: %v", err)
					}
					r.same()
				})
			})
		}
	}
}
