package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
)

// What a role gives is granted, and changes for everybody at once.
func TestRoleScopes(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx, o := context.Background(), Origin{Actor: "test"}
		set := func(at, role string, scope ...string) {
			t.Helper()
			if err := r.nodes[at].SetRoleScopes(ctx, role, scope, o); err != nil {
				t.Fatal(err)
			}
		}
		before := r.login("b")
		set("a", "reader", "reports", "notes")
		r.refused(before, ErrStale)
		tok := r.login("c")
		id := must(r.nodes["a"].Verify(ctx, tok.AccessToken))(t)
		if id.Scope() != "profile notes reports" || !slices.Equal(id.Roles(), []string{"reader"}) {
			t.Errorf("scope %q, roles %v", id.Scope(), id.Roles())
		}
		set("b", "reader", "reports", "notes") // nothing changes
		r.accepted(tok)
		set("b", "other", "admin")
		r.accepted(tok)

		// Whoever asks for less does not have the role either.
		less := must(r.nodes["b"].Login(ctx, LoginRequest{Name: "alice", Password: alicePassword, Scope: []string{"notes"}}))(t)
		if id := must(r.nodes["a"].Verify(ctx, less.AccessToken))(t); id.Scope() != "notes" || len(id.Roles()) != 0 {
			t.Errorf("scope %q, roles %v", id.Scope(), id.Roles())
		}
		// What is taken away is gone from the session, too.
		set("c", "reader")
		r.refused(tok, ErrStale)
		fresh := must(r.nodes["c"].Refresh(ctx, RefreshRequest{Token: tok.RefreshToken}))(t)
		if id := must(r.nodes["a"].Verify(ctx, fresh.AccessToken))(t); id.Scope() != "profile notes" {
			t.Errorf("scope %q", id.Scope())
		}
		if roles := r.nodes["a"].Roles(); len(roles) != 2 || roles[0].Name != "other" || len(roles[1].Scope) != 0 {
			t.Errorf("roles %v", roles)
		}
		for _, err := range []error{
			r.nodes["a"].SetRoleScopes(ctx, "two words", nil, o), r.nodes["a"].SetRoleScopes(ctx, "x", []string{"a", "a"}, o),
			r.nodes["a"].SetRoleScopes(ctx, "x", manyWords(20), o),
		} {
			if !errors.Is(err, ErrBadRequest) {
				t.Error(err)
			}
		}
		r.same()
	})
}

// A user whose roles give more than a token can hold has to say what is needed.
func TestRolesThatGiveTooMuch(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		u, _ := r.nodes["a"].UserByName("alice")
		for _, err := range []error{
			r.nodes["a"].SetRoleScopes(ctx, "reader", manyWords(32)[:16], Origin{}), r.nodes["a"].SetRoleScopes(ctx, "writer", manyWords(32)[16:], Origin{}),
			r.nodes["a"].SetRoles(ctx, u.ID, []string{"reader", "writer"}, nil, Origin{}),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		for _, scope := range [][]string{nil, manyWords(32)} {
			if _, err := r.nodes["b"].Login(ctx, LoginRequest{Name: "alice", Password: alicePassword, Scope: scope}); !errors.Is(err, ErrInvalidScope) {
				t.Errorf("all of it: %v", err)
			}
		}
		r.accepted(must(r.nodes["b"].Login(ctx, LoginRequest{Name: "alice", Password: alicePassword, Scope: manyWords(32)[3:5]}))(t))
	})
}

// Replicas that change one role at once change it one after the other.
func TestRoleScopesRace(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var all sync.WaitGroup
		for name, n := range r.nodes {
			all.Go(func() {
				if err := n.SetRoleScopes(context.Background(), "reader", []string{name}, Origin{}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		r.same()
		first := r.nodes["a"].Roles()
		for _, n := range r.nodes {
			if got := n.Roles(); len(got) != 1 || got[0].Scope[0] != first[0].Scope[0] {
				t.Errorf("%v, another has %v", got, first)
			}
		}
	})
}

// A credential that was limited does not gain a role because it gives nothing any more. What nothing was said of is a name.
func TestRoleThatGivesNothing(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx, o := context.Background(), Origin{Actor: "test"}
		_, key := r.key(nil)
		whole := LoginRequest{Name: "alice", Password: alicePassword}
		less := whole
		less.Scope = []string{"notes"}
		carried := func(what string, limited, all int) {
			t.Helper()
			narrow := must(r.nodes["b"].Login(ctx, less))(t)
			for _, c := range []struct {
				credential string
				want       int
			}{{key, limited}, {narrow.AccessToken, limited}, {must(r.nodes["c"].Login(ctx, whole))(t).AccessToken, all}} {
				if id := must(r.nodes["a"].Verify(ctx, c.credential))(t); len(id.Roles()) != c.want {
					t.Errorf("%s: a credential for %q has the roles %v", what, id.Scope(), id.Roles())
				}
			}
		}
		carried("never set", 1, 1)
		for i, scope := range [][]string{{}, {"operate"}, {}} {
			if err := r.nodes["a"].SetRoleScopes(ctx, "reader", scope, o); err != nil {
				t.Fatal(err)
			}
			carried(fmt.Sprint(i, scope), 0, 1)
		}
		r.same()
	})
}

// An administrator does not take the administration from the own account by way of a role; the operator of a replica may.
func TestRoleOfTheOwnAccount(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		n := r.nodes["a"]
		u, _ := n.UserByName("alice")
		self, local := Origin{Actor: u.ID.String()}, Origin{Actor: "local"}
		for _, c := range []struct {
			roles, scope []string
			role         string
			gives        []string
			o            Origin
			want         error
		}{
			{[]string{"chief"}, nil, "chief", []string{"admin"}, local, nil},
			{[]string{"chief"}, nil, "chief", nil, self, ErrOwnAccount},
			{[]string{"chief"}, nil, "chief", []string{"audit"}, self, ErrOwnAccount},
			{[]string{"chief"}, nil, "chief", []string{"audit", "admin"}, self, nil},
			{[]string{"chief"}, nil, "other", []string{"admin"}, self, nil},
			{[]string{"chief", "other"}, nil, "chief", []string{"audit"}, self, nil}, // the other role gives it as well
			{[]string{"chief", "other"}, nil, "other", []string{"audit"}, self, ErrOwnAccount},
			{[]string{"other"}, []string{"admin"}, "other", nil, self, nil}, // an administrator by herself
			{[]string{"chief"}, nil, "chief", nil, local, nil},
			{[]string{"chief"}, nil, "chief", []string{"notes"}, self, nil}, // she was none
		} {
			if err := n.SetRoles(ctx, u.ID, c.roles, c.scope, local); err != nil {
				t.Fatal(err)
			}
			if err := n.SetRoleScopes(ctx, c.role, c.gives, c.o); !errors.Is(err, c.want) {
				t.Errorf("%v with %v: %s shall give %v: %v, want %v", c.roles, c.scope, c.role, c.gives, err, c.want)
			}
		}
		r.same()
	})
}

// TestFirstAdministrator: of several who make the first administrator at once, at different replicas, one does: the log decides. Who wants
// one more says so; one who is disabled does not count.
func TestFirstAdministrator(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		create := func(at, name string, first bool) error {
			_, err := r.nodes[at].CreateUser(ctx, NewUser{Name: name, Password: alicePassword, Roles: []string{"operator"}, Scope: []string{AdminScope}, First: first}, Origin{Actor: "local"})
			return err
		}
		for _, link := range r.links {
			link.Cut() // so that all have looked before one of them hears of another
		}
		results := make(chan error, 3)
		for _, at := range []string{"a", "b", "c"} {
			go func() { results <- create(at, "root-"+at, true) }()
		}
		synctest.Wait()
		for _, link := range r.links {
			link.Heal()
		}
		made := 0
		for range 3 {
			switch err := <-results; {
			case err == nil:
				made++
			case !errors.Is(err, ErrExists):
				t.Error(err)
			}
		}
		if made != 1 {
			t.Errorf("%d first administrators", made)
		}
		if err := create("b", "another", false); err != nil {
			t.Error(err)
		}
		if err := create("b", "third", true); !errors.Is(err, ErrExists) {
			t.Errorf("one more first one: %v", err)
		}
		for _, name := range []string{"root-a", "root-b", "root-c", "another"} {
			if u, err := r.nodes["a"].UserNamed(name); err == nil {
				if err := r.nodes["a"].DisableUser(ctx, u.ID, Origin{Actor: "local"}); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := create("c", "again", true); err != nil {
			t.Errorf("when nobody is left: %v", err)
		}
		r.same()
	})
}
