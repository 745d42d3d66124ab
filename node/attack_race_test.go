package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/events/eventstest"
)

// race is two commands at once: the first one, at b, has looked at everything and appends its event; before that is in the log, the
// second one, at a, takes away what the first was allowed by.
type race struct {
	name   string
	first  func(s *scene) (Tokens, error)
	held   events.Payload // the event of the first one, by its type
	second func(s *scene) error
	want   error // of the first one; nil: it goes through, with what is left
	asleep bool  // what comes of it is good for nothing yet
}

// scene is what races are about.
type scene struct {
	*rig
	ctx     context.Context
	a, b    *Node
	alice   events.ID
	session Tokens         // through no client
	through Tokens         // through svc
	code    CodeRedemption // of app
}

func newScene(t *testing.T, r *rig) *scene {
	s := &scene{rig: r, ctx: context.Background(), a: r.nodes["a"], b: r.nodes["b"]}
	u, _ := s.a.UserByName("alice")
	s.alice = u.ID
	err := s.a.CreateClient(s.ctx, NewClient{ID: "svc", Secret: "svc-secret-0123456789", Scope: []string{"profile", "notes"}}, Origin{})
	if err != nil {
		t.Fatal(err)
	}
	s.session, s.code = r.login("a"), r.code("a", r.app())
	s.through = must(s.a.Login(s.ctx, LoginRequest{Name: "alice", Password: alicePassword, Client: "svc"}))(t)
	return s
}

// What the first command of a race may be.
func logIn(s *scene) (Tokens, error) {
	return s.b.Login(s.ctx, LoginRequest{Name: "alice", Password: alicePassword})
}
func logInThrough(s *scene) (Tokens, error) {
	return s.b.Login(s.ctx, LoginRequest{Name: "alice", Password: alicePassword, Client: "svc"})
}
func refresh(s *scene) (Tokens, error) {
	return s.b.Refresh(s.ctx, RefreshRequest{Token: s.session.RefreshToken})
}
func refreshThrough(s *scene) (Tokens, error) {
	return s.b.Refresh(s.ctx, RefreshRequest{Token: s.through.RefreshToken, Client: "svc"})
}
func redeemCode(s *scene) (Tokens, error)  { return s.b.RedeemCode(s.ctx, s.code) }
func clientToken(s *scene) (Tokens, error) { return s.b.ClientToken(s.ctx, "svc", 0, nil, Origin{}) }
func issueCode(s *scene) (Tokens, error) {
	code, err := s.b.IssueCode(s.ctx, s.app(), LoginRequest{Name: "alice", Password: alicePassword})
	if err == nil { // then it must be worth nothing
		return s.b.RedeemCode(s.ctx, CodeRedemption{Code: code, Client: "app", Redirect: testRedirect, Verifier: testVerifier})
	}
	return Tokens{}, err
}
func makeKey(s *scene) (Tokens, error) {
	_, text, err := s.b.CreateAPIKey(s.ctx, NewAPIKey{User: s.alice, Scope: []string{"notes"}}, Origin{})
	return Tokens{AccessToken: text}, err
}

// And the second one.
func disable(s *scene) error { return s.a.DisableUser(s.ctx, s.alice, Origin{}) }
func remove(s *scene) error  { return s.a.DeleteUser(s.ctx, s.alice, Origin{}) }
func setPassword(s *scene) error {
	return s.a.SetPassword(s.ctx, s.alice, "looking-glass-1871", Origin{})
}
func revokeUser(s *scene) error { return s.a.RevokeUser(s.ctx, s.alice, Origin{}) }
func logOut(s *scene) error     { return s.a.Logout(s.ctx, s.session.AccessToken, Origin{}) }
func revokeAll(s *scene) error {
	return s.a.Revoke(s.ctx, Revocation{Everything: true}, Origin{Reason: "drill"})
}
func disableClient(s *scene) error { return s.a.DisableClient(s.ctx, "svc", Origin{}) }
func deleteClient(s *scene) error  { return s.a.DeleteClient(s.ctx, "svc", Origin{}) }
func deleteApp(s *scene) error     { return s.a.DeleteClient(s.ctx, "app", Origin{}) }
func takeScopes(s *scene) error {
	return s.a.SetRoles(s.ctx, s.alice, nil, []string{"profile"}, Origin{})
}
func narrowClient(s *scene) error {
	return s.a.ChangeClient(s.ctx, "svc", ClientChange{Scope: []string{"profile"}}, Origin{})
}

var races = []race{
	{"log in, disabled", logIn, &events.SessionStarted{}, disable, ErrInvalidGrant, false},
	{"log in, deleted", logIn, &events.SessionStarted{}, remove, ErrInvalidGrant, false},
	{"log in, another password", logIn, &events.SessionStarted{}, setPassword, ErrInvalidGrant, false},
	{"log in, fewer scopes", logIn, &events.SessionStarted{}, takeScopes, nil, false},
	{"log in through a client, disabled", logInThrough, &events.SessionStarted{}, disableClient, ErrInvalidClient, false},
	{"log in through a client, deleted", logInThrough, &events.SessionStarted{}, deleteClient, ErrInvalidClient, false},
	{"log in through a client, fewer scopes", logInThrough, &events.SessionStarted{}, narrowClient, nil, false},
	{"refresh, logged out", refresh, &events.SessionRefreshed{}, logOut, ErrInvalidGrant, false},
	{"refresh, disabled", refresh, &events.SessionRefreshed{}, disable, ErrInvalidGrant, false},
	{"refresh, deleted", refresh, &events.SessionRefreshed{}, remove, ErrInvalidGrant, false},
	{"refresh, another password", refresh, &events.SessionRefreshed{}, setPassword, ErrInvalidGrant, false},
	{"refresh, everything revoked", refresh, &events.SessionRefreshed{}, revokeAll, ErrInvalidGrant, false},
	{"refresh, fewer scopes", refresh, &events.SessionRefreshed{}, takeScopes, nil, false},
	{"refresh through a client, disabled", refreshThrough, &events.SessionRefreshed{}, disableClient, ErrInvalidGrant, false},
	{"refresh through a client, deleted", refreshThrough, &events.SessionRefreshed{}, deleteClient, ErrInvalidGrant, false},
	{"a code is given, the client deleted", issueCode, &events.CodeIssued{}, deleteApp, ErrInvalidClient, false},
	{"a code is given, the user disabled", issueCode, &events.CodeIssued{}, disable, ErrInvalidGrant, false},
	{"a code is redeemed, the client deleted", redeemCode, &events.SessionStarted{}, deleteApp, ErrInvalidGrant, false},
	{"a code is redeemed, the user disabled", redeemCode, &events.SessionStarted{}, disable, ErrInvalidGrant, false},
	{"a code is redeemed, the user logged out", redeemCode, &events.SessionStarted{}, revokeUser, ErrInvalidGrant, false},
	{"a client's own token, disabled", clientToken, &events.ClientToken{}, disableClient, ErrInvalidClient, false},
	{"a client's own token, deleted", clientToken, &events.ClientToken{}, deleteClient, ErrInvalidClient, false},
	{"a client's own token, fewer scopes", clientToken, &events.ClientToken{}, narrowClient, nil, false},
	{"an API key, disabled", makeKey, &events.SecretAPIKey{}, disable, nil, true},
	{"an API key, deleted", makeKey, &events.SecretAPIKey{}, remove, ErrNotFound, false},
}

// TestRaces: whoever loses by the log's order has nothing that any replica accepts, and nothing that was taken away meanwhile.
func TestRaces(t *testing.T) {
	for _, c := range races {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				s := newScene(t, r)
				var held atomic.Bool
				r.links["b"].OnAppend(func(e *events.Event) eventstest.Fault {
					if fmt.Sprintf("%T", e.Data) == fmt.Sprintf("%T", c.held) && held.CompareAndSwap(false, true) {
						time.Sleep(time.Second)
					}
					return eventstest.Fault{}
				})
				type result struct {
					tok Tokens
					err error
				}
				done := make(chan result, 1)
				go func() {
					tok, err := c.first(s)
					done <- result{tok, err}
				}()
				synctest.Wait()
				if !held.Load() {
					t.Fatal("nothing is under way")
				}
				if err := c.second(s); err != nil {
					t.Fatal(err)
				}
				got := <-done
				if !errors.Is(got.err, c.want) {
					t.Errorf("%v, want %v", got.err, c.want)
				}
				for name, n := range r.nodes {
					id, err := n.Verify(s.ctx, got.tok.AccessToken)
					if (err == nil) != (c.want == nil && !c.asleep) || err == nil && id.HasScope("notes") {
						t.Errorf("%s: %v", name, err)
					}
				}
				r.same()
			})
		})
	}
}

// storm runs f at every replica again and again while end runs.
func (s *scene) storm(end func() error, f func(at string, n *Node)) {
	s.t.Helper()
	var work sync.WaitGroup
	ctx, stop := context.WithCancel(s.ctx)
	for at, n := range s.nodes {
		for range 3 {
			work.Go(func() {
				for ctx.Err() == nil {
					f(at, n)
					time.Sleep(time.Millisecond)
				}
			})
		}
	}
	time.Sleep(20 * time.Millisecond)
	if err := end(); err != nil {
		s.t.Error(err)
	}
	stop()
	work.Wait()
}

// TestRefreshesAgainstLogout: of all refreshes that are under way when somebody logs out, none leads to anything.
func TestRefreshesAgainstLogout(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		s := newScene(t, r)
		var mu sync.Mutex
		newest, all := s.session, []Tokens{s.session}
		s.storm(func() error { return r.nodes["c"].Logout(s.ctx, s.session.AccessToken, Origin{}) }, func(_ string, n *Node) {
			mu.Lock()
			with := newest.RefreshToken
			mu.Unlock()
			tok, err := n.Refresh(s.ctx, RefreshRequest{Token: with})
			if err == nil {
				mu.Lock()
				defer mu.Unlock()
				newest, all = tok, append(all, tok)
			}
		})
		if len(all) < 2 {
			t.Error("nothing was refreshed")
		}
		for _, tok := range all {
			r.refused(tok, ErrRevoked)
			for name, n := range r.nodes {
				if _, err := n.Refresh(s.ctx, RefreshRequest{Token: tok.RefreshToken}); !errors.Is(err, ErrInvalidGrant) {
					t.Errorf("%s refreshes: %v", name, err)
				}
			}
		}
		r.same()
	})
}

// TestIntrospectionAgainstRevocation: no replica calls a token active in an answer that was asked for after its revocation returned.
func TestIntrospectionAgainstRevocation(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		s := newScene(t, r)
		var gone atomic.Bool
		var before atomic.Int64
		s.storm(func() error {
			err := s.a.RevokeToken(s.ctx, s.through.AccessToken, "svc", Origin{})
			gone.Store(true)
			time.Sleep(20 * time.Millisecond)
			return err
		}, func(at string, n *Node) {
			late := gone.Load()
			for _, text := range []string{s.through.AccessToken, s.through.RefreshToken} {
				_, active, err := n.Introspect(s.ctx, text, "svc")
				if active && late || err != nil {
					t.Errorf("%s: %v, %v", at, active, err)
				}
				if active {
					before.Add(1)
				}
			}
		})
		if before.Load() == 0 {
			t.Error("nothing was active before")
		}
	})
}

// TestUseAgainstRotation: a key that is replaced without an overlap while everybody uses it is good nowhere when the rotation has
// returned, and the new one is, everywhere.
func TestUseAgainstRotation(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		s := newScene(t, r)
		k, old := r.key(nil)
		var gone atomic.Bool
		var text string
		s.storm(func() (err error) {
			_, text, err = s.a.RotateAPIKey(s.ctx, s.alice, k.ID, 0, Origin{})
			gone.Store(true)
			time.Sleep(20 * time.Millisecond)
			return err
		}, func(at string, n *Node) {
			late := gone.Load()
			if _, err := n.Verify(s.ctx, old); err == nil && late || err != nil && !errors.Is(err, ErrInvalidKey) {
				t.Errorf("%s: %v", at, err)
			}
		})
		r.accepted(Tokens{AccessToken: text})
		r.refused(Tokens{AccessToken: old}, ErrInvalidKey)
	})
}

// TestLoginsAgainstKeyRevocation: while the key of a replica is revoked and replaced, nobody gets a token that is good nowhere, or one
// that the revoked key signed.
func TestLoginsAgainstKeyRevocation(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		s := newScene(t, r)
		kid := s.b.Keys()[slices.IndexFunc(s.b.Keys(), func(k SigningKey) bool { return k.Node == "b" })].ID
		var mu sync.Mutex
		var late []Tokens
		var gone atomic.Bool
		s.storm(func() error {
			err := s.a.RevokeKey(s.ctx, kid, Origin{Reason: "drill"})
			gone.Store(true)
			time.Sleep(20 * time.Millisecond)
			return err
		}, func(at string, n *Node) {
			was := gone.Load()
			tok, err := n.Login(s.ctx, LoginRequest{Name: "alice", Password: alicePassword})
			if err != nil && !errors.Is(err, ErrNotCurrent) { // b has no key for a moment
				t.Errorf("%s: %v", at, err)
			}
			if err == nil && was {
				mu.Lock()
				defer mu.Unlock()
				late = append(late, tok)
			}
		})
		if len(late) == 0 {
			t.Error("nobody logged in afterwards")
		}
		for _, tok := range late {
			r.accepted(tok)
		}
		r.same()
	})
}
