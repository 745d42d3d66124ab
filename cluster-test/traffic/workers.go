package traffic

import (
	"context"
	"sync"
	"time"

	"github.com/knell-auth/knell/cluster-test/history"
)

// Workers' requests do not end with the traffic, only with Abort: a request given up half-way would be recorded as unknown.
// The clients' timeout ends them.

// deadShare: one verification in so many is of a session that has ended; it must be refused, today and after any restart.
const deadShare = 4

// verify verifies a session's token at c.
func (t *Traffic) verify(w *own, c *client) {
	s := t.pool.pick(w.rng)
	if w.steps%deadShare == 0 {
		if dead := t.pool.pickDead(w.rng); dead != nil {
			s = dead
		}
	}
	if s == nil {
		return
	}
	token, gen := s.token()
	w.shard.Add(c.verify(t.requests, s, gen, token))
}

// attemptTimeout is how long a load balancer waits for a replica before it tries the next one.
const attemptTimeout = time.Second

// balanced verifies a live session's token as a load balancer would: replicas in turn, those that failed lately last, each
// at most twice. Only the result is recorded.
func (t *Traffic) balanced(w *own) {
	s := t.pool.pick(w.rng)
	if s == nil {
		return
	}
	token, gen := s.token()
	var result history.Op
	start := t.rec.Now()
	for range 2 {
		for _, c := range t.inTurn(w.steps) {
			ctx, cancel := context.WithTimeout(t.requests, attemptTimeout)
			result = c.verify(ctx, s, gen, token)
			cancel()
			if result.Outcome != history.Unavailable && result.Outcome != history.Unknown {
				result.Start, result.Replica = start, history.Balanced
				w.shard.Add(result)
				return
			}
			t.shun(c)
		}
	}
	result.Start, result.Replica = start, history.Balanced
	w.shard.Add(result)
}

// shunFor is how long others are preferred to a replica that failed.
const shunFor = 2 * time.Second

func (t *Traffic) shun(c *client) { t.avoid[c.replica].Store(int64(t.rec.Now() + shunFor)) }

// inTurn returns all clients, beginning with the n-th, those that failed lately last.
func (t *Traffic) inTurn(n int) []*client {
	now := int64(t.rec.Now())
	var good, bad []*client
	for i := range t.clients {
		c := t.clients[(n+i)%len(t.clients)]
		if t.avoid[c.replica].Load() > now {
			bad = append(bad, c)
		} else {
			good = append(good, c)
		}
	}
	return append(good, bad...)
}

// arrive logs in at the next replica.
func (t *Traffic) arrive(w *own) {
	c := t.inTurn(w.rng.IntN(len(t.clients)))[0]
	if !t.login(t.requests, w, c) {
		t.shun(c)
	}
}

// logoutPatience is how long a logout is tried again before its session counts as doubtful.
const logoutPatience = 45 * time.Second

// doubleShare: one logout in so many is asked for at two replicas at the same time. Neither may return before the end is
// known everywhere, whoever's event came first.
const doubleShare = 3

// leave ends a session and then checks at once, at every replica, that it has ended.
func (t *Traffic) leave(w *own) {
	s := t.pool.take(w.rng, keepLive)
	if s == nil {
		return
	}
	token, gen := s.token()
	// These are under way when the logout is asked for; whatever they are answered is right.
	t.verifyAll(s, gen, token)
	if w.steps%doubleShare == 0 {
		c := t.clients[w.rng.IntN(len(t.clients))]
		t.checks.Go(func() {
			ctx, cancel := context.WithTimeout(t.requests, t.cfg.LogoutTimeout)
			defer cancel()
			op := c.logout(ctx, s, gen, token)
			t.rec.Add(op)
			if op.Outcome == history.OK {
				t.verifyAll(s, gen, token)
			}
		})
	}
	ok := t.logout(w, s)
	if ok {
		t.verifyAll(s, gen, token)
	}
	t.pool.ended(s, ok)
}

// logout asks one replica after the other until one acknowledges or patience ends.
func (t *Traffic) logout(w *own, s *session) bool {
	token, gen := s.token()
	first := w.rng.IntN(len(t.clients))
	for begin := t.rec.Now(); t.requests.Err() == nil && t.rec.Now()-begin < logoutPatience; {
		c := t.inTurn(first)[0]
		ctx, cancel := context.WithTimeout(t.requests, t.cfg.LogoutTimeout)
		op := c.logout(ctx, s, gen, token)
		cancel()
		w.shard.Add(op)
		if op.Outcome == history.OK {
			return true
		}
		if op.Outcome == history.Refused || op.Outcome == history.Unexpected {
			return false
		}
		t.shun(c)
		sleep(t.requests, retryPause)
		first++
	}
	return false
}

// retryPause is how long a client waits before it repeats what failed.
const retryPause = 50 * time.Millisecond

// verifyAll sends a verification to every replica without waiting for the answers. A replica that has too many unanswered
// gets none.
func (t *Traffic) verifyAll(s *session, gen int32, token string) {
	for i, c := range t.clients {
		select {
		case t.pending[i] <- struct{}{}:
		default:
			t.dropped.Add(1)
			continue
		}
		t.checks.Go(func() {
			defer func() { <-t.pending[i] }()
			t.rec.Add(c.verify(t.requests, s, gen, token))
		})
	}
}

// stormShare: one refresh in so many is presented at all replicas at once.
const stormShare = 4

// renew refreshes a session, and then checks that every replica accepts the new token at once.
func (t *Traffic) renew(w *own) {
	s := t.pool.take(w.rng, keepLive)
	if s == nil {
		return
	}
	defer t.pool.add(s)
	s.mu.Lock()
	gen, token := s.gen, s.refresh
	s.mu.Unlock()
	if w.steps%stormShare == 0 {
		t.storm(s, gen, token)
	}
	// After a storm in which nobody got an answer, and after an unknown outcome, the same token is presented again while
	// the grace window lasts. Later it would count as stolen.
	first := w.rng.IntN(len(t.clients))
	for begin := t.rec.Now(); t.requests.Err() == nil && t.rec.Now()-begin < graceWindow/2; {
		if _, now := s.token(); now != gen {
			break
		}
		c := t.inTurn(first)[0]
		ctx, cancel := context.WithTimeout(t.requests, refreshTimeout)
		op, g := c.refresh(ctx, s, gen, token)
		cancel()
		w.shard.Add(op)
		if op.Outcome == history.OK {
			s.rotate(gen, g)
			break
		}
		t.shun(c)
		sleep(t.requests, retryPause)
		first++
	}
	access, gen := s.token()
	t.verifyAll(s, gen, access)
}

// refreshTimeout ends one attempt of a refresh. A few of them fit into the grace window.
const refreshTimeout = 4 * time.Second

// storm presents one refresh token at all replicas at the same time.
func (t *Traffic) storm(s *session, gen int32, token string) {
	var wg sync.WaitGroup
	for _, c := range t.clients {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.requests, refreshTimeout)
			defer cancel()
			op, g := c.refresh(ctx, s, gen, token)
			t.rec.Add(op)
			if op.Outcome == history.OK {
				s.rotate(gen, g)
			}
		})
	}
	wg.Wait()
}

// steal presents a refresh token whose successor has been used, as whoever stole it would. It must be refused, and ends the
// session, whatever the grace window is.
func (t *Traffic) steal(w *own) {
	s := t.pool.take(w.rng, keepLive)
	if s == nil {
		return
	}
	s.mu.Lock()
	gen, token := s.gen, s.refresh
	s.mu.Unlock()
	for range 2 {
		if !t.rotate(w, s) {
			t.pool.add(s)
			return
		}
	}
	c := t.inTurn(w.rng.IntN(len(t.clients)))[0]
	ctx, cancel := context.WithTimeout(t.requests, refreshTimeout)
	defer cancel()
	op, _ := c.refresh(ctx, s, gen, token)
	w.shard.Add(op)
	t.pool.ended(s, false) // nobody logged out: the sweep does, and sees that the session is gone
}

// rotate refreshes a session once. It reports whether that worked.
func (t *Traffic) rotate(w *own, s *session) bool {
	s.mu.Lock()
	gen, token := s.gen, s.refresh
	s.mu.Unlock()
	c := t.inTurn(w.rng.IntN(len(t.clients)))[0]
	ctx, cancel := context.WithTimeout(t.requests, refreshTimeout)
	defer cancel()
	op, g := c.refresh(ctx, s, gen, token)
	w.shard.Add(op)
	if op.Outcome == history.OK {
		s.rotate(gen, g)
	}
	return op.Outcome == history.OK
}
