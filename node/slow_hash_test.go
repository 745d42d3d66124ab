package node

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

const otherPassword, slowClientSecret = "another-password-1", "svc-secret-0123456789"

// slowWay is a way to present a secret that is hashed.
type slowWay struct {
	try     func(secret string) error
	refused error                 // of a wrong one
	right   string                // a good one
	change  func(to string) error // makes another one good
}

// slowWays returns them all, for the user alice and the client svc, at b.
func (r *rig) slowWays() map[string]slowWay {
	ctx := context.Background()
	a, b := r.nodes["a"], r.nodes["b"]
	code := r.app()
	if err := a.CreateClient(ctx, NewClient{ID: "svc", Secret: slowClientSecret, Scope: []string{"profile"}}, Origin{}); err != nil {
		r.t.Fatal(err)
	}
	set := func(to string) error { return a.SetPassword(ctx, r.alice(), to, Origin{}) }
	return map[string]slowWay{
		"login": {func(pw string) error {
			_, err := b.Login(ctx, LoginRequest{Name: "alice", Password: pw})
			return err
		}, ErrInvalidGrant, alicePassword, set},
		"code": {func(pw string) error {
			_, err := b.IssueCode(ctx, code, LoginRequest{Name: "alice", Password: pw})
			return err
		}, ErrInvalidGrant, alicePassword, set},
		"Basic": {func(pw string) error {
			_, err := b.VerifyBasic(ctx, "alice", pw, Origin{})
			return err
		}, ErrInvalidBasic, alicePassword, set},
		"password change": {func(pw string) error {
			return b.ChangePassword(ctx, PasswordChange{User: r.alice(), Old: pw, New: alicePassword})
		}, ErrWrongPassword, alicePassword, set},
		"unknown name": {func(pw string) error {
			if _, err := b.Login(ctx, LoginRequest{Name: "nobody", Password: pw}); !errors.Is(err, ErrInvalidGrant) {
				return err
			}
			return nil
		}, nil, alicePassword, set},
		"client": {func(secret string) error {
			_, err := b.AuthenticateClient(ctx, "svc", secret, Origin{})
			return err
		}, ErrInvalidClient, slowClientSecret, func(to string) error { return a.RotateClientSecret(ctx, "svc", to, 0, Origin{}) }},
	}
}

// A hash that takes longer than a lease is no reason to refuse: what it says is judged by the lease of after it. That holds for accepts
// and refusals, and for neither of them when the replica has been cut off meanwhile, or what was compared has changed.
func TestHashOutlastsLease(t *testing.T) {
	var hashing atomic.Pointer[func()] // what happens while a hash is computed, once
	slow := func(c *Config) {
		c.Basic, c.Lease = true, 15*time.Second // with few beats in all the minutes
		c.Password.Before = func() {
			if f := hashing.Swap(nil); f != nil {
				(*f)()
				time.Sleep(c.Lease * 4 / 3)
			}
		}
	}
	bubbleWith(t, slow, func(t *testing.T, r *rig) {
		for name, w := range r.slowWays() {
			change := func(to string) {
				if err := w.change(to); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			for _, c := range []struct {
				name, secret string
				while        func()
				want         error
			}{
				{"right", w.right, func() {}, nil},
				{"wrong", w.right + "x", func() {}, w.refused},
				{"right, cut off", w.right, r.links["b"].Cut, ErrNotCurrent},
				{"wrong, cut off", w.right + "x", r.links["b"].Cut, ErrNotCurrent},
				{"not right any more", w.right, func() { change(otherPassword) }, w.refused},
				{"right meanwhile", otherPassword, func() { change(otherPassword) }, nil},
			} {
				change(w.right)             // nothing is remembered
				time.Sleep(2 * time.Minute) // nor held against anybody
				hashing.Store(&c.while)
				if err := w.try(c.secret); !errors.Is(err, c.want) {
					t.Errorf("%s, %s: got %v, want %v", name, c.name, err, c.want)
				}
				if hashing.Swap(nil) != nil {
					t.Errorf("%s, %s: nothing was hashed", name, c.name)
				}
				r.links["b"].Heal()
				time.Sleep(r.nodes["b"].cfg.Lease)
				synctest.Wait()
			}
		}
		r.same()
	})
}
