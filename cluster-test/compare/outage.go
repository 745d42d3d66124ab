package compare

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/knell-auth/knell/cluster-test/history"
)

// Outage is what was seen while the store was dead. The services sum up all replicas that were left.
type Outage struct {
	Skipped string  `json:",omitempty"`
	What    string  // was done
	Good    Service // a good token
	Revoked Service // one that was revoked, and refused everywhere, before
	// Logout is what came of a logout during the outage, LogoutTook how long that took.
	Logout     string // success, unavailable or unanswered
	LogoutTook time.Duration
	// Restored counts the replicas that refused the revoked token when the store was back, of Replicas.
	Restored int
}

// logoutAt is the part of the outage after which the logout is sent: 1 s in the usual length.
const logoutAt = 6

func (m *measurement) storeDown(ctx context.Context) error {
	c := newClient(m.in)
	defer c.close()
	tokens, err := c.known(ctx, 3)
	if err != nil {
		return err
	}
	good, revoked, other := tokens[0], tokens[1], tokens[2]
	m.watch(ctx, c, revoked)

	begin := c.clock()
	what, left, err := m.in.breakStore()
	if errors.Is(err, errNone) {
		m.row.Down = &Outage{Skipped: err.Error()}
		return nil
	}
	if err != nil {
		return err
	}
	var over atomic.Bool
	var all sync.WaitGroup
	goods, revokeds := make([][]history.Op, Replicas), make([][]history.Op, Replicas)
	for _, replica := range left {
		for _, w := range []struct {
			token string
			ops   *[]history.Op
		}{{good, &goods[replica]}, {revoked, &revokeds[replica]}} {
			all.Go(func() {
				for ctx.Err() == nil && !over.Load() {
					*w.ops = append(*w.ops, c.verify(ctx, replica, w.token))
					pause(ctx, faultGap)
				}
			})
		}
	}
	pause(ctx, m.Fault/logoutAt)
	limited, cancel := context.WithTimeout(ctx, m.Fault)
	logout := c.logout(limited, left[0], other)
	cancel()
	pause(ctx, begin+m.Fault-c.clock())
	over.Store(true)
	all.Wait()
	end := c.clock()
	m.row.Down = &Outage{What: what, Logout: outcome(logout), LogoutTook: logout.End - logout.Start}
	for _, replica := range left {
		m.row.Down.Good.add(serve(goods[replica], begin, end))
		m.row.Down.Revoked.add(serve(revokeds[replica], begin, end))
	}
	if err := m.in.mendStore(ctx); err != nil {
		return err
	}
	for replica := range Replicas {
		if c.refusedWithin(ctx, replica, revoked, m.Converge) {
			m.row.Down.Restored++
		}
	}
	return nil
}

// add sums up what two replicas did.
func (s *Service) add(more Service) {
	s.Accepted += more.Accepted
	s.Refused += more.Refused
	s.Unavailable += more.Unavailable
	s.Unanswered += more.Unanswered
	if more.UnavailableFrom > 0 && (s.UnavailableFrom == 0 || more.UnavailableFrom < s.UnavailableFrom) {
		s.UnavailableFrom = more.UnavailableFrom
	}
}

// refusedWithin reports whether a replica refuses a token before the time is over. The first answers after an outage may still
// be those of the outage: a client needs a moment to connect again.
func (c *client) refusedWithin(ctx context.Context, replica int, token string, within time.Duration) bool {
	until := c.clock() + within
	for {
		op := c.verify(ctx, replica, token)
		if op.Outcome == history.Refused || ctx.Err() != nil || c.clock() > until {
			return op.Outcome == history.Refused
		}
		pause(ctx, faultGap)
	}
}

// outcome says in a word what came of a logout.
func outcome(op history.Op) string {
	switch op.Outcome {
	case history.OK:
		return success
	case history.Unavailable:
		return unavailable
	case history.Unknown:
		return unanswered
	}
	return op.Outcome.String()
}

// The outcomes of a logout without a store.
const (
	success     = "success"
	unavailable = "unavailable"
	unanswered  = "unanswered"
)
