package node

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/events/eventstest"
)

// oauthRig is the usual three replicas with two confidential clients besides.
func oauthRig(t *testing.T, f func(t *testing.T, r *rig)) {
	t.Helper()
	bubble(t, func(t *testing.T, r *rig) {
		for _, id := range []string{"svc", "other"} {
			c := NewClient{ID: id, Secret: "svc-secret-0123456789", Scope: []string{"profile", "roles"}}
			if err := r.nodes["a"].CreateClient(context.Background(), c, Origin{Actor: "test"}); err != nil {
				t.Fatal(err)
			}
		}
		f(t, r)
	})
}

// through logs alice in through a client.
func (r *rig) through(at, client string) Tokens {
	r.t.Helper()
	return must(r.nodes[at].Login(context.Background(), LoginRequest{Name: "alice", Password: alicePassword, Client: client}))(r.t)
}

// TestRevokeToken: any token of a session ends it on all replicas when the revocation returns, for its own client only.
func TestRevokeToken(t *testing.T) {
	oauthRig(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		access := func(t Tokens) string { return t.AccessToken }
		refresh := func(t Tokens) string { return t.RefreshToken }
		for _, client := range []string{"", "svc"} {
			for _, part := range []func(Tokens) string{access, refresh} {
				first := r.through("a", client)
				second := must(r.nodes["b"].Refresh(ctx, RefreshRequest{Token: first.RefreshToken, Client: client}))(t)
				for _, wrong := range []string{"", "svc", "other"} {
					if wrong == client {
						continue
					}
					if err := r.nodes["c"].RevokeToken(ctx, part(first), wrong, Origin{}); !errors.Is(err, ErrInvalidGrant) {
						t.Errorf("%q for %q: %v", wrong, client, err)
					}
				}
				r.accepted(second)
				if err := r.nodes["c"].RevokeToken(ctx, part(first), client, Origin{}); err != nil {
					t.Errorf("%q: %v", client, err)
				}
				r.refused(first, ErrRevoked)
				r.refused(second, ErrRevoked)
				for _, again := range []string{part(first), part(second)} {
					if err := r.nodes["a"].RevokeToken(ctx, again, client, Origin{}); err != nil {
						t.Errorf("again: %v", err)
					}
				}
			}
		}
		r.same()
	})
}

// What is no token, or an old one, is accepted by nobody: that is all that a revocation promises.
func TestRevokeUnknownToken(t *testing.T) {
	oauthRig(t, func(t *testing.T, r *rig) {
		ctx, a := context.Background(), r.nodes["a"]
		tok := r.login("b")
		for _, s := range []string{"", "x", "knr_", "knl_x", "a.b.c", tok.AccessToken + "A", tok.RefreshToken[:len(tok.RefreshToken)-1] + "!"} {
			if err := a.RevokeToken(ctx, s, "", Origin{}); err != nil {
				t.Errorf("%.10q: %v", s, err)
			}
		}
		r.accepted(tok)
		r.jump("a", 25*time.Hour) // longer than the refresh token may rest
		for _, s := range []string{tok.AccessToken, tok.RefreshToken} {
			if err := a.RevokeToken(ctx, s, "", Origin{}); err != nil {
				t.Errorf("expired: %v", err)
			}
		}
		r.same()
	})
}

// The event names who asked and why.
func TestRevokeTokenIsRecorded(t *testing.T) {
	oauthRig(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		seen := map[string]bool{}
		r.links["a"].OnAppend(func(e *events.Event) (f eventstest.Fault) {
			if _, ok := e.Data.(*events.SessionRevoked); ok {
				seen[e.Actor+" "+e.Reason] = true
			}
			return f
		})
		user := must(r.nodes["a"].Verify(ctx, r.login("a").AccessToken))(t).Subject()
		for _, s := range []string{r.login("a").AccessToken, r.login("a").RefreshToken} {
			if err := r.nodes["a"].RevokeToken(ctx, s, "", Origin{}); err != nil {
				t.Error(err)
			}
		}
		if err := r.nodes["a"].RevokeToken(ctx, r.through("b", "svc").RefreshToken, "svc", Origin{Actor: "svc"}); err != nil {
			t.Error(err)
		}
		if len(seen) != 2 || !seen[user+" token_revoked"] || !seen["svc token_revoked"] {
			t.Errorf("%v", seen)
		}
	})
}

// A replica that cannot prove that it is current says neither that a token is revoked nor that it is none.
func TestRevokeAndIntrospectNeedLease(t *testing.T) {
	oauthRig(t, func(t *testing.T, r *rig) {
		ctx, c := context.Background(), r.nodes["c"]
		tok, gone := r.login("c"), r.login("c")
		if err := c.Logout(ctx, gone.AccessToken, Origin{}); err != nil {
			t.Fatal(err)
		}
		r.links["c"].Cut()
		time.Sleep(4 * time.Second)
		for _, s := range []string{"", "x", "knr_x", tok.AccessToken, tok.RefreshToken, gone.AccessToken, gone.RefreshToken} {
			ctx, cancel := context.WithTimeout(ctx, 6*time.Second)
			if _, active, err := c.Introspect(ctx, s, ""); active || !errors.Is(err, ErrNotCurrent) {
				t.Errorf("introspect %.10q: %v, %v", s, active, err)
			}
			if err := c.RevokeToken(ctx, s, "", Origin{}); !errors.Is(err, ErrNotCurrent) {
				t.Errorf("revoke %.10q: %v", s, err)
			}
			cancel()
		}
		r.links["c"].Heal()
	})
}

// TestIntrospect: a token is active as long as it would be accepted, and a refresh token only for its own client.
func TestIntrospect(t *testing.T) {
	oauthRig(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		active := func(tok, client string, want bool) (info TokenInfo) {
			t.Helper()
			for name, n := range r.nodes {
				got, is, err := n.Introspect(ctx, tok, client)
				if err != nil || is != want {
					t.Errorf("%s: %v, %v, want %v", name, is, err, want)
				}
				info = got
			}
			return info
		}
		tok := r.through("a", "svc")
		id := must(r.nodes["a"].Verify(ctx, tok.AccessToken))(t)
		info := active(tok.AccessToken, "", true)
		if info.Refresh || info.Username != "alice" || info.Client != "svc" || info.Subject != id.Subject() || info.Scope != "profile" ||
			info.Session != tok.Session || info.ID != id.TokenID() || info.Expires != id.Expires().Unix() || info.NotBefore != info.IssuedAt {
			t.Errorf("%+v", info)
		}
		info = active(tok.RefreshToken, "svc", true)
		if !info.Refresh || info.Username != "alice" || info.Client != "svc" || info.Expires-info.IssuedAt != seconds(24*time.Hour) || info.Audience != nil {
			t.Errorf("%+v", info)
		}
		active(tok.RefreshToken, "", false)
		active(tok.RefreshToken, "other", false)
		active("x", "svc", false)
		next := must(r.nodes["b"].Refresh(ctx, RefreshRequest{Token: tok.RefreshToken, Client: "svc"}))(t)
		synctest.Wait() // a refresh waits for nobody
		active(tok.RefreshToken, "svc", false)
		active(next.RefreshToken, "svc", true)
		active(tok.AccessToken, "", true)

		// Roles change: the access token is stale, the session goes on.
		u, _ := r.nodes["a"].UserByName("alice")
		if err := r.nodes["a"].SetRoles(ctx, u.ID, []string{"writer"}, u.Scope, Origin{}); err != nil {
			t.Fatal(err)
		}
		active(next.AccessToken, "", false)
		if info := active(next.RefreshToken, "svc", true); info.Roles != nil { // alice has no scope roles
			t.Errorf("%+v", info)
		}
		if err := r.nodes["c"].RevokeToken(ctx, next.RefreshToken, "svc", Origin{}); err != nil {
			t.Fatal(err)
		}
		active(next.RefreshToken, "svc", false)
		own := must(r.nodes["b"].ClientToken(ctx, "svc", 0, nil, Origin{}))(t)
		if info := active(own.AccessToken, "", true); info.Username != "" || info.Subject != "svc" {
			t.Errorf("%+v", info)
		}
		first := r.login("a")
		if info := active(first.AccessToken, "", true); info.Client != firstPartyClient {
			t.Errorf("%+v", info)
		}
		if id := must(r.nodes["a"].Verify(ctx, first.AccessToken))(t); id.Client() != "" {
			t.Errorf("client %q", id.Client())
		}
		r.jump("a", 6*time.Minute)
		active(own.AccessToken, "", false)
		r.same()
	})
}

// No client can be called what stands for a login without one, nor what the API or this server is called: the id of a client is the
// audience of its ID tokens.
func TestReservedClientIDs(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		for _, id := range []string{firstPartyClient, r.nodes["b"].cfg.Audience, r.nodes["b"].cfg.Issuer} {
			err := r.nodes["a"].CreateClient(context.Background(), NewClient{ID: id}, Origin{})
			if !errors.Is(err, ErrBadRequest) {
				t.Errorf("%s: %v", id, err)
			}
		}
	})
}

// To be told that an API key was revoked, when all that could be ended is a session, would be wrong.
func TestRevokeTokenRefusesAPIKey(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		_, text := r.key(nil)
		if err := r.nodes["b"].RevokeToken(context.Background(), text, "", Origin{}); !errors.Is(err, ErrUnsupportedToken) {
			t.Error(err)
		}
		r.accepted(Tokens{AccessToken: text})
	})
}

// TestRolesThroughClient: a token that was issued to a client carries roles only with the scope roles, which client, user and
// token must have; a first-party one carries them always.
func TestRolesThroughClient(t *testing.T) {
	oauthRig(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		check := func(what, client string, tok Tokens, want bool) {
			t.Helper()
			synctest.Wait()
			for name, n := range r.nodes {
				id, err := n.Verify(ctx, tok.AccessToken)
				if err != nil || id.HasRole("reader") != want {
					t.Errorf("%s at %s: %v, roles %v", what, name, err, id.Roles())
				}
				for _, s := range []string{tok.AccessToken, tok.RefreshToken} {
					info, active, err := n.Introspect(ctx, s, client)
					if err != nil || !active || slices.Contains(info.Roles, "reader") != want {
						t.Errorf("%s at %s: introspection %v %v, roles %v", what, name, active, err, info.Roles)
					}
				}
			}
		}
		login := func(client string, scope ...string) Tokens {
			t.Helper()
			return must(r.nodes["a"].Login(ctx, LoginRequest{Name: "alice", Password: alicePassword, Client: client, Scope: scope}))(t)
		}
		check("first party", "", login("", "notes"), true)
		check("a user without the scope", "svc", login("svc"), false)
		u := must(r.nodes["b"].UserNamed("alice"))(t)
		if err := r.nodes["b"].SetRoles(ctx, u.ID, u.Roles, []string{"profile", "roles"}, Origin{}); err != nil {
			t.Fatal(err)
		}
		check("not asked for", "svc", login("svc", "profile"), false)
		tok := login("svc", "profile", "roles")
		check("granted", "svc", tok, true)
		next := must(r.nodes["c"].Refresh(ctx, RefreshRequest{Token: tok.RefreshToken, Client: "svc", Scope: []string{"profile"}}))(t)
		synctest.Wait()
		if id := must(r.nodes["a"].Verify(ctx, next.AccessToken))(t); len(id.Roles()) != 0 {
			t.Errorf("narrowed: %v", id.Roles())
		}
		if err := r.nodes["b"].ChangeClient(ctx, "svc", ClientChange{Scope: []string{"profile"}}, Origin{}); err != nil {
			t.Fatal(err)
		}
		next = must(r.nodes["c"].Refresh(ctx, RefreshRequest{Token: next.RefreshToken, Client: "svc"}))(t)
		check("taken from the client", "svc", next, false)
		r.same()
	})
}
