package node

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knell-auth/knell/events"
)

func TestClientSecretForm(t *testing.T) {
	pattern := regexp.MustCompile(ClientSecretPattern)
	s := NewClientSecret()
	if !isClientSecret(s) || pattern.FindString("client_secret="+s+"&x=y") != s || s == NewClientSecret() {
		t.Errorf("%q", s)
	}
	last := strings.Map(func(c rune) rune { return '0' + (c-'0'+1)%10 }, s[len(s)-1:])
	for _, bad := range []string{
		"", "kns_", s[:len(s)-1], s + "0", "knl" + s[3:], strings.ToUpper(s), s[:len(s)-1] + last, s[:5] + "1" + s[6:], "svc-secret-0123456789",
		"kns_" + strings.Repeat("=", 60), "kns_MFRGGZDFMZTWQ2LKNNWG23TPOB", // as they were before
	} {
		if isClientSecret(bad) {
			t.Errorf("%q", bad)
		}
	}
}

// TestRandomSecretsCostNoHash: a secret that was made here needs none, is not reserved and not limited, and neither is what looks like
// one, whatever client it is for.
func TestRandomSecretsCostNoHash(t *testing.T) {
	bubbleWith(t, seldom, func(t *testing.T, r *rig) {
		ctx := context.Background()
		first, second := NewClientSecret(), NewClientSecret()
		for _, c := range []NewClient{
			{ID: "made", Secret: first}, {ID: "chosen", Secret: "svc-secret-0123456789"}, {ID: "public"}, {ID: "disabled", Secret: second},
		} {
			if err := r.nodes["a"].CreateClient(ctx, c, Origin{}); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.nodes["a"].DisableClient(ctx, "disabled", Origin{}); err != nil {
			t.Fatal(err)
		}
		before := r.checks()
		is := func(client, secret string, want error) {
			t.Helper()
			for name, n := range r.nodes {
				if _, err := n.AuthenticateClient(ctx, client, secret, Origin{}); !errors.Is(err, want) {
					t.Errorf("%s at %s: %v, want %v", client, name, err, want)
				}
			}
		}
		is("made", first, nil)
		for range 30 {
			for _, client := range []string{"made", "chosen", "public", "disabled", "nobody"} {
				is(client, second, ErrInvalidClient)
			}
		}
		is("made", first, nil)
		if err := r.nodes["b"].RotateClientSecret(ctx, "made", second, time.Hour, Origin{}); err != nil {
			t.Fatal(err)
		}
		is("made", first, nil)
		is("made", second, nil)
		time.Sleep(time.Hour)
		synctest.Wait()
		is("made", first, ErrInvalidClient)
		is("made", second, nil)
		if n, guesses := r.checks()-before, r.logged(events.TypeAttemptStarted); n != 0 || len(guesses) != 0 {
			t.Errorf("%d hashes, %d reservations", n, len(guesses))
		}
		// What looks otherwise costs each of them the same.
		for _, client := range []string{"made", "chosen", "public", "disabled", "nobody"} {
			before := r.checks()
			if _, err := r.nodes["c"].AuthenticateClient(ctx, client, "wrong-secret-12", Origin{}); err != ErrInvalidClient {
				t.Errorf("%s: %v", client, err)
			}
			if n := r.checks() - before; n != 1 {
				t.Errorf("%s: %d hashes", client, n)
			}
		}
		if got := len(r.logged(events.TypeAttemptStarted)); got != 5 {
			t.Errorf("%d reservations, want one for each", got)
		}
		for _, m := range r.log.Messages() {
			if strings.HasPrefix(m.Subject, "knell.event.") && strings.Contains(string(m.Data), clientDigest) {
				t.Errorf("a digest in a public event: %s", m.Data)
			}
		}
		r.same()
	})
}

// TestChosenSecretsAreHashedOnce: requests that come with one secret at the same time share its hash, right or wrong.
func TestChosenSecretsAreHashedOnce(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		r.service()
		n := r.nodes["b"]
		for _, c := range []struct {
			client, secret string
			want           error
		}{{"svc", "svc-secret-0123456789", nil}, {"svc", "wrong-secret-12", ErrInvalidClient}, {"nobody", "wrong-secret-12", ErrInvalidClient}} {
			before := r.checks()
			var all sync.WaitGroup
			gate := make(chan struct{})
			r.between("b", events.TypeAttemptStarted, func() error { <-gate; return nil })
			for range 50 {
				all.Go(func() {
					if _, err := n.AuthenticateClient(ctx, c.client, c.secret, Origin{}); !errors.Is(err, c.want) {
						t.Errorf("%s: %v, want %v", c.client, err, c.want)
					}
				})
			}
			synctest.Wait() // all of them have asked, and the first has not got its turn
			close(gate)
			all.Wait()
			synctest.Wait()
			if got := r.checks() - before; got != 1 {
				t.Errorf("%s: %d hashes", c.client, got)
			}
			if len(n.clients.trials) != 0 || len(n.clients.busy) != 0 {
				t.Error("a trial is left")
			}
		}
		before := r.checks()
		for range 10 {
			if _, err := n.AuthenticateClient(ctx, "svc", "svc-secret-0123456789", Origin{Address: "192.0.2.7"}); err != nil {
				t.Error(err)
			}
		}
		if got := r.checks() - before; got != 1 {
			t.Errorf("%d hashes for one secret from another network", got)
		}
	})
}
