//go:build knell_break

package node

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knell-auth/knell/events/eventstest"
	"github.com/knell-auth/knell/internal/fence"
)

// Only this build can leave out a step of a verification: in any other one its path has no branch for it.

// A verification that has looked at the state before its replica heard of the logout, and reads the lease afterwards, finds a
// new one.
func TestLeaseIsReadFirst(t *testing.T) {
	with(t, fence.CacheBeforeLease, func(t *testing.T, r *rig, broken bool) {
		tok := r.login("a")
		r.accepted(tok)
		r.links["c"].Cut()
		if err := r.nodes["a"].Logout(context.Background(), tok.AccessToken, Origin{}); err != nil {
			t.Fatal(err)
		}
		heal := time.AfterFunc(dawdle/50, r.links["c"].Heal)
		defer heal.Stop()
		r.leaks("c", tok, broken)
	})
}

// A reading from before the silence says that the lease is valid.
func TestClockIsReadEachTime(t *testing.T) {
	with(t, fence.CachedClock, func(t *testing.T, r *rig, broken bool) {
		tok := r.login("a")
		r.accepted(tok)
		r.links["c"].Cut()
		if err := r.nodes["a"].Logout(context.Background(), tok.AccessToken, Origin{}); err != nil {
			t.Fatal(err)
		}
		r.leaks("c", tok, broken)
	})
}

// faulty runs f with replicas whose faults set changes.
func faulty(t *testing.T, f func(t *testing.T, r *rig, set func(name, words string))) {
	t.Helper()
	FaultDir = t.TempDir()
	t.Cleanup(func() { FaultDir = "" })
	bubble(t, func(t *testing.T, r *rig) {
		f(t, r, func(name, words string) {
			time.Sleep(time.Second) // so that the file is newer than the one before it, by the time of the bubble
			file := filepath.Join(FaultDir, name)
			if err := os.WriteFile(file, []byte(words), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(file, time.Now(), time.Now()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * lookEvery)
		})
	})
}

func TestFaultsOfClocks(t *testing.T) {
	faulty(t, func(t *testing.T, r *rig, set func(name, words string)) {
		c := &r.nodes["c"].clock
		check := func(what string, mono, wall time.Duration, from fence.Reading) {
			t.Helper()
			to := c.read()
			if got := to.Mono - from.Mono; (got - mono).Abs() > time.Second/20 {
				t.Errorf("%s: the monotonic clock went on by %v, want %v", what, got, mono)
			}
			if got := to.Wall - from.Wall; (got - wall).Abs() > time.Second/20 {
				t.Errorf("%s: the wall clock went on by %v, want %v", what, got, wall)
			}
		}
		set("c", "rate=0.5")
		from := c.read()
		time.Sleep(10 * time.Second)
		check("half the rate", 5*time.Second, 5*time.Second, from)
		from = c.read()
		set("c", "rate=2 wall=-1h") // a second at the old rate passes first
		time.Sleep(10 * time.Second)
		check("twice the rate, an hour back", 20500*time.Millisecond, 20500*time.Millisecond-time.Hour, from)
		from = r.nodes["b"].clock.read()
		time.Sleep(time.Second)
		c = &r.nodes["b"].clock
		check("another replica", time.Second, time.Second, from)
	})
}

// A clock at half the rate, which no assumption covers, keeps a silent replica serving when nobody waits for it any more.
func TestClockRateIsAssumed(t *testing.T) {
	for words, leaks := range map[string]bool{"rate=0.92": false, "rate=0.5": true} {
		faulty(t, func(t *testing.T, r *rig, set func(name, words string)) {
			tok := r.login("a")
			r.accepted(tok)
			set("c", words)
			time.Sleep(5 * time.Second)
			r.links["c"].Cut()
			if err := r.nodes["a"].Logout(context.Background(), tok.AccessToken, Origin{}); err != nil {
				t.Fatal(err)
			}
			r.leaks("c", tok, leaks)
		})
	}
}

// A replica whose clock is set far ahead signs tokens that are from the future for those who have not got its beat yet. They
// say so, and not that the token is bad.
func TestTokenFromTheFuture(t *testing.T) {
	faulty(t, func(t *testing.T, r *rig, set func(name, words string)) {
		r.links["b"].SetDelays(eventstest.Delays{Deliver: time.Second})
		set("a", "wall=1h")
		for !r.nodes["a"].Ready() {
			time.Sleep(time.Millisecond)
		}
		tok := r.login("a")
		if _, err := r.nodes["b"].Verify(context.Background(), tok.AccessToken); !errors.Is(err, ErrNotCurrent) {
			t.Errorf("b: %v, want ErrNotCurrent", err)
		}
		time.Sleep(2 * time.Second)
		r.accepted(tok)
	})
}

// What one wall clock does to everybody: log time is the greatest that any beat carried, and never goes back.
func TestStepForwardTakesLogTimeAlong(t *testing.T) {
	faulty(t, func(t *testing.T, r *rig, set func(name, words string)) {
		before := r.login("b") // five minutes of life
		r.accepted(before)
		set("a", "wall=10m")
		time.Sleep(2 * time.Second)
		r.refused(before, ErrExpired)
		if _, err := r.nodes["c"].Refresh(context.Background(), RefreshRequest{Token: before.RefreshToken}); err != nil {
			t.Errorf("refresh: %v", err)
		}
		// The clock is right again, and log time stands still for ten minutes: so does the life of what is issued now.
		set("a", "wall=0s")
		time.Sleep(2 * time.Second)
		after := r.login("b")
		time.Sleep(9 * time.Minute)
		r.accepted(after)
		if err := r.nodes["c"].Logout(context.Background(), after.AccessToken, Origin{}); err != nil {
			t.Fatal(err)
		}
		r.refused(after, ErrRevoked)
	})
}

// Delays in front of the log delay logouts, and a replica that hears of everything too late refuses.
func TestFaultsOfTheLog(t *testing.T) {
	faulty(t, func(t *testing.T, r *rig, set func(name, words string)) {
		tok := r.login("a")
		r.accepted(tok)
		set("a", "send=2s")
		began := time.Now()
		if err := r.nodes["a"].Logout(context.Background(), tok.AccessToken, Origin{}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < 2*time.Second || took > 3*time.Second {
			t.Errorf("with a delay of 2s the logout took %v", took)
		}
		tok = r.login("b")
		r.accepted(tok)
		set("c", "receive=5s")
		time.Sleep(10 * time.Second)
		if r.nodes["c"].Ready() {
			t.Error("c serves, five seconds behind")
		}
		set("c", "")
		time.Sleep(10 * time.Second)
		r.accepted(tok)
		synctest.Wait()
		r.same()
	})
}

func TestBadFaults(t *testing.T) {
	for _, words := range []string{"rate=0", "rate=x", "wall=1", "send=-1s", "nothing=1s", "rate"} {
		file := filepath.Join(t.TempDir(), "c")
		if err := os.WriteFile(file, []byte(words), 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := readSettings(file); err == nil {
			t.Errorf("%q is taken as %+v", words, s)
		}
	}
}
