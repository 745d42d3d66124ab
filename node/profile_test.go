package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knell-auth/knell/events"
)

// Who changes the own password stays logged in here, and nowhere else.
func TestChangePassword(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		mine, other := r.login("a"), r.login("b")
		r.accepted(mine) // as it is before anybody asks for anything
		change := PasswordChange{User: r.alice(), Session: mine.Session, Old: alicePassword, New: "through-the-glass"}
		wrong := change
		wrong.Old = "wonderland-1866"
		if err := r.nodes["c"].ChangePassword(ctx, wrong); !errors.Is(err, ErrWrongPassword) {
			t.Errorf("wrong old password: %v", err)
		}
		short := change
		short.New = "short"
		if err := r.nodes["c"].ChangePassword(ctx, short); !errors.Is(err, ErrBadRequest) {
			t.Errorf("short new password: %v", err)
		}
		r.accepted(other)
		if err := r.nodes["c"].ChangePassword(ctx, change); err != nil {
			t.Fatal(err)
		}
		r.refused(other, ErrRevoked)
		r.accepted(mine)
		r.accepted(must(r.nodes["b"].Refresh(ctx, RefreshRequest{Token: mine.RefreshToken}))(t))
		if _, err := r.nodes["b"].Login(ctx, LoginRequest{Name: "alice", Password: alicePassword}); !errors.Is(err, ErrInvalidGrant) {
			t.Errorf("the old password: %v", err)
		}
		must(r.nodes["b"].Login(ctx, LoginRequest{Name: "alice", Password: change.New}))(t)

		again := PasswordChange{User: r.alice(), Session: other.Session, Old: change.New, New: "and-what-she-found"}
		if err := r.nodes["a"].ChangePassword(ctx, again); !errors.Is(err, ErrRevoked) {
			t.Errorf("in a session that has ended: %v", err)
		}
		time.Sleep(time.Second)
		failed, _ := public[*events.LoginFailed](t, r.nodes["a"])
		if len(failed) != 2 {
			t.Errorf("%d failures are recorded, want that of the change and that of the login", len(failed))
		}
		r.same()
	})
}

// A change that was validated before the session ended, or before an administrator set the password, does not count.
func TestChangePasswordLosesRaces(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		tok := r.login("a")
		a := r.nodes["a"]
		acc, _, err := a.ownAccount(r.alice(), tok.Session)
		if err != nil {
			t.Fatal(err)
		}
		stale := func() error {
			d := &events.SecretPassword{User: acc.id, Hash: "x", UserSeq: acc.seq, Except: tok.Session}
			return a.change(ctx, d, acc.id.String(), Origin{})
		}
		if err := r.nodes["b"].Logout(ctx, tok.AccessToken, Origin{}); err != nil {
			t.Fatal(err)
		}
		if err := stale(); !errors.Is(err, errChanged) {
			t.Errorf("after the logout: %v", err)
		}
		tok = r.login("b")
		if err := r.nodes["b"].SetPassword(ctx, acc.id, alicePassword, Origin{}); err != nil {
			t.Fatal(err)
		}
		if err := stale(); !errors.Is(err, errChanged) {
			t.Errorf("after a reset: %v", err)
		}
		r.login("c")
	})
}

func TestChangeUser(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		bob := r.user("bob", "long-enough-1")
		tok := r.login("a")
		p := func(s string) *string { return &s }
		all := UserChange{Name: p(" Alicia "), Email: p("alice@example.com"), FullName: p("Alice Liddell")}
		if err := r.nodes["b"].ChangeUser(ctx, r.alice(), all, Origin{}); err != nil {
			t.Fatal(err)
		}
		for name, n := range r.nodes {
			u, err := n.UserNamed("ALICIA")
			if err != nil || u.Email != "alice@example.com" || u.FullName != "Alice Liddell" || u.Name != "alicia" {
				t.Errorf("%s: %+v, %v", name, u, err)
			}
			if _, err := n.Login(ctx, LoginRequest{Name: "alice", Password: alicePassword}); !errors.Is(err, ErrInvalidGrant) {
				t.Errorf("%s: the old name: %v", name, err)
			}
		}
		r.accepted(tok)
		alice := must(r.nodes["c"].UserNamed("alicia"))(t)
		if err := r.nodes["c"].ChangeUser(ctx, alice.ID, UserChange{Email: p("")}, Origin{}); err != nil {
			t.Fatal(err)
		}
		if u := must(r.nodes["a"].User(alice.ID))(t); u.Email != "" || u.FullName != "Alice Liddell" {
			t.Errorf("%+v", u)
		}
		for what, c := range map[string]struct {
			c    UserChange
			want error
		}{
			"taken":        {UserChange{Name: p("bob")}, ErrExists},
			"no name":      {UserChange{Name: p(" ")}, ErrBadRequest},
			"no address":   {UserChange{Email: p("alice")}, ErrBadRequest},
			"two":          {UserChange{Email: p("a@b,c@d")}, ErrBadRequest},
			"line break":   {UserChange{FullName: p("Alice\nLiddell")}, ErrBadRequest},
			"bidi":         {UserChange{FullName: p("Alice \u202eLiddell")}, ErrBadRequest},
			"joiners only": {UserChange{FullName: p("\u200d")}, ErrBadRequest},
			"long":         {UserChange{FullName: p(strings.Repeat("x", 257))}, ErrBadRequest},
		} {
			if err := r.nodes["b"].ChangeUser(ctx, alice.ID, c.c, Origin{}); !errors.Is(err, c.want) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if err := r.nodes["b"].ChangeUser(ctx, events.NewID(), UserChange{Email: p("")}, Origin{}); !errors.Is(err, ErrNotFound) {
			t.Errorf("nobody: %v", err)
		}
		synctest.Wait()
		if list, _ := public[*events.UserChanged](t, r.nodes["c"]); len(list) != 2 {
			t.Errorf("%d public records", len(list))
		}
		if u := must(r.nodes["a"].User(bob.ID))(t); u.Name != "bob" {
			t.Errorf("%+v", u)
		}
		r.same()
	})
}

// Two users who want one name at the same time: the log decides, and nobody loses the old one.
func TestRenameRace(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		bob := r.user("bob", "long-enough-1")
		name := "carol"
		results := make(chan error)
		for at, id := range map[string]events.ID{"a": r.alice(), "b": bob.ID} {
			go func() {
				results <- r.nodes[at].ChangeUser(context.Background(), id, UserChange{Name: &name}, Origin{})
			}()
		}
		one, two := <-results, <-results
		if (one == nil) == (two == nil) || !errors.Is(errors.Join(one, two), ErrExists) {
			t.Errorf("%v and %v", one, two)
		}
		page := must(r.nodes["c"].ListUsers("", 10))(t)
		if len(page.Users) != 2 || page.Users[1].Name != "carol" {
			t.Errorf("%+v", page)
		}
		r.same()
	})
}

func TestDeleteUser(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		id, tok := r.alice(), r.login("b")
		r.accepted(tok)
		if err := r.nodes["c"].DeleteUser(ctx, id, Origin{Actor: id.String()}); !errors.Is(err, ErrOwnAccount) {
			t.Errorf("by itself: %v", err)
		}
		r.links["b"].Cut()
		short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		defer cancel()
		var pending *PendingError
		if err := r.nodes["a"].DeleteUser(short, id, Origin{}); !errors.As(err, &pending) {
			t.Fatalf("got %v, want a PendingError", err)
		}
		// The second deletion finds nobody; but it says so only when that is true everywhere.
		if err := r.nodes["c"].DeleteUser(ctx, id, Origin{}); !errors.Is(err, ErrNotFound) {
			t.Errorf("again: %v", err)
		}
		r.refusedOrSilent(tok)
		r.links["b"].Heal()
		time.Sleep(5 * time.Second)
		r.refused(tok, ErrRevoked)
		if _, err := r.nodes["b"].Refresh(ctx, RefreshRequest{Token: tok.RefreshToken}); !errors.Is(err, ErrInvalidGrant) {
			t.Errorf("refresh: %v", err)
		}
		if _, err := r.nodes["a"].Login(ctx, LoginRequest{Name: "alice", Password: alicePassword}); !errors.Is(err, ErrInvalidGrant) {
			t.Errorf("login: %v", err)
		}
		if again := r.user("alice", "another-alice-1"); again.ID == id {
			t.Error("the id is used again")
		}
		r.same()
	})
}

// Nobody takes the administration out of the own hands; on the local socket, whose actor is "local", all is possible.
func TestOwnAccount(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		n, id := r.nodes["b"], r.alice()
		self := Origin{Actor: id.String()}
		for what, err := range map[string]error{
			"disable": n.DisableUser(ctx, id, self), "roles": n.SetRoles(ctx, id, nil, nil, self), "delete": n.DeleteUser(ctx, id, self),
		} {
			if !errors.Is(err, ErrOwnAccount) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if err := n.DisableUser(ctx, id, Origin{Actor: "local"}); err != nil {
			t.Errorf("locally: %v", err)
		}
	})
}

func TestUserPages(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		want := []string{"alice"}
		for i := range 25 {
			name := fmt.Sprintf("user-%02d", i)
			want = append(want, name)
			nu := NewUser{Name: name, Hash: "$2a$04$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"}
			must(r.nodes["a"].CreateUser(context.Background(), nu, Origin{}))(t)
		}
		for _, limit := range []int{1, 7, 13, 26, 100} {
			var got []string
			after := ""
			for {
				page := must(r.nodes["c"].ListUsers(after, limit))(t)
				if len(page.Users) > limit || len(page.Users) == 0 {
					t.Fatalf("a page of %d, limit %d", len(page.Users), limit)
				}
				for _, u := range page.Users {
					got = append(got, u.Name)
				}
				if after = page.Next; after == "" {
					break
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("limit %d: %v", limit, got)
			}
		}
	})
}

// One name has one form, and what cannot be seen makes no other.
func TestNames(t *testing.T) {
	for name, want := range map[string]string{
		" Ana\u0301 ": "an\u00e1", "AN\u00c1": "an\u00e1", "\u1100\u1161": "\uac00", "o'brien": "o'brien", "Ωmega": "ωmega",
		"\u212bngström": "\u00e5ngström",
	} {
		if got, err := NormalName(name); err != nil || got != want {
			t.Errorf("%q: %q, %v, want %q", name, got, err, want)
		}
	}
	for _, name := range []string{
		"", "  ", "a\u200bb", "a\u200db", "a\u00adb", "a\ufe0fb", "\u0301a", "a\u202eb", "a\u2800b", "a\u00a0b", "\U000e0041a", "a\ufffdb",
		"a\tb",
	} {
		if got, err := NormalName(name); !errors.Is(err, ErrBadRequest) {
			t.Errorf("%q: %q, %v", name, got, err)
		}
	}
}

// The form of a form is itself.
func FuzzNormalName(f *testing.F) {
	for _, s := range []string{"alice", " Ana\u0301 ", "\u0130", "ǅ", "\u1100\u1161", "ß", "ﬀ"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		one, err := NormalName(s)
		if err != nil {
			return
		}
		if two, err := NormalName(one); err != nil || one != two {
			t.Errorf("%q becomes %q becomes %q, %v", s, one, two, err)
		}
	})
}
