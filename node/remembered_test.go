package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/events/eventstest"
)

// TestRememberedTellsNothingWhileGuessesAreShed: when there is no room to hash, a guess is neither reserved nor counted. After one
// that was wrong the right one is not told from it, until a guess was looked at.
func TestRememberedTellsNothingWhileGuessesAreShed(t *testing.T) {
	const secret = "svc-secret-0123456789"
	narrow := func(c *Config) { c.Basic, c.Password.Workers, c.Password.Queue = true, 1, -1 }
	for what, open := range map[string]func(n *Node, right bool) error{
		"password": func(n *Node, right bool) error {
			_, err := n.VerifyBasic(context.Background(), "alice", map[bool]string{true: alicePassword, false: "wrong-password-1"}[right], from("192.0.2.1"))
			return err
		},
		"client secret": func(n *Node, right bool) error {
			return authenticate(context.Background(), n, "svc", map[bool]string{true: secret, false: "wrong-secret-12"}[right], from("192.0.2.1"))
		},
	} {
		t.Run(what, func(t *testing.T) {
			bubbleWith(t, narrow, func(t *testing.T, r *rig) {
				n := r.nodes["b"]
				if err := n.CreateClient(context.Background(), NewClient{ID: "svc", Secret: secret}, Origin{}); err != nil {
					t.Fatal(err)
				}
				is := func(when string, right bool, want error) {
					t.Helper()
					err := open(n, right)
					if busy := new(*BusyError); want == errTaken && !errors.As(err, busy) || want != errTaken && !errors.Is(err, want) {
						t.Errorf("%s: %v", when, err)
					}
				}
				is("at first", true, nil)
				synctest.Wait()
				// Others take all the room that there is.
				gate := make(chan struct{})
				r.links["b"].OnAppend(func(e *events.Event) (fault eventstest.Fault) {
					if _, is := e.Data.(*events.AttemptStarted); is {
						<-gate
					}
					return fault
				})
				defer r.links["b"].OnAppend(nil)
				var others sync.WaitGroup
				for i := range 2 {
					others.Go(func() {
						_, _ = n.VerifyBasic(context.Background(), fmt.Sprint("somebody-", i), "x", from("198.51.100.7"))
					})
				}
				synctest.Wait()
				is("remembered, no misses", true, nil)
				for range 3 {
					is("a wrong one is shed", false, errTaken)
					is("and so is the right one", true, errTaken)
				}
				close(gate)
				others.Wait()
				before := n.hasher.Checks()
				is("with room", true, nil)
				is("remembered", true, nil)
				is("wrong, looked at", false, map[string]error{"password": ErrInvalidBasic, "client secret": ErrInvalidClient}[what])
				synctest.Wait()
				is("remembered, after a wrong one that was looked at", true, nil)
				if got := n.hasher.Checks() - before; got != 2 {
					t.Errorf("%d hashes, want one of the right secret and one of the wrong one", got)
				}
				r.same()
			})
		})
	}
}
