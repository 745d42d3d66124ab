package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knell-auth/knell/events"
)

// from is a client's address.
func from(address string) Origin { return Origin{Address: address} }

// try guesses at a password and returns the error.
func (r *rig) try(at, name, pw, address string) error {
	_, err := r.nodes[at].Login(context.Background(), LoginRequest{Name: name, Password: pw, Origin: from(address)})
	return err
}

// checks returns how many secrets all replicas have compared.
func (r *rig) checks() (n uint64) {
	for _, node := range r.nodes {
		n += node.hasher.Checks()
	}
	return n
}

// guessAtOnce makes so many guesses at each replica at the same time and returns what became of them.
func (r *rig) guessAtOnce(each int, guess func(at string, i int) error) (wrong, limited, others int) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for at := range r.nodes {
		for i := range each {
			wg.Go(func() {
				err := guess(at, i)
				mu.Lock()
				defer mu.Unlock()
				var l *LimitedError
				switch {
				case errors.Is(err, ErrInvalidGrant):
					wrong++
				case errors.As(err, &l):
					limited++
				default:
					others++
					r.t.Logf("at %s: %v", at, err)
				}
			})
		}
	}
	wg.Wait()
	return wrong, limited, others
}

// have returns the events of a type in the log.
func have[P events.Payload](r *rig) (found []events.Event) {
	r.t.Helper()
	synctest.Wait()
	link := r.links["a"]
	stat := must(link.Stat(context.Background()))(r.t)
	err := link.Read(context.Background(), 0, stat.Last, func(batch []events.Message) error {
		for _, m := range batch {
			var e events.Event
			if err := events.Decode(m.Data, &e); err != nil {
				return err
			}
			if _, ok := e.Data.(P); ok {
				found = append(found, e)
			}
		}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return found
}

// Sixty guesses at three replicas at once are five guesses: those that are free. One more gets through while the others wait
// for their turn, after the first delay.
func TestParallelGuessesShareOneBudget(t *testing.T) {
	bubbleWith(t, seldom, func(t *testing.T, r *rig) {
		before := r.checks()
		wrong, limited, others := r.guessAtOnce(20, func(at string, i int) error {
			return r.try(at, "alice", fmt.Sprint("wrong-password-", i), "192.0.2.1")
		})
		if wrong < 5 || wrong > 6 || limited != 60-wrong || others != 0 {
			t.Errorf("%d were looked at, %d limited, %d other", wrong, limited, others)
		}
		if n := int(r.checks() - before); n != wrong {
			t.Errorf("%d secrets were compared for %d answers", n, wrong)
		}
		// Delays grow; a guess that comes too early prolongs nothing.
		before = r.checks()
		start := time.Now()
		for time.Since(start) < time.Hour {
			r.try("b", "alice", "wrong-password", "192.0.2.1")
			time.Sleep(time.Second)
		}
		if n := r.checks() - before; n < 8 || n > 13 {
			t.Errorf("%d guesses in an hour without a pause", n)
		}
		r.same()
	})
}

// An account that does not exist, one that is disabled and one with another password are limited alike, and cost the same.
func TestLimitsTellNothing(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		mallory := r.user("mallory", "disabled-pw-1")
		if err := r.nodes["a"].DisableUser(context.Background(), mallory.ID, Origin{}); err != nil {
			t.Fatal(err)
		}
		history := func(name, pw, address string) (seen []string) {
			for i := range 9 {
				before, recorded := r.checks(), len(have[*events.AttemptStarted](r))
				err := r.try([]string{"a", "b", "c"}[i%3], name, pw, address)
				time.Sleep(50 * time.Millisecond)
				seen = append(seen, fmt.Sprint(err, r.checks()-before, len(have[*events.AttemptStarted](r))-recorded))
			}
			return seen
		}
		wrong := history("alice", "wrong-password", "192.0.2.1")
		for what, other := range map[string][]string{
			"disabled":        history("mallory", "wrong-password", "192.0.2.2"),
			"disabled, right": history("mallory", "disabled-pw-1", "192.0.2.3"),
			"unknown":         history("nobody", "wrong-password", "192.0.2.4"),
			"unknown, case":   history(" NoBody", "wrong-password", "192.0.2.5"),
			"no name at all":  history("\x00", "wrong-password", "192.0.2.6"),
		} {
			if fmt.Sprint(other) != fmt.Sprint(wrong) {
				t.Errorf("%s:\n%q, and with a wrong password\n%q", what, other, wrong)
			}
		}
	})
}

// A right password takes back what was counted, at every replica, and right passwords are never in each other's way.
func TestRightPasswordsAreNotLimited(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		for range 5 {
			for range 4 {
				if err := r.try("a", "alice", "wrong-password", "192.0.2.1"); !errors.Is(err, ErrInvalidGrant) {
					t.Fatal(err)
				}
			}
			if err := r.try("b", "alice", alicePassword, "192.0.2.1"); err != nil {
				t.Fatal(err)
			}
		}
		_, limited, others := r.guessAtOnce(20, func(at string, _ int) error {
			if err := r.try(at, "alice", alicePassword, "192.0.2.1"); err != nil {
				return err
			}
			return errChanged // stands for a success
		})
		if limited != 0 || others != 60 {
			t.Errorf("%d of 60 right passwords were limited", limited)
		}
		r.same()
		for name, n := range r.nodes {
			if left := n.state.guesses.Len(); left != 0 {
				t.Errorf("%s still counts %d", name, left)
			}
		}
	})
}

// Many addresses that guess at one account are slowed down together. Its owner is not, where the account was opened before, and
// nobody is elsewhere for longer than a minute.
func TestNobodyIsLockedOutFromAfar(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		if err := r.try("a", "alice", alicePassword, "198.51.100.7"); err != nil {
			t.Fatal(err)
		}
		session := r.login("c")
		before := r.checks()
		for i := range 2000 {
			r.try([]string{"a", "b", "c"}[i%3], "alice", "wrong-password", fmt.Sprintf("2001:db8:%x::1", i))
		}
		if n := r.checks() - before; n < 20 || n > 20+6+60 {
			t.Errorf("%d guesses from 2000 addresses", n)
		}
		if err := r.try("a", "alice", alicePassword, "198.51.100.7"); err != nil {
			t.Errorf("the owner, from where the account was opened before: %v", err)
		}
		r.accepted(must(r.nodes["b"].Refresh(context.Background(), RefreshRequest{Token: session.RefreshToken}))(t))
		err := r.try("a", "alice", alicePassword, "198.51.100.8")
		var l *LimitedError
		if !errors.As(err, &l) || l.RetryAfter > time.Minute {
			t.Fatalf("the owner, from elsewhere: %v", err)
		}
		time.Sleep(l.RetryAfter + time.Second)
		if err := r.try("a", "alice", alicePassword, "198.51.100.8"); err != nil {
			t.Errorf("the owner, from elsewhere, after %v: %v", l.RetryAfter, err)
		}
		r.same()
	})
}

// One address that guesses at many names, known and unknown, is stopped. An IPv6 customer has one address.
func TestSprayingIsLimited(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		before := r.checks()
		for i := range 400 {
			r.try("a", fmt.Sprint("user-", i), "Summer-2026", fmt.Sprintf("2001:db8::%x", i))
		}
		if n := r.checks() - before; n < 100 || n > 110 {
			t.Errorf("%d guesses", n)
		}
		if err := r.try("b", "alice", alicePassword, "2001:db8:0:1::1"); err != nil {
			t.Errorf("another customer: %v", err)
		}
		r.same()
	})
}

// Delays are recorded when they begin, once, and an administrator ends them.
func TestLockedOutAndUnlocked(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		alice, _ := r.nodes["a"].UserByName("alice")
		for range 10 {
			r.try("a", "alice", "wrong-password", "192.0.2.1")
			time.Sleep(4 * time.Second)
		}
		r.try("c", "nobody", "wrong-password", "192.0.2.2")
		locks := have[*events.LockedOut](r)
		if len(locks) != 1 {
			t.Fatalf("%d records of delays", len(locks))
		}
		if d := locks[0].Data.(*events.LockedOut); d.User != alice.ID || locks[0].Address != "192.0.2.1" || d.Until == 0 {
			t.Errorf("recorded %+v", locks[0])
		}
		var l *LimitedError
		if err := r.try("b", "alice", alicePassword, "192.0.2.1"); !errors.As(err, &l) {
			t.Fatalf("before: %v", err)
		}
		if err := r.nodes["c"].UnlockUser(ctx, alice.ID, Origin{Actor: "test"}); err != nil {
			t.Fatal(err)
		}
		if err := r.try("b", "alice", alicePassword, "192.0.2.1"); err != nil {
			t.Errorf("after: %v", err)
		}
		if err := r.nodes["c"].UnlockUser(ctx, events.NewID(), Origin{}); !errors.Is(err, ErrNotFound) {
			t.Errorf("nobody: %v", err)
		}
		// A new password does the same.
		for range 7 {
			r.try("a", "alice", "wrong-password", "192.0.2.1")
			time.Sleep(time.Second)
		}
		if err := r.nodes["a"].SetPassword(ctx, alice.ID, "looking-glass-1871", Origin{}); err != nil {
			t.Fatal(err)
		}
		if err := r.try("b", "alice", "looking-glass-1871", "192.0.2.1"); err != nil {
			t.Errorf("with a new password: %v", err)
		}
		r.same()
	})
}

// Without room for attempts in the log each replica counts by itself, and all of them together allow no more than before.
func TestFullLogKeepsTheLimits(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.fill(0.82)
		before := r.checks()
		wrong, limited, others := r.guessAtOnce(20, func(at string, i int) error {
			return r.try(at, "alice", fmt.Sprint("wrong-password-", i), "192.0.2.1")
		})
		// One for each replica, which is all of five divided by three, and one more after the first delay.
		if wrong < 3 || wrong > 6 || limited != 60-wrong || others != 0 || int(r.checks()-before) != wrong {
			t.Errorf("%d were looked at, %d limited, %d other", wrong, limited, others)
		}
		if n := len(have[*events.AttemptStarted](r)); n != 0 {
			t.Errorf("%d attempts were recorded", n)
		}
		if err := r.try("a", "alice", alicePassword, "192.0.2.2"); err != nil {
			t.Errorf("from another address: %v", err)
		}
	})
}

// Secrets of clients are limited like passwords, and so is one that is remembered: else it could be guessed at for nothing. Where
// nobody guesses it is not.
func TestClientSecretsAreLimited(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		const secret = "svc-secret-0123456789"
		if err := r.nodes["a"].CreateClient(ctx, NewClient{ID: "svc", Secret: secret}, Origin{}); err != nil {
			t.Fatal(err)
		}
		for name, n := range r.nodes {
			for i := range 20 {
				if _, err := n.AuthenticateClient(ctx, "svc", secret, from(fmt.Sprintf("192.0.2.%d", 1+i%2))); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
			}
		}
		synctest.Wait()
		if n := r.nodes["a"].state.guesses.Len(); n != 0 {
			t.Errorf("%d counts after right secrets", n)
		}
		before := r.checks()
		var last error
		for range 30 {
			last = authenticate(ctx, r.nodes["b"], "svc", "wrong", from("192.0.2.1"))
		}
		var l *LimitedError
		if n := r.checks() - before; n > 7 || !errors.As(last, &l) {
			t.Errorf("%d guesses, then %v", n, last)
		}
		synctest.Wait() // c knows of the guesses at b
		if _, err := r.nodes["c"].AuthenticateClient(ctx, "svc", secret, from("192.0.2.1")); !errors.As(err, &l) {
			t.Errorf("a right guess among wrong ones: %v", err)
		}
		if _, err := r.nodes["c"].AuthenticateClient(ctx, "svc", secret, from("192.0.2.2")); err != nil {
			t.Errorf("from a network that is known: %v", err)
		}
		r.same()
	})
}

// A session that is refreshed without a pause fills the log no faster than it may.
func TestRefreshFlood(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		first := r.login("a")
		tok, rotations := first, 0
		for start := time.Now(); time.Since(start) < 30*time.Second; {
			next, err := r.nodes[[]string{"a", "b", "c"}[rotations%3]].Refresh(ctx, RefreshRequest{Token: tok.RefreshToken})
			var l *LimitedError
			switch {
			case err == nil:
				tok, rotations = next, rotations+1
			case !errors.As(err, &l) || l.RetryAfter > 2*time.Second:
				t.Fatal(err)
			default:
				time.Sleep(100 * time.Millisecond)
			}
		}
		if rotations < 30+14 || rotations > 30+18 {
			t.Errorf("%d rotations in 30 s", rotations)
		}
		time.Sleep(20 * time.Second)
		tok = must(r.nodes["a"].Refresh(ctx, RefreshRequest{Token: tok.RefreshToken}))(t)
		r.accepted(tok)
		r.same()
	})
}

// The same token presented a hundred times at once is no flood.
func TestRefreshCrowdIsNoFlood(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		tok := r.login("a")
		_, limited, others := r.guessAtOnce(33, func(at string, _ int) error {
			if _, err := r.nodes[at].Refresh(context.Background(), RefreshRequest{Token: tok.RefreshToken}); err != nil {
				return err
			}
			return errChanged // stands for a success
		})
		if limited != 0 || others != 99 {
			t.Errorf("%d limited, %d well", limited, others)
		}
	})
}

func TestNetworkOf(t *testing.T) {
	for a, want := range map[string]string{
		"192.0.2.1": "::ffff:192.0.2.1", "2001:db8::1": "2001:db8::ffff:1:1", "::1": "", "": "nonsense", "@": "",
	} {
		if networkOf(a) != networkOf(want) {
			t.Errorf("%q and %q are not one", a, want)
		}
	}
	for a, b := range map[string]string{"192.0.2.1": "192.0.2.2", "2001:db8::": "2001:db8:0:1::", "0.0.0.1": "", "::": "0.0.0.0"} {
		if networkOf(a) == networkOf(b) {
			t.Errorf("%q and %q are one", a, b)
		}
	}
	var n networks
	for i := range uint64(9) {
		n.add(i + 1)
		n.add(9)
	}
	if n != (networks{9, 8, 7, 6}) {
		t.Errorf("remembered %v", n)
	}
}
