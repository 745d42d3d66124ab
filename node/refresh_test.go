package node

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knell-auth/knell/events"
)

// 100 refreshes of one token on three replicas at once leave one chain: one generation, and every loser got it too.
func TestRefreshRace(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		tok := r.login("a")
		var mu sync.Mutex
		got := map[string]int{}
		var work sync.WaitGroup
		for i := range 100 {
			at := string(rune('a' + i%3))
			work.Go(func() {
				next, err := r.nodes[at].Refresh(context.Background(), RefreshRequest{Token: tok.RefreshToken})
				if err != nil {
					t.Errorf("at %s: %v", at, err)
					return
				}
				id, err := r.nodes[at].Verify(context.Background(), next.AccessToken)
				if err != nil {
					t.Errorf("at %s: %v", at, err)
					return
				}
				mu.Lock()
				got[id.TokenID()]++
				mu.Unlock()
			})
		}
		work.Wait()
		if len(got) != 1 {
			t.Errorf("%d generations, want 1: %v", len(got), got)
		}
		r.same()
	})
}

func TestRefreshRotates(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		tok := r.login("a")
		for i := range 5 {
			at := string(rune('a' + i%3))
			next, err := r.nodes[at].Refresh(context.Background(), RefreshRequest{Token: tok.RefreshToken, Origin: Origin{UserAgent: "test"}})
			if err != nil {
				t.Fatal(err)
			}
			if next.RefreshToken == tok.RefreshToken || next.AccessToken == tok.AccessToken || next.Session != tok.Session {
				t.Error("not rotated")
			}
			r.accepted(next)
			tok = next
		}
	})
}

// Inside the grace window the predecessor gives the same successor again, with the same times; after it, it ends the
// session everywhere.
func TestRefreshReplayEndsSession(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		tok := r.login("a")
		next, err := r.nodes["a"].Refresh(context.Background(), RefreshRequest{Token: tok.RefreshToken})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second)
		again, err := r.nodes["b"].Refresh(context.Background(), RefreshRequest{Token: tok.RefreshToken})
		if err != nil {
			t.Fatalf("inside the grace window: %v", err)
		}
		one, _ := r.nodes["c"].Verify(context.Background(), next.AccessToken)
		two, _ := r.nodes["c"].Verify(context.Background(), again.AccessToken)
		if one.TokenID() != two.TokenID() || !one.Expires().Equal(two.Expires()) || !one.IssuedAt().Equal(two.IssuedAt()) {
			t.Error("the successor is another one")
		}
		time.Sleep(20 * time.Second)
		if _, err := r.nodes["b"].Refresh(context.Background(), RefreshRequest{Token: tok.RefreshToken}); !errors.Is(err, ErrInvalidGrant) {
			t.Errorf("after the grace window: %v", err)
		}
		r.refused(next, ErrRevoked)
		r.refused(again, ErrRevoked)
		if _, err := r.nodes["c"].Refresh(context.Background(), RefreshRequest{Token: next.RefreshToken}); !errors.Is(err, ErrInvalidGrant) {
			t.Errorf("the successor's refresh: %v", err)
		}
	})
}

// The grace window covers the direct predecessor of an unused generation, and nothing else.
func TestGraceCoversOneStepOnly(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		first := r.login("a")
		second, err := r.nodes["a"].Refresh(ctx, RefreshRequest{Token: first.RefreshToken})
		if err != nil {
			t.Fatal(err)
		}
		third, err := r.nodes["b"].Refresh(ctx, RefreshRequest{Token: second.RefreshToken})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.nodes["c"].Refresh(ctx, RefreshRequest{Token: first.RefreshToken}); !errors.Is(err, ErrInvalidGrant) {
			t.Errorf("the grandparent: %v", err)
		}
		r.refused(third, ErrRevoked)
	})
}

// A replica that was restarted has applied everything a moment ago. That must not make old refreshes young.
func TestGraceSurvivesRestart(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		old, young := r.login("a"), r.login("a")
		if _, err := r.nodes["a"].Refresh(ctx, RefreshRequest{Token: old.RefreshToken}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(40 * time.Second)
		if _, err := r.nodes["a"].Refresh(ctx, RefreshRequest{Token: young.RefreshToken}); err != nil {
			t.Fatal(err)
		}
		r.kill("c")
		r.start("c")
		if _, err := r.nodes["c"].Refresh(ctx, RefreshRequest{Token: young.RefreshToken}); err != nil {
			t.Errorf("young: %v", err)
		}
		if _, err := r.nodes["c"].Refresh(ctx, RefreshRequest{Token: old.RefreshToken}); !errors.Is(err, ErrInvalidGrant) {
			t.Errorf("old: %v", err)
		}
	})
}

// setClock puts a beat into the log that was sent when the wall clock of a replica was ahead by so much.
func (r *rig) setClock(ahead time.Duration) {
	r.t.Helper()
	a := r.nodes["a"]
	e := a.newEvent(&events.NodeBeat{Pings: []events.Ping{{Node: "z", Incarnation: events.NewID(), Counter: 1}}}, "z", Origin{Actor: "system"})
	e.Time = e.Time.Add(ahead)
	if _, err := r.links["a"].Append(context.Background(), e); err != nil {
		r.t.Fatal(err)
	}
	synctest.Wait()
}

// One replica whose wall clock is set forward takes log time with it. A client that sends its refresh again meanwhile is no
// thief, at whatever replica; a token that was spent long ago is one as before.
func TestGraceSurvivesClockStep(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		tok := r.login("a")
		if _, err := r.nodes["a"].Refresh(ctx, RefreshRequest{Token: tok.RefreshToken}); err != nil {
			t.Fatal(err)
		}
		for _, at := range []string{"a", "b", "c"} {
			r.setClock(time.Hour)
			if _, err := r.nodes[at].Refresh(ctx, RefreshRequest{Token: tok.RefreshToken}); err != nil {
				t.Errorf("at %s: %v", at, err)
			}
			time.Sleep(time.Second)
		}
		time.Sleep(30 * time.Second)
		if _, err := r.nodes["b"].Refresh(ctx, RefreshRequest{Token: tok.RefreshToken}); !errors.Is(err, ErrInvalidGrant) {
			t.Errorf("after the grace window: %v", err)
		}
	})
}

// A replica that was cut off applies old refreshes all at once. That must not make them young.
func TestGraceSurvivesCut(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		old, young := r.login("a"), r.login("a")
		r.links["c"].Cut()
		time.Sleep(5 * time.Second)
		if _, err := r.nodes["a"].Refresh(ctx, RefreshRequest{Token: old.RefreshToken}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(40 * time.Second)
		if _, err := r.nodes["a"].Refresh(ctx, RefreshRequest{Token: young.RefreshToken}); err != nil {
			t.Fatal(err)
		}
		r.links["c"].Heal()
		time.Sleep(5 * time.Second)
		if _, err := r.nodes["c"].Refresh(ctx, RefreshRequest{Token: young.RefreshToken}); err != nil {
			t.Errorf("young: %v", err)
		}
		if _, err := r.nodes["c"].Refresh(ctx, RefreshRequest{Token: old.RefreshToken}); !errors.Is(err, ErrInvalidGrant) {
			t.Errorf("old: %v", err)
		}
	})
}

func TestGraceCanBeSwitchedOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.edit = func(c *Config) { c.Grace = -1 }
		r.start("a")
		r.user("alice", alicePassword)
		tok := r.login("a")
		if _, err := r.nodes["a"].Refresh(context.Background(), RefreshRequest{Token: tok.RefreshToken}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.nodes["a"].Refresh(context.Background(), RefreshRequest{Token: tok.RefreshToken}); !errors.Is(err, ErrInvalidGrant) {
			t.Errorf("got %v", err)
		}
	})
}

func TestLifetimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.edit = func(c *Config) { c.AccessTTL, c.RefreshIdle, c.SessionTTL = 20*time.Second, time.Minute, 5*time.Minute }
		r.start("a")
		r.start("b")
		r.user("alice", alicePassword)
		ctx := context.Background()
		tok := r.login("a")
		time.Sleep(18 * time.Second)
		r.accepted(tok)
		time.Sleep(3 * time.Second)
		r.refused(tok, ErrExpired)
		next, err := r.nodes["b"].Refresh(ctx, RefreshRequest{Token: tok.RefreshToken})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(61 * time.Second)
		if _, err := r.nodes["b"].Refresh(ctx, RefreshRequest{Token: next.RefreshToken}); !errors.Is(err, ErrInvalidGrant) {
			t.Errorf("idle for too long: %v", err)
		}
		time.Sleep(3 * time.Minute)
		if s := r.nodes["b"].Status(); s.Sessions != 0 {
			t.Errorf("%d sessions are remembered", s.Sessions)
		}
	})
}

func TestHostileRefreshTokens(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		tok := r.login("a")
		good := tok.RefreshToken
		flipped := []byte(good)
		flipped[len(flipped)-10] ^= 1
		for name, s := range map[string]string{
			"empty": "", "access token": tok.AccessToken, "truncated": good[:len(good)-1], "longer": good + "A", "flipped": string(flipped),
			"no prefix": good[4:], "newline": good[:40] + "\n" + good[40:],
		} {
			if _, err := r.nodes["a"].Refresh(context.Background(), RefreshRequest{Token: s}); !errors.Is(err, ErrInvalidGrant) {
				t.Errorf("%s: %v", name, err)
			}
			if _, err := r.nodes["a"].Verify(context.Background(), s); s != tok.AccessToken && !errors.Is(err, ErrInvalidToken) {
				t.Errorf("%s as an access token: %v", name, err)
			}
		}
		if _, err := r.nodes["a"].Verify(context.Background(), good); !errors.Is(err, ErrInvalidToken) {
			t.Errorf("a refresh token as an access token: %v", err)
		}
		r.accepted(tok)
	})
}

func TestLoginIsAnsweredAlike(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		if _, err := r.nodes["a"].CreateUser(ctx, NewUser{Name: "mallory", Password: "disabled-pw-1", Disabled: true}, Origin{}); err != nil {
			t.Fatal(err)
		}
		for _, req := range []LoginRequest{
			{Name: "alice", Password: "wrong"}, {Name: "nobody", Password: alicePassword}, {Name: "mallory", Password: "disabled-pw-1"},
			{Name: "knell.event.>", Password: "x"}, {Name: "*", Password: "x"}, {Name: "a\x00b", Password: "x"}, {Name: "\xff", Password: "x"},
			{Name: "", Password: ""}, {Name: "alice", Password: ""},
		} {
			if _, err := r.nodes["b"].Login(ctx, req); err != ErrInvalidGrant {
				t.Errorf("%q: %v, want ErrInvalidGrant itself", req.Name, err)
			}
		}
		if _, err := r.nodes["b"].Login(ctx, LoginRequest{Name: " ALICE ", Password: alicePassword, Scope: []string{"notes"}}); err != nil {
			t.Errorf("another spelling: %v", err)
		}
		_, err := r.nodes["b"].Login(ctx, LoginRequest{Name: "alice", Password: alicePassword, Scope: []string{"admin"}})
		if !errors.Is(err, ErrInvalidScope) {
			t.Errorf("a scope too many: %v", err)
		}
	})
}

func TestClientTokens(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		if err := r.nodes["a"].CreateClient(ctx, NewClient{ID: "svc", Secret: "svc-secret-0123456789", Scope: []string{"jobs"}}, Origin{}); err != nil {
			t.Fatal(err)
		}
		for _, at := range []string{"a", "b", "c", "a"} {
			if _, err := r.nodes[at].AuthenticateClient(ctx, "svc", "svc-secret-0123456789", Origin{}); err != nil {
				t.Errorf("at %s: %v", at, err)
			}
			if _, err := r.nodes[at].AuthenticateClient(ctx, "svc", "wrong", Origin{}); err != ErrInvalidClient {
				t.Errorf("wrong secret at %s: %v", at, err)
			}
		}
		tok, err := r.nodes["b"].ClientToken(ctx, "svc", 0, nil, Origin{})
		if err != nil || tok.RefreshToken != "" {
			t.Fatalf("%+v, %v", tok, err)
		}
		r.accepted(tok)
		id, _ := r.nodes["c"].Verify(ctx, tok.AccessToken)
		if id.Subject() != "svc" || id.Client() != "svc" || !id.HasScope("jobs") || id.Session() == (events.ID{}) {
			t.Errorf("%+v", id)
		}
		if err := r.nodes["c"].Logout(ctx, tok.AccessToken, Origin{}); err != nil {
			t.Fatal(err)
		}
		r.refused(tok, ErrRevoked)
	})
}

// A refresh token is bound to the client that the session was started through (RFC 6749 section 6).
func TestRefreshTokenBelongsToItsClient(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		for _, id := range []string{"app", "other"} {
			if err := r.nodes["a"].CreateClient(ctx, NewClient{ID: id}, Origin{}); err != nil {
				t.Fatal(err)
			}
		}
		tok, err := r.nodes["a"].Login(ctx, LoginRequest{Name: "alice", Password: alicePassword, Client: "app"})
		if err != nil {
			t.Fatal(err)
		}
		for _, client := range []string{"", "other", "nobody"} {
			if _, err := r.nodes["b"].Refresh(ctx, RefreshRequest{Token: tok.RefreshToken, Client: client}); !errors.Is(err, ErrInvalidGrant) {
				t.Errorf("by %q: %v", client, err)
			}
		}
		if _, err := r.nodes["b"].Refresh(ctx, RefreshRequest{Token: tok.RefreshToken, Client: "app"}); err != nil {
			t.Error(err)
		}
	})
}

// A refresh may ask for less than the session has, for that access token alone, and never for more.
func TestRefreshNarrowsScope(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		tok := r.login("a")
		_, err := r.nodes["b"].Refresh(ctx, RefreshRequest{Token: tok.RefreshToken, Scope: []string{"admin"}})
		if !errors.Is(err, ErrInvalidScope) {
			t.Errorf("more: %v", err)
		}
		less := must(r.nodes["b"].Refresh(ctx, RefreshRequest{Token: tok.RefreshToken, Scope: []string{"notes"}}))(t)
		if id := must(r.nodes["c"].Verify(ctx, less.AccessToken))(t); id.Scope() != "notes" {
			t.Errorf("less: %q", id.Scope())
		}
		all := must(r.nodes["c"].Refresh(ctx, RefreshRequest{Token: less.RefreshToken}))(t)
		if id := must(r.nodes["a"].Verify(ctx, all.AccessToken))(t); id.Scope() != "profile notes" {
			t.Errorf("all again: %q", id.Scope())
		}
	})
}

// A client's own token has the client's id for a subject: no client may be named like a user.
func TestClientCannotPassForAUser(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		u, _ := r.nodes["a"].UserByName("alice")
		err := r.nodes["a"].CreateClient(context.Background(), NewClient{ID: u.ID.String(), Secret: "long-enough-1"}, Origin{})
		if !errors.Is(err, ErrBadRequest) {
			t.Errorf("got %v", err)
		}
	})
}
