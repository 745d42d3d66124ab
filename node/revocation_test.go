package node

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/knell-auth/knell/events"
)

// Each kind of revocation is one event with its reason, and done when it returns; the dry run before it says what it would
// end, and appends nothing.
func TestRevocations(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		a, b := r.nodes["a"], r.nodes["b"]
		if err := a.CreateClient(ctx, NewClient{ID: "app", Secret: "app-secret-0123", Scope: []string{"profile", "jobs"}}, Origin{}); err != nil {
			t.Fatal(err)
		}
		r.user("bob", "long-enough-1")
		login := func(name, pw, client string) Tokens {
			return must(b.Login(ctx, LoginRequest{Name: name, Password: pw, Client: client}))(t)
		}
		one, two := r.login("a"), r.login("a")
		app, own := login("alice", alicePassword, "app"), must(a.ClientToken(ctx, "app", 0, nil, Origin{}))(t)
		other := login("bob", "long-enough-1", "")
		synctest.Wait()
		rest := []Tokens{one, two, app, own, other}
		for _, step := range []struct {
			r    Revocation
			ends []Tokens
		}{
			{Revocation{Session: one.Session}, []Tokens{one}},
			{Revocation{Client: "app"}, []Tokens{app, own}},
			{Revocation{User: r.alice()}, []Tokens{two}},
			{Revocation{User: r.alice()}, nil},
			{Revocation{Session: one.Session}, nil},
			{Revocation{Everything: true}, []Tokens{other}},
		} {
			before := len(r.log.Messages())
			if count, err := b.WouldRevoke(step.r); err != nil || count != len(step.ends) {
				t.Errorf("%+v would end %d, %v; want %d", step.r, count, err, len(step.ends))
			}
			if len(r.log.Messages()) != before {
				t.Errorf("%+v: the dry run wrote into the log", step.r)
			}
			for _, tok := range rest {
				r.accepted(tok)
			}
			if err := b.Revoke(ctx, step.r, Origin{Actor: "root", Reason: "test"}); err != nil {
				t.Fatalf("%+v: %v", step.r, err)
			}
			for _, tok := range step.ends {
				r.refused(tok, ErrRevoked)
			}
			rest = without(rest, step.ends)
		}
		r.accepted(r.login("c")) // accounts and clients are as they were
		must(a.ClientToken(ctx, "app", 0, nil, Origin{}))(t)
		must(a.Login(ctx, LoginRequest{Name: "bob", Password: "long-enough-1"}))(t)

		synctest.Wait()
		sessions, _ := public[*events.SessionRevoked](t, a)
		users, _ := public[*events.UserRevoked](t, a)
		clients, _ := public[*events.ClientRevoked](t, a)
		all, _ := public[*events.AllRevoked](t, a)
		for _, list := range [][]events.Event{sessions, users, clients, all} {
			for _, e := range list {
				if e.Reason != "test" || e.Actor != "root" {
					t.Errorf("%s by %q because of %q", e.Data.Type(), e.Actor, e.Reason)
				}
			}
		}
		if len(all) != 1 || len(clients) != 1 || len(users) != 2 {
			t.Errorf("%d, %d and %d events", len(all), len(clients), len(users))
		}
		r.same()
	})
}

func TestRevocationOfNothing(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		b := r.nodes["b"]
		for what, err := range map[string]error{
			"nobody":  b.Revoke(ctx, Revocation{User: events.NewID()}, Origin{}),
			"session": b.Revoke(ctx, Revocation{Session: events.NewID()}, Origin{}),
			"client":  b.Revoke(ctx, Revocation{Client: "nobody"}, Origin{}),
			"key":     b.Revoke(ctx, Revocation{SigningKey: "nobody"}, Origin{}),
		} {
			if !errors.Is(err, ErrNotFound) {
				t.Errorf("%s: %v", what, err)
			}
		}
		for _, bad := range []Revocation{{}, {User: r.alice(), Everything: true}} {
			if err := b.Revoke(ctx, bad, Origin{}); !errors.Is(err, ErrBadRequest) {
				t.Errorf("%+v: %v", bad, err)
			}
		}
	})
}

// without returns those of list that are not in gone.
func without(list, gone []Tokens) (rest []Tokens) {
	for _, tok := range list {
		found := false
		for _, g := range gone {
			found = found || g.Session == tok.Session
		}
		if !found {
			rest = append(rest, tok)
		}
	}
	return rest
}
