package node

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knell-auth/knell/events"
)

// What events tell of an address and of a user agent, in each form.
func TestRecordingForms(t *testing.T) {
	key := []byte("a key of a log, 32 bytes long...")
	for _, c := range []struct{ form, address, want string }{
		{RecordPlain, "192.0.2.77", "192.0.2.77"},
		{RecordPlain, "no address", "no address"},
		{RecordTruncated, "192.0.2.77", "192.0.2.0/24"},
		{RecordTruncated, "::ffff:192.0.2.77", "192.0.2.0/24"},
		{RecordTruncated, "2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"},
		{RecordTruncated, "fe80::1%eth0", "fe80::/48"},
		{RecordTruncated, "no address", ""},
		{RecordTruncated, "", ""},
		{RecordHashed, "192.0.2.77", hashText(key, "address", "192.0.2.77")},
		{RecordHashed, "::ffff:192.0.2.77", hashText(key, "address", "192.0.2.77")},
		{RecordHashed, "", ""},
		{RecordNone, "192.0.2.77", ""},
	} {
		if got := (Recording{Address: c.form}).address(c.address, key); got != c.want {
			t.Errorf("%s %s: %q, want %q", c.form, c.address, got, c.want)
		}
	}
	for form, want := range map[string]string{RecordPlain: "x/1", RecordHashed: hashText(key, "agent", "x/1"), RecordNone: ""} {
		if got := (Recording{Agent: form}).agent("x/1", key); got != want {
			t.Errorf("%s: %q, want %q", form, got, want)
		}
	}
	hash := hashText(key, "address", "192.0.2.77")
	for _, other := range []string{
		hashText(key, "address", "192.0.2.78"), hashText(key, "agent", "192.0.2.77"), hashText([]byte("another"), "address", "192.0.2.77"),
	} {
		if len(hash) != len("hash:")+16 || hash == other {
			t.Errorf("%q and %q", hash, other)
		}
	}
	for _, bad := range []Recording{{"masked", "plain"}, {"plain", "truncated"}, {"Plain", "plain"}} {
		if bad.check() == nil {
			t.Errorf("%v is good", bad)
		}
	}
}

// The state keeps where a session is used in the form in which it was recorded.
func TestPlaces(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.77": "192.0.2.77", "2001:db8::7": "2001:db8::7", "192.0.2.0/24": "192.0.2.0/24", "2001:db8:1::/48": "2001:db8:1::/48",
		"0.0.0.0/24": "0.0.0.0/24", "hash:abcdefghijklmn27": "hash:abcdefghijklmn27", "::ffff:192.0.2.7": "192.0.2.7",
		"": "", "x": "", "hash:": "", "hash:abc": "", "192.0.2.0/25": "", "192.0.2.7/24": "", "2001:db8::/32": "", "ff02::1": "",
		"ff00:300::": "",
	} {
		if got := placeOf(text).String(); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// recordings are the settings that there are of addresses, with others of user agents.
var recordings = []Recording{{}, {RecordTruncated, RecordPlain}, {RecordHashed, RecordHashed}, {RecordNone, RecordNone}}

// Whatever is recorded, guesses are counted by the network that they come from, at all replicas together, and neither the state nor
// the log has an address that is not to be recorded.
func TestLimitsWhateverIsRecorded(t *testing.T) {
	for _, rec := range recordings {
		t.Run(fmt.Sprint(rec), func(t *testing.T) {
			bubbleWith(t, func(c *Config) { c.Recording = rec }, func(t *testing.T, r *rig) {
				const home, near, v6 = "192.0.2.1", "192.0.2.2", "2001:db8:1:2::"
				if err := r.try("a", "alice", alicePassword, home); err != nil {
					t.Fatal(err)
				}
				for i := range 5 {
					if err := r.try([]string{"a", "b", "c"}[i%3], "alice", "wrong-password", v6+fmt.Sprint(i+1)); !errors.Is(err, ErrInvalidGrant) {
						t.Fatalf("guess %d: %v", i, err)
					}
				}
				before := r.checks()
				for range 3 {
					_ = r.try("b", "alice", "wrong-password", v6+"9")
				}
				if n := r.checks() - before; n > 2 {
					t.Errorf("%d more guesses from the same network were looked at", n)
				}
				for i := range 20 { // so that strangers have to wait for the account
					_ = r.try("c", "alice", "wrong-password", fmt.Sprintf("2001:db8:9:%x::1", i))
				}
				began := time.Now()
				if err := r.try("c", "alice", alicePassword, home); err != nil || time.Since(began) > time.Second {
					t.Errorf("from where the account was opened before: %v after %v", err, time.Since(began))
				}
				var l *LimitedError
				if err := r.try("a", "alice", alicePassword, near); !errors.As(err, &l) && time.Since(began) < time.Second {
					t.Errorf("from its neighbour: %v", err)
				}
				r.same()
				if rec.Address != "" {
					r.unrecorded(home, near, v6+"1")
				}
			})
		})
	}
}

// unrecorded fails the test if an address, or the number of its network, is in a state or a message.
func (r *rig) unrecorded(addresses ...string) {
	r.t.Helper()
	for _, a := range addresses {
		for _, m := range r.log.Messages() {
			if strings.Contains(string(m.Data), `"`+a+`"`) {
				r.t.Errorf("%s is in %s", a, m.Data)
			}
		}
		for name, n := range r.nodes {
			n.mu.RLock()
			s := search{words: []uint64{networkOf(a)}, ids: [][16]byte{netip.MustParseAddr(a).As16()}}
			s.walk(name+".state", reflect.ValueOf(n.state))
			n.mu.RUnlock()
			if len(s.found) > 0 {
				r.t.Errorf("%s is at %v", a, s.found)
			}
		}
	}
}

// Replicas with other settings write by their own, and have one state.
func TestRecordingsDiffer(t *testing.T) {
	next := 0
	edit := func(c *Config) { c.Recording, next = recordings[1+next], next+1 }
	bubbleWith(t, edit, func(t *testing.T, r *rig) {
		ctx := context.Background()
		o := Origin{Address: "203.0.113.9", UserAgent: "browser/2"}
		for _, at := range []string{"a", "b", "c"} {
			tok := must(r.nodes[at].Login(ctx, LoginRequest{Name: "alice", Password: alicePassword, Origin: o}))(t)
			must(r.nodes[at].Refresh(ctx, RefreshRequest{Token: tok.RefreshToken, Origin: o}))(t)
		}
		r.same()
		key := r.nodes["a"].state.hashKey
		want := []string{"203.0.113.0/24 browser/2", hashText(key, "address", o.Address) + " " + hashText(key, "agent", o.UserAgent), " "}
		var said []string
		sealed := map[events.ID]bool{}
		for _, e := range r.logged(events.TypeSessionStarted) {
			said = append(said, e.Address+" "+e.UserAgent)
			sealed[e.Network] = true
		}
		if !slices.Equal(said, want) {
			t.Errorf("events say %q, want %q", said, want)
		}
		if len(sealed) != 3 || sealed[events.ID{}] {
			t.Errorf("networks can be compared: %v", sealed)
		}
		var shown []string
		for _, s := range must(r.nodes["c"].UserSessions(r.alice()))(t) {
			shown = append(shown, s.Address+" "+s.UserAgent)
		}
		slices.Reverse(shown)
		if !slices.Equal(shown, want) {
			t.Errorf("sessions say %q, want %q", shown, want)
		}
		if got := r.nodes["b"].Status().Record; got != recordings[2] {
			t.Errorf("the status says %v", got)
		}
		if n := r.nodes["a"].state.users[r.alice()].networks; n[0] == 0 || n[0] == networkOf(o.Address) || n[1] != 0 {
			t.Errorf("one network has several numbers: %v", n)
		}
	})
}

// TestHashedNamesAreApart: no name that somebody types has the hash of an address.
func TestHashedNamesAreApart(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		n := r.nodes["a"]
		sum := keyedHash(n.state.hashKey, "address", []byte("192.0.2.1"))
		for _, name := range []string{"address\x00192.0.2.1", " address\x00192.0.2.1", "192.0.2.1"} {
			if n.hashName(name) == events.ID(sum[:16]) {
				t.Errorf("%q has it", name)
			}
		}
		if n.hashName("Bob ") != n.hashName("bob") || n.hashName("x\x00") == n.hashName("x\x01") {
			t.Error("names are not told apart as they should be")
		}
		synctest.Wait()
	})
}
