package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
)

// wrong is a name and a secret that does not open it, and why.
type wrong struct{ what, name, secret string }

// wrongNames and wrongClients are names and secrets that open nothing. A public client is not among them: that it needs no secret is
// for everybody to know.
var wrongNames = []wrong{
	{"wrong", "alice", "wrong-password"},
	{"unknown", "nobody", "wrong-password"},
	{"unknown, with a password of somebody", "nobody", alicePassword},
	{"disabled", "mallory", "wrong-password"},
	{"disabled, right", "mallory", "disabled-pw-1"},
	{"long", "alice", strings.Repeat("x", 2000)},
	{"NUL behind the right one", "alice", alicePassword + "\x00"},
	{"the right one in another case", "alice", strings.ToUpper(alicePassword)},
	{"a name that cannot be", "\x00", "wrong-password"},
	{"a name of 10 kB", strings.Repeat("a", 10_000), "wrong-password"},
	{"a name that is not UTF-8", "al\xffice", "wrong-password"},
	{"a subject's wildcard for a name", "knell.event.>", "wrong-password"},
}

var wrongClients = []wrong{
	{"wrong", "svc", "wrong-secret"},
	{"unknown", "nobody", "wrong-secret"},
	{"disabled", "gone", "wrong-secret"},
	{"disabled, right", "gone", "gone-secret-0123456789"},
	{"long", "svc", strings.Repeat("x", 2000)},
	{"an id of 10 kB", strings.Repeat("a", 10_000), "wrong-secret"},
}

// TestEqualWork: whatever is wrong with a name and a secret, the same error comes of the same work: as many slow hashes, and as many
// messages in the log. Time itself cannot be tested, and is made of these.
func TestEqualWork(t *testing.T) {
	bubbleWith(t, func(c *Config) { c.Basic = true }, func(t *testing.T, r *rig) {
		ctx := context.Background()
		a := r.nodes["a"]
		if err := a.DisableUser(ctx, r.user("mallory", "disabled-pw-1").ID, Origin{}); err != nil {
			t.Fatal(err)
		}
		for _, nc := range []NewClient{
			{ID: "svc", Secret: "svc-secret-0123456789"}, {ID: "gone", Secret: "gone-secret-0123456789"},
		} {
			if err := a.CreateClient(ctx, nc, Origin{}); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.DisableClient(ctx, "gone", Origin{}); err != nil {
			t.Fatal(err)
		}
		app := r.app()
		next := 0
		work := func(try func(name, secret string, o Origin) error, name, secret string) string {
			next++ // an address of its own: nothing is counted twice
			synctest.Wait()
			hashes, messages := r.checks(), must(r.links["a"].Stat(ctx))(t).Last
			err := try(name, secret, from(fmt.Sprintf("2001:db8:%x::1", next)))
			synctest.Wait()
			return fmt.Sprintf("%v: %d hashes, %d messages", err, r.checks()-hashes, must(r.links["a"].Stat(ctx))(t).Last-messages)
		}
		for _, way := range []struct {
			name  string
			try   func(name, secret string, o Origin) error
			cases []wrong
			err   error
		}{
			{"a log-in", func(name, pw string, o Origin) error {
				_, err := a.Login(ctx, LoginRequest{Name: name, Password: pw, Origin: o})
				return err
			}, wrongNames, ErrInvalidGrant},
			{"a log-in for a code", func(name, pw string, o Origin) error {
				_, err := a.IssueCode(ctx, app, LoginRequest{Name: name, Password: pw, Origin: o})
				return err
			}, wrongNames, ErrInvalidGrant},
			{"Basic", func(name, pw string, o Origin) error {
				_, err := a.VerifyBasic(ctx, name, pw, o)
				return err
			}, wrongNames, ErrInvalidBasic},
			{"a client's secret", func(id, secret string, o Origin) error {
				return authenticate(ctx, a, id, secret, o)
			}, wrongClients, ErrInvalidClient},
		} {
			want := ""
			for _, c := range way.cases {
				got := work(way.try, c.name, c.secret)
				if want == "" {
					want = got
					if !strings.HasPrefix(got, way.err.Error()+": 1 hashes") {
						t.Errorf("%s: %s", way.name, got)
					}
				}
				if got != want {
					t.Errorf("%s, %s: %s; when it is wrong: %s", way.name, c.what, got, want)
				}
			}
		}
	})
}

// TestNamesThatLookAlike: who has a name that looks like another's, to people or to a careless library, is somebody else: neither the
// password nor what was counted against one is the other's.
func TestNamesThatLookAlike(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		alice, _ := r.nodes["a"].UserByName("alice")
		for name, reason := range map[string]string{
			"\u0430lice":                     "a Cyrillic a",
			"alic\u0435":                     "a Cyrillic e",
			"\uff41\uff4c\uff49\uff43\uff45": "full width",
			"al\u0131ce":                     "an i without a dot",
			"a\u0131\u0307lice":              "an i whose dot stands alone",
			"al\u00efce":                     "an i with two dots",
			"\u24d0lice":                     "an a in a circle",
			"\U0001d41alice":                 "a mathematical a",
			"alice'":                         "a quotation mark",
			"alice/../root":                  "a path",
			"alice@example.com":              "an address",
			"alice%00":                       "an escape",
			"alice*":                         "a wildcard",
			"alice.>":                        "a subject",
			"<b>alice</b>":                   "markup",
		} {
			u, err := r.nodes["b"].CreateUser(ctx, NewUser{Name: name, Password: "another-password-1", Scope: []string{"profile"}}, Origin{})
			if err != nil {
				t.Errorf("%s: %v", reason, err)
				continue
			}
			if u.ID == alice.ID {
				t.Errorf("%s: alice herself", reason)
			}
			if err := r.try("c", name, alicePassword, "192.0.2.1"); !errors.Is(err, ErrInvalidGrant) {
				t.Errorf("%s, with the password of alice: %v", reason, err)
			}
			tok, err := r.nodes["a"].Login(ctx, LoginRequest{Name: name, Password: "another-password-1", Origin: from("192.0.2.1")})
			if err != nil {
				t.Errorf("%s: %v", reason, err)
				continue
			}
			if id := must(r.nodes["c"].Verify(ctx, tok.AccessToken))(t); id.Subject() != u.ID.String() {
				t.Errorf("%s: logged in as %s", reason, id.Subject())
			}
		}
		// The same name in another form is the same user, and not free.
		for _, name := range []string{"ALICE", " alice\t", "\u2003alice", "Alice"} {
			if _, err := r.nodes["b"].CreateUser(ctx, NewUser{Name: name, Password: "another-password-1"}, Origin{}); !errors.Is(err, ErrExists) {
				t.Errorf("%q: %v", name, err)
			}
		}
		if err := r.try("a", "alice", alicePassword, "192.0.2.1"); err != nil {
			t.Errorf("alice herself, afterwards: %v", err)
		}
		r.same()
	})
}
