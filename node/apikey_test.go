package node

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/token"
)

// key makes an API key for alice, at replica a.
func (r *rig) key(edit func(*NewAPIKey)) (APIKey, string) {
	r.t.Helper()
	u, _ := r.nodes["a"].UserByName("alice")
	nk := NewAPIKey{User: u.ID, Name: "nightly export", Scope: []string{"notes"}}
	if edit != nil {
		edit(&nk)
	}
	k, text, err := r.nodes["a"].CreateAPIKey(context.Background(), nk, Origin{Actor: "test"})
	if err != nil {
		r.t.Fatal(err)
	}
	return k, text
}

func TestAPIKeyIsGoodEverywhereUntilItIsRevoked(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		u, _ := r.nodes["b"].UserByName("alice")
		k, text := r.key(nil)
		if k.Name != "nightly export" || k.Expires.Sub(k.Created) != DefaultKeyLife || !k.LastUsed.IsZero() {
			t.Errorf("made %+v", k)
		}
		for range 2 { // the second time out of the cache
			r.accepted(Tokens{AccessToken: text})
		}
		id := must(r.nodes["c"].Verify(context.Background(), text))(t)
		if id.Kind() != KindAPIKey || id.Subject() != u.ID.String() || id.Scope() != "notes" || !slices.Equal(id.Roles(), []string{"reader"}) ||
			!id.Session().IsZero() || id.TokenID() != k.ID.String() || !id.Expires().Equal(k.Expires) || id.HasScope("profile") {
			t.Errorf("speaks for %+v of kind %v", id.c, id.Kind())
		}
		if err := r.nodes["b"].RevokeAPIKey(context.Background(), u.ID, k.ID, Origin{Actor: "test"}); err != nil {
			t.Fatal(err)
		}
		r.refused(Tokens{AccessToken: text}, ErrInvalidKey)
		if list := r.nodes["a"].APIKeys(u.ID); len(list) != 0 {
			t.Errorf("still listed: %+v", list)
		}
		if err := r.nodes["c"].RevokeAPIKey(context.Background(), u.ID, k.ID, Origin{}); err != nil {
			t.Errorf("again: %v", err)
		}
		for what, err := range map[string]error{
			"another's": r.nodes["c"].RevokeAPIKey(context.Background(), events.NewID(), k.ID, Origin{}),
			"no key":    r.nodes["c"].RevokeAPIKey(context.Background(), u.ID, events.NewID(), Origin{}),
		} {
			if !errors.Is(err, ErrNotFound) {
				t.Errorf("revoke %s: %v", what, err)
			}
		}
		r.same()
	})
}

// A revocation waits for a replica that is cut off, and one that is repeated does not return before the first.
func TestRevokedAPIKeyWaitsForTheBarrier(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		u, _ := r.nodes["a"].UserByName("alice")
		k, text := r.key(nil)
		r.accepted(Tokens{AccessToken: text})
		r.links["c"].Cut()
		began := time.Now()
		var both sync.WaitGroup
		for _, at := range []string{"a", "b"} {
			both.Go(func() {
				if err := r.nodes[at].RevokeAPIKey(context.Background(), u.ID, k.ID, Origin{}); err != nil {
					t.Errorf("%s: %v", at, err)
				}
				if took := time.Since(began); took < time.Second || took > 4*time.Second {
					t.Errorf("%s took %v, want about the rest of c's lease", at, took)
				}
				r.refusedOrSilent(Tokens{AccessToken: text})
			})
			synctest.Wait()
		}
		both.Wait()
		ctx := context.Background()
		_, known := r.nodes["c"].Verify(ctx, text)
		_, unknown := r.nodes["c"].Verify(ctx, must2(newAPIKeyText(events.NewID())))
		_, nonsense := r.nodes["c"].Verify(ctx, "knl_")
		for what, err := range map[string]error{"known": known, "unknown": unknown, "nonsense": nonsense} {
			if !errors.Is(err, ErrNotCurrent) {
				t.Errorf("%s key at c: %v, want ErrNotCurrent", what, err)
			}
		}
	})
}

func must2(text string, _ apiKeyDigest) string { return text }

func TestAPIKeyExpires(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		_, text := r.key(func(nk *NewAPIKey) { nk.Life = time.Minute })
		r.accepted(Tokens{AccessToken: text})
		time.Sleep(time.Minute + time.Second)
		r.refused(Tokens{AccessToken: text}, ErrInvalidKey)
	})
}

// A key can do what its owner can now, and ends with the owner. What ends sessions leaves it alone.
func TestAPIKeyFollowsItsOwner(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx, o := context.Background(), Origin{Actor: "test"}
		u, _ := r.nodes["a"].UserByName("alice")
		_, text := r.key(nil)
		b := r.nodes["b"]
		scope := func(want string) {
			t.Helper()
			for name, n := range r.nodes {
				if id, err := n.Verify(ctx, text); err != nil || id.Scope() != want {
					t.Fatalf("%s: %v, scope %q", name, err, id.Scope())
				}
			}
		}
		done := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		scope("notes")
		done(b.RevokeUser(ctx, u.ID, o))
		scope("notes")
		done(b.SetPassword(ctx, u.ID, "another-password-1", o))
		scope("notes")
		done(b.SetRoles(ctx, u.ID, []string{"writer"}, []string{"profile"}, o))
		scope("")
		done(b.SetRoleScopes(ctx, "writer", []string{"notes", "drafts"}, o))
		scope("notes")
		if id := must(r.nodes["c"].Verify(ctx, text))(t); len(id.Roles()) != 0 {
			t.Errorf("a key with a part of a role's scopes has the roles %v", id.Roles())
		}
		done(b.DisableUser(ctx, u.ID, o))
		r.refused(Tokens{AccessToken: text}, ErrInvalidKey)
		done(b.EnableUser(ctx, u.ID, o))
		scope("notes")
		done(b.change(ctx, &events.UserRevoked{User: u.ID, Cause: "deleted"}, u.ID.String(), o))
		r.refused(Tokens{AccessToken: text}, ErrInvalidKey)
		r.same()
	})
}

// A use is recorded once an hour, whatever number of replicas sees the key.
func TestAPIKeyUseIsRecorded(t *testing.T) {
	bubbleWith(t, seldom, func(t *testing.T, r *rig) {
		u, _ := r.nodes["a"].UserByName("alice")
		_, text := r.key(nil)
		for range 5 * 60 {
			r.accepted(Tokens{AccessToken: text})
			time.Sleep(time.Minute)
		}
		used := r.nodes["b"].APIKeys(u.ID)[0].LastUsed
		if age := time.Since(used); age < 0 || age > 2*time.Hour {
			t.Errorf("last used %v ago", age)
		}
		all, _ := r.readLog("a", 0, 0)
		took, void := 0, 0
		for _, e := range all {
			switch {
			case e.Type != "knell.account.api_key_used":
			case e.Void == "":
				took++
			default:
				void++
			}
		}
		if took < 4 || took > 5 || void > 2*took {
			t.Errorf("%d uses recorded in 5 hours, %d more void", took, void)
		}
		r.same()
	})
}

func TestBadAPIKeysAreRefused(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		u, _ := r.nodes["a"].UserByName("alice")
		for what, c := range map[string]struct {
			edit func(*NewAPIKey)
			want error
		}{
			"nobody's":         {func(nk *NewAPIKey) { nk.User = events.NewID() }, ErrNotFound},
			"a scope too many": {func(nk *NewAPIKey) { nk.Scope = []string{"notes", "admin"} }, ErrInvalidScope},
			"malformed scope":  {func(nk *NewAPIKey) { nk.Scope = []string{"a b"} }, ErrBadRequest},
			"scope twice":      {func(nk *NewAPIKey) { nk.Scope = []string{"notes", "notes"} }, ErrBadRequest},
			"long name":        {func(nk *NewAPIKey) { nk.Name = strings.Repeat("x", 257) }, ErrBadRequest},
			"control in name":  {func(nk *NewAPIKey) { nk.Name = "a\nb" }, ErrBadRequest},
			"no life":          {func(nk *NewAPIKey) { nk.Life = time.Millisecond }, ErrBadRequest},
			"long life":        {func(nk *NewAPIKey) { nk.Life = MaxKeyLife + time.Second }, ErrBadRequest},
			"negative life":    {func(nk *NewAPIKey) { nk.Life = -time.Hour }, ErrBadRequest},
		} {
			nk := NewAPIKey{User: u.ID, Scope: []string{"notes"}}
			c.edit(&nk)
			if _, text, err := r.nodes["b"].CreateAPIKey(context.Background(), nk, Origin{}); !errors.Is(err, c.want) || text != "" {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
}

// A user has so many keys and no more, also when they are made at the same time at all replicas.
func TestAPIKeysAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		u, _ := r.nodes["a"].UserByName("alice")
		for range maxKeys - 5 {
			r.key(nil)
		}
		var made, refused atomic.Int32
		var all sync.WaitGroup
		for _, n := range r.nodes {
			for range 4 {
				all.Go(func() {
					switch _, _, err := n.CreateAPIKey(context.Background(), NewAPIKey{User: u.ID}, Origin{}); {
					case err == nil:
						made.Add(1)
					case errors.Is(err, ErrBadRequest):
						refused.Add(1)
					default:
						t.Error(err)
					}
				})
			}
		}
		all.Wait()
		if made.Load() != 5 || refused.Load() != 7 || len(r.nodes["b"].APIKeys(u.ID)) != maxKeys {
			t.Errorf("%d made, %d refused, %d in all", made.Load(), refused.Load(), len(r.nodes["b"].APIKeys(u.ID)))
		}
		r.same()
	})
}

// Neither a key nor its digest is in anything that consumers or people read.
func TestAPIKeySecretsStayInside(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		u, _ := r.nodes["a"].UserByName("alice")
		k, first := r.key(nil)
		_, second, err := r.nodes["a"].RotateAPIKey(context.Background(), u.ID, k.ID, time.Hour, Origin{})
		if err != nil {
			t.Fatal(err)
		}
		r.accepted(Tokens{AccessToken: second})
		synctest.Wait()
		all, end := r.readLog("b", 0, 0)
		if end.Withheld != 4 { // the log's key, alice, the key and its rotation
			t.Errorf("%d events withheld", end.Withheld)
		}
		seen := map[string]int{}
		for _, e := range all {
			seen[e.Type]++
			for _, text := range []string{first, second} {
				_, digest, _ := parseAPIKey(text)
				b64, _ := json.Marshal(digest[:])
				if strings.Contains(string(e.Event), text[30:40]) || strings.Contains(string(e.Event), strings.Trim(string(b64), `"`)) {
					t.Errorf("%s holds a secret: %s", e.Type, e.Event)
				}
			}
		}
		if seen["knell.account.api_key_created"] != 1 || seen["knell.account.api_key_rotated"] != 1 {
			t.Errorf("public records: %v", seen)
		}
	})
}

// A verification that was slow writes what it saw before a change over what another one saw after it. Neither its flag nor
// its claims alone may count.
func TestAPIKeyCacheEntryOfTwoHalves(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		n := r.nodes["b"]
		u, _ := n.UserByName("alice")
		_, text := r.key(nil)
		old := must(n.Verify(ctx, text))(t).c
		if err := n.SetRoles(ctx, u.ID, nil, []string{"profile"}, Origin{}); err != nil {
			t.Fatal(err)
		}
		now := must(n.Verify(ctx, text))(t).c
		n.hot.cache.Insert(text, token.Entry{Expires: 1 << 31, Session: uint32(now.Start), Claims: old})
		if id := must(n.Verify(ctx, text))(t); id.Scope() != "" {
			t.Errorf("the old claims count under the new flag: %q", id.Scope())
		}
		n.hot.cache.Insert(text, token.Entry{Expires: 1 << 31, Session: uint32(old.Start), Claims: old})
		if id := must(n.Verify(ctx, text))(t); id.Scope() != "" {
			t.Errorf("the old flag counts: %q", id.Scope())
		}
	})
}

func TestKnownAPIKeyAllocatesNothing(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		_, text := r.key(nil)
		n := r.nodes["a"]
		must(n.Verify(context.Background(), text))(t)
		if allocs := testing.AllocsPerRun(100, func() { _, _ = n.Verify(context.Background(), text) }); allocs != 0 {
			t.Errorf("%v allocations", allocs)
		}
	})
}
