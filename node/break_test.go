package node

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/events/eventstest"
	"github.com/knell-auth/knell/internal/fence"
)

func init() { breakable = true } // the tests of this package show what each mechanism is for

// TestBreakIsRefused: a service that embeds a node cannot leave out a mechanism by a setting.
func TestBreakIsRefused(t *testing.T) {
	defer func() { breakable = true }()
	for _, may := range []bool{false, true} {
		breakable = may
		_, err := Config{Name: "a", Dir: "d", Log: eventstest.New(t).Node("a"), Issuer: "i", Audience: "a", Build: Build{Break: 1}}.withDefaults()
		if (err == nil) != may {
			t.Errorf("may be broken: %t: %v", may, err)
		}
	}
}

// with runs f with replicas a, b and c that keep to all rules, and again without one of them. broken says which time it is.
func with(t *testing.T, m fence.Mutation, f func(t *testing.T, r *rig, broken bool)) {
	t.Helper()
	for _, without := range []fence.Mutation{0, m} {
		t.Run("without "+without.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.edit = func(c *Config) { c.Break = without }
				for _, name := range []string{"a", "b", "c"} {
					r.start(name)
				}
				r.user("alice", alicePassword)
				f(t, r, without != 0)
			})
		})
	}
}

// leaks fails the test unless the replica accepts the token when a rule is missing, and refuses it in any way when none is.
func (r *rig) leaks(at string, tok Tokens, broken bool) {
	r.t.Helper()
	_, err := r.nodes[at].Verify(context.Background(), tok.AccessToken)
	if broken && err != nil {
		r.t.Errorf("%s refuses (%v): this test cannot see that the rule is missing", at, err)
	}
	if !broken && err == nil {
		r.t.Errorf("%s accepts a token that was logged out", at)
	}
}

// A replica that gets everything five seconds late holds no lease of three; dated from the delivery of its beats it holds
// one all the time, and is as late with the logout.
func TestLeaseIsDatedFromSending(t *testing.T) {
	with(t, fence.DateFromDelivery, func(t *testing.T, r *rig, broken bool) {
		tok := r.login("a")
		r.accepted(tok)
		r.links["c"].SetDelays(eventstest.Delays{Deliver: 5 * time.Second})
		time.Sleep(20 * time.Second)
		if err := r.nodes["a"].Logout(context.Background(), tok.AccessToken, Origin{}); err != nil {
			t.Fatal(err)
		}
		r.leaks("c", tok, broken)
	})
}

// holdRevocations keeps what ends a session on its way into the log for some time, while everything else goes through.
func (r *rig) holdRevocations(at string, d time.Duration) {
	r.links[at].OnAppend(func(e *events.Event) eventstest.Fault {
		if _, ok := e.Data.(*events.SessionRevoked); ok {
			time.Sleep(d)
		}
		return eventstest.Fault{}
	})
}

// The replicas to wait for, and how long, are found when the own apply loop has reached the event: their beats may have got
// into the log while it was under way.
func TestBarrierBeginsAtApply(t *testing.T) {
	for _, m := range []fence.Mutation{fence.SetAtPublish, fence.WaitFromPublish} {
		with(t, m, func(t *testing.T, r *rig, broken bool) {
			tok := r.login("a")
			r.accepted(tok)
			r.holdRevocations("a", 2500*time.Millisecond)
			returned := make(chan error, 1)
			go func() { returned <- r.nodes["a"].Logout(context.Background(), tok.AccessToken, Origin{}) }()
			time.Sleep(2400 * time.Millisecond)
			r.links["c"].Cut()
			if err := <-returned; err != nil {
				t.Fatal(err)
			}
			r.leaks("c", tok, broken)
		})
	}
}

// While c is silent, the report of b counts for b alone.
func TestReportsCountForTheirSender(t *testing.T) {
	with(t, fence.ReportsWithoutIncarnation, func(t *testing.T, r *rig, broken bool) {
		tok := r.login("a")
		r.accepted(tok)
		r.links["c"].Cut()
		if err := r.nodes["a"].Logout(context.Background(), tok.AccessToken, Origin{}); err != nil {
			t.Fatal(err)
		}
		r.leaks("c", tok, broken)
	})
}

func TestRepeatedLogoutNeedsItsBarrier(t *testing.T) {
	with(t, fence.RepeatWithoutBarrier, func(t *testing.T, r *rig, broken bool) {
		tok := r.login("a")
		r.accepted(tok)
		r.links["c"].Cut()
		first := make(chan error, 1)
		go func() { first <- r.nodes["a"].Logout(context.Background(), tok.AccessToken, Origin{}) }()
		synctest.Wait()
		if err := r.nodes["b"].Logout(context.Background(), tok.AccessToken, Origin{}); err != nil {
			t.Fatal(err)
		}
		r.leaks("c", tok, broken)
		if err := <-first; err != nil {
			t.Error(err)
		}
	})
}

// logoutMany logs so many sessions out at a that SkipMessage leaves one of them out at b and c, and returns that one.
func (r *rig) logoutMany() Tokens {
	r.t.Helper()
	b := r.nodes["b"]
	b.mu.RLock()
	before := b.keeping.broken.heard // users and keys narrow as well
	b.mu.RUnlock()
	for n := range skipped {
		tok := r.login("a")
		r.accepted(tok)
		if err := r.nodes["a"].Logout(context.Background(), tok.AccessToken, Origin{}); err != nil {
			r.t.Fatal(err)
		}
		if before+n+1 == skipped {
			return tok
		}
	}
	r.t.Fatal("no message was skipped")
	return Tokens{}
}

// A replica that skips one message would accept the session that it ended, for good.
func TestSkippedMessageLeaks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		for name, m := range map[string]fence.Mutation{"a": fence.NoDigest, "b": fence.NoDigest | fence.SkipMessage, "c": fence.NoDigest} {
			r.edit = func(c *Config) { c.Break = m }
			r.start(name)
		}
		r.user("alice", alicePassword)
		tok := r.logoutMany()
		time.Sleep(10 * time.Second)
		r.leaks("b", tok, true)
		r.leaks("c", tok, false)
	})
}

// But it sees from the others' digests that it has made something else of the log, and fences itself.
func TestDigestFencesWhoSkipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		for name, m := range map[string]fence.Mutation{"a": 0, "b": fence.SkipMessage, "c": 0} {
			r.edit = func(c *Config) { c.Break = m }
			r.start(name)
		}
		r.user("alice", alicePassword)
		tok := r.logoutMany()
		select {
		case <-r.nodes["b"].Fenced():
		case <-time.After(10 * time.Second):
			t.Error("b goes on")
		}
		r.leaks("b", tok, false)
		r.leaks("c", tok, false)
	})
}

// A login that was validated against a password that has changed since is void.
func TestValidationIsNeeded(t *testing.T) {
	with(t, fence.NoValidation, func(t *testing.T, r *rig, broken bool) {
		ctx := context.Background()
		u, _ := r.nodes["a"].UserByName("alice")
		var held atomic.Bool
		r.links["b"].OnAppend(func(e *events.Event) eventstest.Fault {
			if _, ok := e.Data.(*events.SessionStarted); ok && held.CompareAndSwap(false, true) {
				time.Sleep(time.Second)
			}
			return eventstest.Fault{}
		})
		type result struct {
			tok Tokens
			err error
		}
		late := make(chan result, 1)
		go func() {
			tok, err := r.nodes["b"].Login(ctx, LoginRequest{Name: "alice", Password: alicePassword})
			late <- result{tok, err}
		}()
		synctest.Wait()
		if err := r.nodes["a"].SetPassword(ctx, u.ID, "another-password-7", Origin{Actor: "root"}); err != nil {
			t.Fatal(err)
		}
		switch res := <-late; {
		case broken && res.err != nil:
			t.Errorf("%v: this test cannot see that the rule is missing", res.err)
		case broken:
			r.leaks("c", res.tok, true)
		case !errors.Is(res.err, ErrInvalidGrant):
			t.Errorf("the old password: %v, want ErrInvalidGrant", res.err)
		}
	})
}

// A login whose answer from the log was lost is sent again, and may arrive again after the session has ended. Known by its id
// it is void. Otherwise a session is there that its user has ended.
func TestDedupeIsNeeded(t *testing.T) {
	for _, m := range []fence.Mutation{0, fence.NoDedupe} {
		s := newState()
		start := &events.Event{ID: events.NewID(), Epoch: events.NewID(), Node: "a", Data: &events.LogStarted{HashKey: newKey()}}
		user := &events.SecretUser{User: events.NewID(), Name: "alice", Hash: "x"}
		login := &events.SessionStarted{Session: events.NewID(), User: user.User, UserSeq: 2, AccessExpires: 300, IdleExpires: 300, Expires: 300}
		event := func(d events.Payload) *events.Event {
			return &events.Event{ID: events.NewID(), Epoch: start.Epoch, Node: "a", Data: d}
		}
		first := event(login)
		n := &Node{cfg: Config{Build: Build{Break: m}}, state: s} // of which leaveOut needs no more
		for i, e := range []*events.Event{start, event(user), first, event(&events.SessionRevoked{Session: login.Session}), first} {
			s.apply(uint64(i+1), n.leaveOut(uint64(i+1), e))
		}
		if back := s.sessions[login.Session] != nil; back != (m != 0) {
			t.Errorf("without %v: the ended session is back: %t", m, back)
		}
	}
}

func TestReuseDetectionIsNeeded(t *testing.T) {
	with(t, fence.NoReuseDetection, func(t *testing.T, r *rig, broken bool) {
		ctx := context.Background()
		tok := r.login("a")
		next := tok
		for range 2 {
			var err error
			if next, err = r.nodes["a"].Refresh(ctx, RefreshRequest{Token: next.RefreshToken}); err != nil {
				t.Fatal(err)
			}
		}
		_, err := r.nodes["b"].Refresh(ctx, RefreshRequest{Token: tok.RefreshToken})
		if broken && err != nil {
			t.Errorf("%v: this test cannot see that the rule is missing", err)
		}
		if !broken && !errors.Is(err, ErrInvalidGrant) {
			t.Errorf("got %v, want ErrInvalidGrant", err)
		}
	})
}
