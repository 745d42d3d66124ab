package node

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Who logs out after a pause wants the session to be over, refresh token and all.
func TestExpiredTokenLogsOut(t *testing.T) {
	bubbleWith(t, seldom, func(t *testing.T, r *rig) {
		ctx := context.Background()
		for _, at := range []string{"a", "b"} { // b has never seen the token
			tok := r.login("a")
			time.Sleep(tok.ExpiresIn + time.Second)
			synctest.Wait()
			r.refused(tok, ErrExpired)
			if err := r.nodes[at].Logout(ctx, tok.AccessToken, Origin{}); err != nil {
				t.Fatalf("log out at %s: %v", at, err)
			}
			_, err := r.nodes["c"].Refresh(ctx, RefreshRequest{Token: tok.RefreshToken})
			if !errors.Is(err, ErrInvalidGrant) {
				t.Errorf("refresh after a logout at %s: %v", at, err)
			}
		}
	})
}

// A login through a client gives no more than the client has, whatever the user has.
func TestClientLimitsLogin(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		a := r.nodes["a"]
		if err := a.CreateClient(ctx, NewClient{ID: "app", Scope: []string{"profile", "jobs"}}, Origin{}); err != nil {
			t.Fatal(err)
		}
		login := LoginRequest{Name: "alice", Password: alicePassword, Client: "app"}
		tok, err := a.Login(ctx, login)
		if err != nil || !slices.Equal(tok.Scope, []string{"profile"}) {
			t.Errorf("got %v, %v; want profile", tok.Scope, err)
		}
		for _, beyond := range []string{"notes", "jobs"} {
			login.Scope = []string{beyond}
			if _, err := a.Login(ctx, login); !errors.Is(err, ErrInvalidScope) {
				t.Errorf("scope %s: %v", beyond, err)
			}
		}
	})
}

// A reissue has the times of the generation that it repeats, and says how much of them is left.
func TestReissueSaysWhatIsLeft(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		first := r.login("a")
		if _, err := r.nodes["a"].Refresh(ctx, RefreshRequest{Token: first.RefreshToken}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		again, err := r.nodes["b"].Refresh(ctx, RefreshRequest{Token: first.RefreshToken})
		if err != nil {
			t.Fatal(err)
		}
		if want := 280 * time.Second; again.ExpiresIn > want || again.ExpiresIn < want-2*time.Second {
			t.Errorf("expires in %v, want %v", again.ExpiresIn, want)
		}
	})
}

func TestNamesThatCannotBeSeen(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		a := r.nodes["a"]
		for _, name := range []string{"al\u115fice", "al\ufffdice", "al\u200bice", "al\u202eice", "al\x00ice"} {
			_, err := a.CreateUser(ctx, NewUser{Name: name, Password: alicePassword}, Origin{})
			if !errors.Is(err, ErrBadRequest) {
				t.Errorf("user %q: %v", name, err)
			}
			if err := a.CreateClient(ctx, NewClient{ID: "x", Name: name}, Origin{}); !errors.Is(err, ErrBadRequest) {
				t.Errorf("client %q: %v", name, err)
			}
		}
		if err := a.CreateClient(ctx, NewClient{ID: "x", Name: strings.Repeat("x", 257)}, Origin{}); !errors.Is(err, ErrBadRequest) {
			t.Errorf("long client name: %v", err)
		}
	})
}
