package node

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// An imported bcrypt hash opens the account, and becomes argon2id at the first login without ending a session.
func TestImportedHashIsRehashed(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		old := must(bcrypt.GenerateFromPassword([]byte("imported-pw-1"), bcrypt.MinCost))(t)
		u := must(r.nodes["a"].CreateUser(ctx, NewUser{Name: "bob", Hash: string(old), Scope: []string{"profile"}}, Origin{}))(t)
		tok := must(r.nodes["b"].Login(ctx, LoginRequest{Name: "bob", Password: "imported-pw-1"}))(t)
		time.Sleep(time.Second)
		for name, n := range r.nodes {
			n.mu.RLock()
			hash := n.state.users[u.ID].hash
			n.mu.RUnlock()
			if !strings.HasPrefix(hash, "$argon2id$") {
				t.Errorf("%s still has a hash of another kind", name)
			}
		}
		r.accepted(tok)
		must(r.nodes["c"].Login(ctx, LoginRequest{Name: "bob", Password: "imported-pw-1"}))(t)
		r.same()
	})
}

func TestBadUsersAreRefused(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		good := NewUser{Name: "bob", Password: "long-enough-1"}
		for what, edit := range map[string]func(*NewUser){
			"no name":         func(u *NewUser) { u.Name = " " },
			"control":         func(u *NewUser) { u.Name = "a\nb" },
			"not UTF-8":       func(u *NewUser) { u.Name = "\xff" },
			"long name":       func(u *NewUser) { u.Name = strings.Repeat("x", 129) },
			"short password":  func(u *NewUser) { u.Password = "x" },
			"no password":     func(u *NewUser) { u.Password = "" },
			"both":            func(u *NewUser) { u.Hash = "$2a$04$x" },
			"bad hash":        func(u *NewUser) { u.Password, u.Hash = "", "$argon2id$nonsense" },
			"dear hash":       func(u *NewUser) { u.Password, u.Hash = "", "$2a$31$"+strings.Repeat("a", 53) },
			"scope with room": func(u *NewUser) { u.Scope = []string{"a b"} },
			"many scopes":     func(u *NewUser) { u.Scope = manyWords(20) },
			"scope twice":     func(u *NewUser) { u.Scope = []string{"a", "a"} },
			"comma in a role": func(u *NewUser) { u.Roles = []string{"a,b"} },
		} {
			u := good
			edit(&u)
			if _, err := r.nodes["a"].CreateUser(context.Background(), u, Origin{}); !errors.Is(err, ErrBadRequest) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if _, err := r.nodes["a"].CreateUser(context.Background(), NewUser{Name: "ALICE", Password: "long-enough-1"}, Origin{}); !errors.Is(err, ErrExists) {
			t.Errorf("a name in another case: %v", err)
		}
		// Names are data: nothing in them reaches a subject.
		for _, name := range []string{"*", "knell.event.>", "a.b.c", "名前", "o'brien", `"; drop`} {
			if _, err := r.nodes["b"].CreateUser(context.Background(), NewUser{Name: name, Password: "long-enough-1"}, Origin{}); err != nil {
				t.Errorf("%q: %v", name, err)
			}
		}
		r.same()
	})
}

// manyWords returns n different scopes of 60 bytes.
func manyWords(n int) []string {
	var list []string
	for i := range n {
		list = append(list, strings.Repeat("x", 58)+string(rune('a'+i/26))+string(rune('a'+i%26)))
	}
	return list
}

// The longest lists that are allowed still make a token.
func TestLongestListsFitIntoAToken(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		nu := NewUser{Name: "bob", Password: "long-enough-1", Scope: manyWords(16), Roles: manyWords(16)}
		must(r.nodes["a"].CreateUser(context.Background(), nu, Origin{}))(t)
		r.accepted(must(r.nodes["b"].Login(context.Background(), LoginRequest{Name: "bob", Password: "long-enough-1"}))(t))
	})
}

// Two replicas that create the same user at once make one of them.
func TestCreateUserRace(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		results := make(chan error)
		for _, n := range r.nodes {
			go func() {
				_, err := n.CreateUser(context.Background(), NewUser{Name: "bob", Password: "long-enough-1"}, Origin{})
				results <- err
			}()
		}
		made := 0
		for range r.nodes {
			switch err := <-results; {
			case err == nil:
				made++
			case !errors.Is(err, ErrExists):
				t.Error(err)
			}
		}
		if made != 1 {
			t.Errorf("%d were created", made)
		}
		r.same()
	})
}

// When the log fills up, logins stop before revocations do.
func TestFullLogStillTakesRevocations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		for _, name := range []string{"a", "b"} {
			r.start(name)
		}
		r.user("alice", alicePassword)
		tok, other := r.login("a"), r.login("b")
		for range 300 {
			r.login("a")
		}
		stat := must(r.links["a"].Stat(context.Background()))(t)
		r.log.SetMaxBytes(stat.Bytes * 100 / 91)
		time.Sleep(6 * time.Second) // until the replicas have measured it
		ctx := context.Background()
		if _, err := r.nodes["a"].Login(ctx, LoginRequest{Name: "alice", Password: alicePassword}); !errors.Is(err, ErrFull) {
			t.Errorf("log in: %v", err)
		}
		if err := r.nodes["b"].Logout(ctx, tok.AccessToken, Origin{}); err != nil {
			t.Errorf("log out: %v", err)
		}
		if _, err := r.nodes["b"].Refresh(ctx, RefreshRequest{Token: other.RefreshToken}); !errors.Is(err, ErrFull) {
			t.Errorf("refresh: %v", err)
		}
		r.refused(tok, ErrRevoked)
		r.accepted(other)
	})
}
