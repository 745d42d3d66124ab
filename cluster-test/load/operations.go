package load

import (
	"context"
	"time"

	"github.com/knell-auth/knell/cluster-test/history"
)

// login asks for a session.
func (e *engine) login(replica int, due time.Duration, _ int) {
	c := e.inTurn(replica)[0]
	a, s := c.login(e.ctx)
	if s != nil {
		e.pool.add(s)
	} else if a.status == 0 {
		e.shun(c)
	}
	e.m.done(history.Login, due, a)
}

// deadShare: one verification in so many presents a session that has ended; it must be refused for good.
const deadShare = 8

// verify checks the token of a session at one replica, also if that is down: nobody else is asked.
func (e *engine) verify(replica int, due time.Duration, number int) {
	v := e.views[replica]
	var s *session
	if number%deadShare == 0 {
		s = e.pool.pickDead(e.now())
	}
	if s == nil {
		s = e.pool.pick(e.now())
	}
	if s == nil {
		e.m.count(history.Verify, due, func(o *Operation) { o.NoSession++ })
		return
	}
	a := v.client.check(e.ctx, s.access)
	if s.endedBefore(a.start) {
		e.checked(v, s, a)
	} else if a.outcome == history.Refused && !s.ending.Load() {
		v.mu.Lock()
		v.wrong++
		v.mu.Unlock()
	}
	if due >= e.m.from && (a.outcome == history.OK || a.outcome == history.Refused) {
		v.mu.Lock()
		record(v.verify, a.end-due)
		v.mu.Unlock()
	}
	e.m.done(history.Verify, due, a)
}

// Bounds of one operation that is tried again at another replica.
const (
	refreshPatience = 15 * time.Second // within the grace window of Knell
	refreshTimeout  = 4 * time.Second  // of one attempt
	logoutPatience  = 45 * time.Second
	logoutTimeout   = 12 * time.Second // of one attempt; it outlasts a lease
)

// refresh presents the refresh token of a session, to one replica after the other until one answers. It counts as a false
// alarm that it is refused, unless an attempt before it was not answered: then the token may have been used up.
func (e *engine) refresh(replica int, due time.Duration, _ int) {
	s := e.pool.take(e.now())
	if s == nil {
		e.m.count(history.Refresh, due, func(o *Operation) { o.NoSession++ })
		return
	}
	s.ending.Store(true) // some issuers end the old access token with its successor
	var next *session
	doubt := false
	a := e.persist(history.Refresh, replica, due, refreshPatience, refreshTimeout, func(ctx context.Context, c *client) (a answer) {
		a, next = c.refresh(ctx, s)
		if a.outcome == history.Unknown && a.status == 0 {
			doubt = true
		}
		return a
	})
	switch {
	case next != nil:
		e.pool.add(next)
	case a.outcome == history.Refused:
		e.m.mu.Lock()
		if doubt {
			e.m.doubtful++
		} else {
			e.m.falseAlarms++
		}
		e.m.mu.Unlock()
	}
}

// logout ends a session, at one replica after the other until one says that it has ended, and checks that at once.
func (e *engine) logout(replica int, due time.Duration, number int) {
	s := e.pool.take(e.now())
	if s == nil {
		e.m.count(history.Logout, due, func(o *Operation) { o.NoSession++ })
		return
	}
	s.ending.Store(true)
	var t *trace
	if every := e.cfg.TraceEvery; every > 0 && number%every == 0 {
		t = e.startTrace(s)
	}
	a := e.persist(history.Logout, replica, due, logoutPatience, logoutTimeout, func(ctx context.Context, c *client) answer {
		a := c.logout(ctx, s)
		if a.outcome == history.OK {
			e.acknowledge(s, a.end)
		}
		return a
	})
	if t == nil {
		return
	}
	if a.outcome != history.OK {
		close(t.failed)
		return
	}
	e.m.mu.Lock()
	e.m.traced++
	e.m.mu.Unlock()
}

// persist carries an operation out at one replica after the other until it is decided or patience ends, notes what came of
// it and returns the last answer.
func (e *engine) persist(k history.Kind, replica int, due, patience, timeout time.Duration, try func(context.Context, *client) answer) answer {
	for begin := e.now(); ; replica++ {
		c := e.inTurn(replica)[0]
		ctx, cancel := context.WithTimeout(e.ctx, timeout)
		a := try(ctx, c)
		cancel()
		decided := a.outcome == history.OK || a.outcome == history.Refused || a.outcome == history.Unexpected
		if decided || e.now()-begin > patience || e.ctx.Err() != nil {
			e.m.done(k, due, a)
			return a
		}
		e.shun(c)
		e.m.count(k, due, func(o *Operation) { o.Retried++ })
		sleep(e.ctx, jitter())
	}
}
