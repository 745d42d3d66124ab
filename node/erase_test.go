package node

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/revoke"
)

// search walks values by reflection, unexported members and all, and finds what it looks for.
type search struct {
	text  string     // part of a text; "": none
	ids   [][16]byte // ids and addresses
	words []uint64   // numbers
	found []string   // where
	seen  map[any]bool
}

type visit struct {
	at  uintptr
	typ reflect.Type
}

func (s *search) walk(path string, v reflect.Value) {
	if s.seen == nil {
		s.seen = map[any]bool{}
	}
	switch v.Kind() {
	case reflect.String:
		s.note(s.text != "" && strings.Contains(strings.ToLower(v.String()), s.text), path)
	case reflect.Uint64:
		s.note(slices.Contains(s.words, v.Uint()), path)
	case reflect.Interface:
		if !v.IsNil() {
			s.walk(path, v.Elem())
		}
	case reflect.Pointer:
		// The cache of revocations is asked by itself: what it holds is ids for a while.
		ours := v.Type() == reflect.TypeFor[*revoke.Set]() || v.Type() == reflect.TypeFor[*revoke.Words]()
		if key := (visit{v.Pointer(), v.Type()}); !v.IsNil() && !s.seen[key] && !ours {
			s.seen[key] = true
			s.walk(path, v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			s.walk(path+"."+v.Type().Field(i).Name, v.Field(i))
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			s.walk(path+"[key]", it.Key())
			s.walk(path+"[]", it.Value())
		}
	case reflect.Slice, reflect.Array:
		s.list(path, v)
	}
}

func (s *search) list(path string, v reflect.Value) {
	if v.Type().Elem().Kind() != reflect.Uint8 {
		for i := range v.Len() {
			s.walk(path+"[]", v.Index(i))
		}
		return
	}
	b := make([]byte, v.Len())
	for i := range b {
		b[i] = byte(v.Index(i).Uint())
	}
	s.note(s.text != "" && bytes.Contains(bytes.ToLower(b), []byte(s.text)), path)
	s.note(slices.ContainsFunc(s.ids, func(id [16]byte) bool { return bytes.Equal(id[:], b) }), path)
}

func (s *search) note(is bool, path string) {
	if is {
		s.found = append(s.found, path)
	}
}

// remains looks for something in all that a replica remembers: the state, and what lies beside it.
func (r *rig) remains(at string, s search) []string {
	n := r.nodes[at]
	n.mu.RLock()
	defer n.mu.RUnlock()
	s.walk("state", reflect.ValueOf(n.state))
	n.hot.basic.mu.Lock()
	s.walk("basic", reflect.ValueOf(n.hot.basic.entries))
	n.hot.basic.mu.Unlock()
	s.walk("own guesses", reflect.ValueOf(n.room.own.table))
	n.hot.feed.mu.RLock()
	defer n.hot.feed.mu.RUnlock()
	for p := n.hot.feed.first; p < n.hot.feed.next && n.hot.feed.followers > 0; p++ {
		if v := n.hot.feed.ring[p%n.hot.feed.limit].view.Load(); v != nil {
			s.walk("ring", reflect.ValueOf(v.head))
		}
	}
	return s.found
}

// person is a user of whom as much as possible is remembered.
type person struct {
	id       events.ID
	sessions []events.ID
	code     CodeRedemption // not redeemed
}

const personMark = "pii-5e81"

var personHome = Origin{Address: "198.51.100.77", UserAgent: personMark + "-browser"}

// meet makes a person and lets it do what a user can do.
func (r *rig) meet(req CodeRequest) (p person) {
	r.t.Helper()
	ctx := context.Background()
	name, pw := personMark+"-dora", "a-password-of-hers"
	u := must(r.nodes["a"].CreateUser(ctx, NewUser{
		Name: name + "-first", Password: pw, Email: personMark + "@example.com", FullName: "Dora " + personMark, Roles: []string{"reader"},
		Scope: []string{"profile", "notes"},
	}, Origin{Actor: "test"}))(r.t)
	p.id = u.ID
	must0(r.t, r.nodes["b"].ChangeUser(ctx, p.id, UserChange{Name: &name}, Origin{Actor: "test"}))
	login := LoginRequest{Name: name, Password: pw, Origin: personHome}
	for i, at := range []string{"a", "b", "c"} {
		login.Remember = i == 0
		tok := must(r.nodes[at].Login(ctx, login))(r.t)
		p.sessions = append(p.sessions, tok.Session)
		must(r.nodes[at].Refresh(ctx, RefreshRequest{Token: tok.RefreshToken, Origin: personHome}))(r.t)
		must(r.nodes[at].VerifyBasic(ctx, name, pw, personHome))(r.t)
		_, key, err := r.nodes[at].CreateAPIKey(ctx, NewAPIKey{User: p.id, Name: personMark + " laptop", Scope: []string{"notes"}}, personHome)
		if err != nil {
			r.t.Fatal(err)
		}
		must(r.nodes[at].Verify(ctx, key))(r.t)
	}
	redeemed := CodeRedemption{Client: req.Client, Redirect: req.Redirect, Verifier: testVerifier, Origin: personHome}
	p.code = redeemed
	redeemed.Code = must(r.nodes["a"].IssueCode(ctx, req, login))(r.t)
	p.sessions = append(p.sessions, must(r.nodes["c"].RedeemCode(ctx, redeemed))(r.t).Session)
	p.code.Code = must(r.nodes["b"].IssueCode(ctx, req, login))(r.t)
	for range 3 {
		_ = r.try("c", name, "not-her-password", "203.0.113.5")
	}
	return p
}

// After a user is deleted nothing is left that says who it was: not in the state, from which snapshots are made, nor in what a
// replica remembers beside it. Ids of its sessions, which say nothing, are kept for as long as somebody may have a token of them.
func TestDeletedUserLeavesNothing(t *testing.T) {
	edit := func(c *Config) {
		seldom(c)
		c.Basic, c.RefreshIdle, c.SessionTTL = true, 10*time.Minute, 15*time.Minute
		c.Remembered = Remembered{10 * time.Minute, 15 * time.Minute}
	}
	bubbleWith(t, edit, func(t *testing.T, r *rig) {
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error)
		go func() {
			ended <- r.nodes["c"].FollowEvents(ctx, EventQuery{}, time.Minute, func(EventBatch) error { return nil })
		}()
		p := r.meet(r.app())
		time.Sleep(time.Second)
		synctest.Wait()
		address := netip.MustParseAddr(personHome.Address).As16()
		tells := map[string]search{
			"a text": {text: personMark}, "the address": {ids: [][16]byte{address}}, "the network": {words: []uint64{networkOf(personHome.Address)}},
			"the id": {ids: [][16]byte{p.id}}, "her sessions": {ids: toArrays(p.sessions)},
		}
		for what, s := range tells {
			for at := range r.nodes {
				if len(r.remains(at, s)) == 0 {
					t.Errorf("%s is not found at %s while she is there: the search is blind", what, at)
				}
			}
		}
		must0(t, r.nodes["b"].DeleteUser(ctx, p.id, Origin{Actor: "test"}))
		synctest.Wait()
		for what, s := range tells {
			for at := range r.nodes {
				if found := r.remains(at, s); len(found) > 0 && what != "her sessions" {
					t.Errorf("%s is left at %s: %v", what, at, found)
				}
			}
		}
		if _, err := r.nodes["a"].RedeemCode(ctx, p.code); !errors.Is(err, ErrInvalidGrant) {
			t.Errorf("a code of hers: %v", err)
		}
		time.Sleep(20 * time.Minute)
		synctest.Wait()
		for at, n := range r.nodes {
			for _, id := range p.sessions {
				if _, ok := n.state.revoked.Lookup(id); ok {
					t.Errorf("%s remembers the end of %v", at, id)
				}
			}
			if found := r.remains(at, tells["her sessions"]); len(found) > 0 {
				t.Errorf("her sessions are left at %s: %v", at, found)
			}
		}
		r.same()
		cancel()
		<-ended
	})
}

func toArrays(ids []events.ID) (list [][16]byte) {
	for _, id := range ids {
		list = append(list, id)
	}
	return list
}

// A name is free again when its user has been deleted. Old events do not get the name of who has it next.
func TestNameOfDeletedUser(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		first := r.alice()
		r.login("a")
		read := func(user events.ID) (names []string, count int) {
			var text []byte
			_, err := r.nodes["c"].ReadEvents(ctx, EventQuery{User: user}, 1000, func(b EventBatch) error {
				for _, e := range b.Events {
					text = append(e.AppendJSON(text), '\n')
				}
				return nil
			})
			must0(t, err)
			for line := range strings.Lines(string(text)) {
				count++
				if strings.Contains(line, "alice") {
					names = append(names, line)
				}
			}
			return names, count
		}
		synctest.Wait()
		if names, _ := read(first); len(names) < 2 {
			t.Errorf("events with her name: %v", names)
		}
		must0(t, r.nodes["b"].DeleteUser(ctx, first, Origin{Actor: "test"}))
		second := r.user("alice", alicePassword)
		r.login("b")
		synctest.Wait()
		if names, n := read(first); len(names) > 0 || n < 3 {
			t.Errorf("of %d events of the first one, some have a name: %v", n, names)
		}
		if names, n := read(second.ID); len(names) != n || n < 2 || second.ID == first {
			t.Errorf("%d of %d events of the second one have the name", len(names), n)
		}
		if tok, err := r.nodes["a"].Login(ctx, LoginRequest{Name: "alice", Password: alicePassword}); err != nil {
			t.Error(err)
		} else if id := must(r.nodes["b"].Verify(ctx, tok.AccessToken))(t); id.Subject() != second.ID.String() {
			t.Errorf("logged in as %s", id.Subject())
		}
	})
}
