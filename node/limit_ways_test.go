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

// However a password is tried, the guesses come out of one budget, and no right one leaves a count behind.
func TestEveryWayIsLimited(t *testing.T) {
	const home, elsewhere = "192.0.2.1", "192.0.2.2"
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		req := r.app()
		code := func(pw, address string, req CodeRequest) error {
			_, err := r.nodes["b"].IssueCode(ctx, req, LoginRequest{Name: "alice", Password: pw, Origin: from(address)})
			return err
		}
		change := func(old, address string) error {
			return r.nodes["c"].ChangePassword(ctx, PasswordChange{User: r.alice(), Old: old, New: "another-password-1", Origin: from(address)})
		}
		forbidden := req
		forbidden.Scope = []string{"jobs"} // the client's, and not alice's
		r.uncounted("a code", code(alicePassword, home, req), nil)
		r.uncounted("a code with a bad scope", code(alicePassword, home, forbidden), ErrInvalidScope)
		r.uncounted("a login with a bad scope", func() error {
			_, err := r.nodes["a"].Login(ctx, LoginRequest{Name: "alice", Password: alicePassword, Scope: []string{"none"}, Origin: from(home)})
			return err
		}(), ErrInvalidScope)

		before := r.checks()
		for range 4 {
			errs := []error{r.try("a", "alice", "wrong-password", home), code("wrong-password", home, req), change("wrong-password", home)}
			for i, err := range errs {
				var l *LimitedError
				if !errors.As(err, &l) && !errors.Is(err, ErrInvalidGrant) && !errors.Is(err, ErrWrongPassword) {
					t.Errorf("way %d: %v", i, err)
				}
			}
		}
		if n := r.checks() - before; n < 5 || n > 8 {
			t.Errorf("%d of 12 guesses were looked at", n)
		}
		var l *LimitedError
		if err := change(alicePassword, home); !errors.As(err, &l) {
			t.Errorf("the right password, too early: %v", err)
		}
		// A new password makes old guesses worthless.
		if err := change(alicePassword, elsewhere); err != nil {
			t.Errorf("the right password from elsewhere: %v", err)
		}
		if err := r.try("a", "alice", "another-password-1", home); err != nil {
			t.Errorf("the new password: %v", err)
		}
		r.same()
	})
}

// uncounted fails the test unless err is want and no guess at anything counts as wrong.
func (r *rig) uncounted(what string, err, want error) {
	r.t.Helper()
	synctest.Wait()
	if n := r.nodes["a"].state.guesses.Len(); !errors.Is(err, want) || n != 0 {
		r.t.Errorf("%s: %v, %d counts", what, err, n)
	}
}

// A secret that is being replaced costs one guess, whichever of the two it is compared with.
func TestOldSecretIsOneGuess(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		r.service()
		if err := r.nodes["a"].RotateClientSecret(ctx, "svc", "second-secret-1", time.Hour, Origin{}); err != nil {
			t.Fatal(err)
		}
		for range 5 { // those that are free
			if _, err := r.nodes["b"].AuthenticateClient(ctx, "svc", "wrong-secret-12", from("192.0.2.1")); !errors.Is(err, ErrInvalidClient) {
				t.Error(err)
			}
		}
		if _, err := r.nodes["c"].AuthenticateClient(ctx, "svc", "svc-secret-0123456789", from("192.0.2.2")); err != nil {
			t.Errorf("the old secret from another network: %v", err)
		}
	})
}

// User name and password that come with requests are guesses like those at log-ins, and of the same budget. What was found right
// before is not one.
func TestBasicIsLimited(t *testing.T) {
	const home, elsewhere = "192.0.2.1", "192.0.2.2"
	basicBubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		basic := func(at, name, pw, address string) error {
			_, err := r.nodes[at].VerifyBasic(ctx, name, pw, from(address))
			return err
		}
		r.uncounted("right", basic("b", "alice", alicePassword, home), nil)
		reserved := len(have[*events.AttemptStarted](r))
		if reserved != 1 {
			t.Errorf("%d reservations for one password", reserved)
		}
		for range 100 {
			r.uncounted("remembered", basic("b", "alice", alicePassword, home), nil)
		}
		if n := len(have[*events.AttemptStarted](r)); n != reserved {
			t.Errorf("%d reservations for what is remembered", n-reserved)
		}

		var l *LimitedError
		for _, name := range []string{"alice", "nobody"} {
			before := r.checks()
			for i := range 12 {
				at := string("abc"[i%3])
				if err := basic(at, name, "wrong-password", elsewhere); !errors.Is(err, ErrInvalidBasic) && !errors.As(err, &l) {
					t.Errorf("%s at %s: %v", name, at, err)
				}
			}
			if n := r.checks() - before; n < 5 || n > 7 {
				t.Errorf("%s: %d of 12 guesses were looked at", name, n)
			}
			if err := basic("b", name, alicePassword, elsewhere); !errors.As(err, &l) || l.RetryAfter <= 0 {
				t.Errorf("%s: the right password, too early: %v", name, err)
			}
			if err := r.try("c", name, alicePassword, elsewhere); !errors.As(err, &l) {
				t.Errorf("%s: a log-in, too early: %v", name, err)
			}
		}
		for _, at := range []string{"a", "b"} { // remembered at b
			if err := basic(at, "alice", alicePassword, home); err != nil {
				t.Errorf("the right password from another network, at %s: %v", at, err)
			}
		}
		synctest.Wait() // for what the right ones took back
		// What is remembered tells nothing to whoever guesses at the same network.
		for i := range 12 {
			if err := basic("abc"[i%3:i%3+1], "alice", "wrong-password", home); !errors.Is(err, ErrInvalidBasic) && !errors.As(err, &l) {
				t.Error(err)
			}
		}
		if err := basic("b", "alice", alicePassword, home); !errors.As(err, &l) {
			t.Errorf("the right password, too early, where it is remembered: %v", err)
		}
		time.Sleep(16 * time.Minute)
		if err := basic("c", "alice", alicePassword, elsewhere); err != nil {
			t.Errorf("the right password in time: %v", err)
		}
		r.same()
	})
}

// A service that comes back with a hundred connections costs one hash, also when the first one hangs up.
func TestClientSecretGuessesAreShared(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		const secret = "svc-secret-0123456789"
		ctx, cancel := context.WithCancel(context.Background())
		if err := r.nodes["a"].CreateClient(ctx, NewClient{ID: "svc", Secret: secret}, Origin{}); err != nil {
			t.Fatal(err)
		}
		before := r.checks()
		var all sync.WaitGroup
		all.Go(func() { _, _ = r.nodes["b"].AuthenticateClient(ctx, "svc", secret, from("192.0.2.1")) })
		for range 100 {
			all.Go(func() {
				if _, err := r.nodes["b"].AuthenticateClient(context.Background(), "svc", secret, from("192.0.2.1")); err != nil {
					t.Error(err)
				}
			})
		}
		cancel()
		all.Wait()
		if n := r.checks() - before; n != 1 {
			t.Errorf("%d hashes computed, want one", n)
		}
		synctest.Wait()
		if n := len(r.nodes["b"].clients.trials); n != 0 {
			t.Errorf("%d trials left", n)
		}
		if n := r.nodes["a"].state.guesses.Len(); n != 0 {
			t.Errorf("%d counts after right secrets", n)
		}
	})
}

// Of many guesses that waited for the same turn one is written down: the log grows with what is looked at.
func TestWaitingGuessesAreNotWrittenDown(t *testing.T) {
	wide := func(c *Config) { c.Password.Workers = 16 }
	bubbleWith(t, wide, func(t *testing.T, r *rig) {
		for range 20 { // as long as delays are so short that guesses wait for their turn
			r.guessAtOnce(40, func(at string, i int) error {
				return r.try(at, "alice", fmt.Sprint("wrong-password-", i), "192.0.2.1")
			})
		}
		reserved, looked := len(have[*events.AttemptStarted](r)), int(r.checks())
		if looked < 6 || reserved > len(r.nodes)*looked {
			t.Errorf("%d guesses were looked at, %d written down", looked, reserved)
		}
		r.same()
	})
}
