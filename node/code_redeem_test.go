package node

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knell-auth/knell/events"
)

// A code that is presented wrongly is refused and stays good: who has stolen it can neither use nor spoil it.
func TestCodePresentedWrongly(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		if err := r.nodes["a"].CreateClient(ctx, NewClient{ID: "other", Redirects: []string{testRedirect}}, Origin{}); err != nil {
			t.Fatal(err)
		}
		req := r.app()
		red := r.code("a", req)
		foreign := r.code("b", req)
		for what, edit := range map[string]func(*CodeRedemption){
			"other verifier":       func(c *CodeRedemption) { c.Verifier = strings.Repeat("x", 43) },
			"challenge":            func(c *CodeRedemption) { c.Verifier = challengeOf(testVerifier) },
			"no verifier":          func(c *CodeRedemption) { c.Verifier = "" },
			"short verifier":       func(c *CodeRedemption) { c.Verifier = testVerifier[:42] },
			"long verifier":        func(c *CodeRedemption) { c.Verifier = strings.Repeat("x", 129) },
			"line in the verifier": func(c *CodeRedemption) { c.Verifier += "\n" },
			"other client":         func(c *CodeRedemption) { c.Client = "other" },
			"no client":            func(c *CodeRedemption) { c.Client = "" },
			"unknown client":       func(c *CodeRedemption) { c.Client = "nobody" },
			"other redirect URI":   func(c *CodeRedemption) { c.Redirect = "http://127.0.0.1/cb" },
			"redirect URI's case":  func(c *CodeRedemption) { c.Redirect = "https://APP.test/cb" },
			"no redirect URI":      func(c *CodeRedemption) { c.Redirect = "" },
			"no code":              func(c *CodeRedemption) { c.Code = "" },
			"cut code":             func(c *CodeRedemption) { c.Code = c.Code[:len(c.Code)-1] },
			"longer code":          func(c *CodeRedemption) { c.Code += "A" },
			"line in the code":     func(c *CodeRedemption) { c.Code += "\n" },
			"padded code":          func(c *CodeRedemption) { c.Code += "=" },
			"half of another code": func(c *CodeRedemption) { c.Code = foreign.Code[:100] + c.Code[100:] },
			"without its prefix":   func(c *CodeRedemption) { c.Code = strings.TrimPrefix(c.Code, codePrefix) },
			"a log-in page's text": func(c *CodeRedemption) { c.Code = r.nodes["a"].SealRequest(req) },
			"that with the prefix of codes": func(c *CodeRedemption) {
				c.Code = codePrefix + strings.TrimPrefix(r.nodes["a"].SealRequest(req), requestPrefix)
			},
		} {
			wrong := red
			edit(&wrong)
			for at, n := range r.nodes {
				if _, err := n.RedeemCode(ctx, wrong); !errors.Is(err, ErrInvalidGrant) {
					t.Errorf("%s at %s: %v", what, at, err)
				}
			}
		}
		r.accepted(must(r.nodes["c"].RedeemCode(ctx, red))(t))
	})
}

// A request that named no redirect URI binds the token request to the one that is registered, or to none.
func TestCodeWithoutNamedRedirect(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		req := r.app()
		req.Named = false
		for redirect, want := range map[string]error{"": nil, testRedirect: nil, "https://evil.test/cb": ErrInvalidGrant} {
			red := r.code("a", req)
			red.Redirect = redirect
			if _, err := r.nodes["b"].RedeemCode(ctx, red); !errors.Is(err, want) {
				t.Errorf("%q: %v", redirect, err)
			}
		}
	})
}

// A code is good for a minute.
func TestCodeExpires(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		req := r.app()
		late, early := r.code("a", req), r.code("a", req)
		time.Sleep(59 * time.Second)
		synctest.Wait()
		must(r.nodes["b"].RedeemCode(ctx, early))(t)
		time.Sleep(time.Second)
		synctest.Wait()
		if _, err := r.nodes["c"].RedeemCode(ctx, late); !errors.Is(err, ErrInvalidGrant) {
			t.Errorf("after a minute: %v", err)
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		for name, n := range r.nodes {
			n.mu.RLock()
			left := len(n.state.codes)
			n.mu.RUnlock()
			if left != 0 {
				t.Errorf("%s remembers %d codes", name, left)
			}
		}
		if _, err := r.nodes["a"].RedeemCode(ctx, early); !errors.Is(err, ErrInvalidGrant) {
			t.Errorf("when it is forgotten: %v", err)
		}
		r.same()
	})
}

// The second redemption ends the session that the first one started, on every replica and with its reason in the log. Whoever has
// not the verifier cannot do that.
func TestCodeReuseEndsTheSession(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		red := r.code("a", r.app())
		other := r.login("a")
		tok := must(r.nodes["a"].RedeemCode(ctx, red))(t)
		thief := red
		thief.Verifier = strings.Repeat("x", 43)
		if _, err := r.nodes["b"].RedeemCode(ctx, thief); !errors.Is(err, ErrInvalidGrant) {
			t.Errorf("the thief: %v", err)
		}
		r.accepted(tok)
		for _, at := range []string{"b", "c", "b"} {
			if _, err := r.nodes[at].RedeemCode(ctx, red); !errors.Is(err, ErrInvalidGrant) {
				t.Errorf("again at %s: %v", at, err)
			}
			r.refused(tok, ErrRevoked)
		}
		if _, err := r.nodes["c"].Refresh(ctx, RefreshRequest{Token: tok.RefreshToken, Client: "app"}); !errors.Is(err, ErrInvalidGrant) {
			t.Errorf("refresh: %v", err)
		}
		r.accepted(other)
		ended := r.logged(events.TypeSessionRevoked)
		if len(ended) != 1 || ended[0].Reason != "authorization_code_replayed" {
			t.Errorf("%d events, %+v", len(ended), ended)
		}
		r.same()
	})
}

// logged returns the events of a type.
func (r *rig) logged(typ events.Type) (list []events.Event) {
	for _, m := range r.log.Messages() {
		var e events.Event
		if err := events.Decode(m.Data, &e); err != nil {
			r.t.Fatal(err)
		}
		if e.Data.Type() == typ {
			list = append(list, e)
		}
	}
	return list
}

// Redemptions at once, on all replicas: the log makes one of them the winner, and the others end what it won.
func TestCodeRace(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		red := r.code("a", r.app())
		type result struct {
			tok Tokens
			err error
		}
		results := make(chan result)
		for _, n := range r.nodes {
			for range 5 {
				go func() {
					tok, err := n.RedeemCode(context.Background(), red)
					results <- result{tok, err}
				}()
			}
		}
		var won []Tokens
		for range 15 {
			switch res := <-results; {
			case res.err == nil:
				won = append(won, res.tok)
			case !errors.Is(res.err, ErrInvalidGrant):
				t.Error(res.err)
			}
		}
		if len(won) > 1 {
			t.Errorf("%d winners", len(won))
		}
		for _, tok := range won {
			r.refused(tok, ErrRevoked)
		}
		for name, n := range r.nodes {
			n.mu.RLock()
			live := len(n.state.sessions)
			n.mu.RUnlock()
			if live != 0 {
				t.Errorf("%s has %d sessions", name, live)
			}
		}
		r.same()
	})
}

// What ends a user's or a client's sessions ends codes that are on their way; what does not, does not.
func TestCodesEndWithSessions(t *testing.T) {
	name, fewer, more := "New name", []string{testRedirect}, []string{testRedirect, "http://127.0.0.1/cb", "https://new.test/"}
	for what, c := range map[string]struct {
		do   func(n *Node, u User) error
		ends bool
	}{
		"password": {func(n *Node, u User) error {
			return n.SetPassword(context.Background(), u.ID, "new-password-1", Origin{})
		}, true},
		"disable":     {func(n *Node, u User) error { return n.DisableUser(context.Background(), u.ID, Origin{}) }, true},
		"logout":      {func(n *Node, u User) error { return n.RevokeUser(context.Background(), u.ID, Origin{}) }, true},
		"client off":  {func(n *Node, _ User) error { return n.DisableClient(context.Background(), "app", Origin{}) }, true},
		"client gone": {func(n *Node, _ User) error { return n.DeleteClient(context.Background(), "app", Origin{}) }, true},
		"client off and on": {func(n *Node, _ User) error {
			return errors.Join(n.DisableClient(context.Background(), "app", Origin{}), n.EnableClient(context.Background(), "app", Origin{}))
		}, true},
		"redirect URI away": {func(n *Node, _ User) error {
			return n.ChangeClient(context.Background(), "app", ClientChange{Redirects: fewer}, Origin{})
		}, true},
		"everything": {func(n *Node, _ User) error {
			return n.change(context.Background(), &events.AllRevoked{}, "", Origin{Actor: "test"})
		}, true},
		"redirect URI more": {func(n *Node, _ User) error {
			return n.ChangeClient(context.Background(), "app", ClientChange{Redirects: more}, Origin{})
		}, false},
		"client's name": {func(n *Node, _ User) error {
			return n.ChangeClient(context.Background(), "app", ClientChange{Name: &name}, Origin{})
		}, false},
		"roles": {func(n *Node, u User) error {
			return n.SetRoles(context.Background(), u.ID, []string{"writer"}, []string{"profile"}, Origin{})
		}, false},
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				red := r.code("a", r.app())
				u, _ := r.nodes["a"].UserByName("alice")
				if err := c.do(r.nodes["b"], u); err != nil {
					t.Fatal(err)
				}
				tok, err := r.nodes["c"].RedeemCode(context.Background(), red)
				switch {
				case c.ends && !errors.Is(err, ErrInvalidGrant):
					t.Errorf("redeemed: %v", err)
				case !c.ends && err != nil:
					t.Error(err)
				case !c.ends:
					r.accepted(tok)
				}
				r.same()
			})
		})
	}
}

// A replica that lags waits for the code, and knows of a redemption elsewhere by the log's order.
func TestLaggingReplicaRedeems(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		req := r.app()
		r.lag("b")
		red := r.code("a", req)
		r.accepted(must(r.nodes["b"].RedeemCode(ctx, red))(t))

		red = r.code("a", req)
		tok := must(r.nodes["a"].RedeemCode(ctx, red))(t)
		if _, err := r.nodes["b"].RedeemCode(ctx, red); !errors.Is(err, ErrInvalidGrant) {
			t.Errorf("again: %v", err)
		}
		r.refused(tok, ErrRevoked)
	})
}
