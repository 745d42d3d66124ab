package load

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// session is one pair of tokens. Its tokens never change: a refresh makes a new session of it.
type session struct {
	access  string
	refresh string        // "" when the issuer gives none
	until   time.Duration // the access token is not used after this instant, which is well before it expires; 0: not known

	ending   atomic.Bool  // set before anything is sent after which a refusal of the access token is right
	returned atomic.Int64 // when the logout returned, on the engine's clock; 0 before
	checked  atomic.Bool  // some replica has said yes or no after that
	leaked   atomic.Bool  // some replica has said yes after that
}

// endedBefore reports whether a request that began then came after the return of the session's logout. At the same tick of
// the clock it may have come before.
func (s *session) endedBefore(start time.Duration) bool {
	returned := s.returned.Load()
	return returned != 0 && int64(start) > returned
}

// remembered is how many ended sessions are kept to be presented again.
const remembered = 4096

// pool holds the sessions that nobody works on. It is safe for concurrent use.
type pool struct {
	mu      sync.Mutex // guards all below
	rng     *rand.Rand
	live    []*session
	dead    []*session // a ring of those whose logout has returned
	oldest  int        // in dead, once it is full
	expired int64      // thrown away because their time was up
}

func newPool(seed uint64) *pool { return &pool{rng: rand.New(rand.NewPCG(seed, 1<<40))} }

func (p *pool) add(s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.live = append(p.live, s)
}

func (p *pool) size() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.live)
}

// pick returns a live session at random and leaves it where it is; nil when there is none.
func (p *pool) pick(now time.Duration) *session {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := p.indexLocked(now); i >= 0 {
		return p.live[i]
	}
	return nil
}

// take removes a live session at random; nil when there is none.
func (p *pool) take(now time.Duration) *session {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := p.indexLocked(now)
	if i < 0 {
		return nil
	}
	s := p.live[i]
	p.removeLocked(i)
	return s
}

// indexLocked returns the index of a live session at random whose token is good for a while, -1 when there is none. It
// throws away what is not on its way.
func (p *pool) indexLocked(now time.Duration) int {
	for len(p.live) > 0 {
		i := p.rng.IntN(len(p.live))
		if s := p.live[i]; s.until == 0 || now < s.until {
			return i
		}
		p.removeLocked(i)
		p.expired++
	}
	return -1
}

func (p *pool) removeLocked(i int) {
	last := len(p.live) - 1
	p.live[i], p.live[last] = p.live[last], nil
	p.live = p.live[:last]
}

// bury keeps a session whose logout has returned.
func (p *pool) bury(s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.dead) < remembered {
		p.dead = append(p.dead, s)
		return
	}
	p.dead[p.oldest] = s
	p.oldest = (p.oldest + 1) % remembered
}

// pickDead returns a session at random whose logout has returned and whose token has not expired; nil when there is none.
func (p *pool) pickDead(now time.Duration) *session {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.dead) == 0 {
		return nil
	}
	s := p.dead[p.rng.IntN(len(p.dead))]
	if s.until != 0 && now >= s.until {
		return nil
	}
	return s
}

func (p *pool) expiredCount() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.expired
}
