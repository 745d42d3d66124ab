package traffic

import (
	"math/rand/v2"
	"slices"
	"sync"
)

// session is one session as its client knows it.
type session struct {
	id int32

	mu      sync.Mutex // guards all below; never held during a request
	gen     int32
	access  string
	refresh string
}

// token returns the newest access token and its generation.
func (s *session) token() (string, int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.access, s.gen
}

// rotate stores what a refresh of generation gen returned, unless that is known already.
func (s *session) rotate(gen int32, g grant) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gen == gen {
		s.gen, s.access, s.refresh = gen+1, g.access, g.refresh
	}
}

// pool holds the sessions. Sessions are in one of three groups, or taken by the worker that changes them. All methods
// are safe for concurrent use.
type pool struct {
	mu       sync.Mutex // guards all below
	last     int32
	live     []*session // nobody asked for their end
	doubtful []*session // asked for, never acknowledged
	dead     []*session // acknowledged
}

// number returns the number of a new session.
func (p *pool) number() int32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last++
	return p.last
}

// add puts a session among the live ones.
func (p *pool) add(s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.live = append(p.live, s)
}

// ended puts a session that take gave out among the dead ones, or, when its end was not acknowledged, the doubtful ones.
func (p *pool) ended(s *session, acknowledged bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if acknowledged {
		p.dead = append(p.dead, s)
	} else {
		p.doubtful = append(p.doubtful, s)
	}
}

// take removes a live session at random; nil when there are no more than keep.
func (p *pool) take(rng *rand.Rand, keep int) *session {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.live) <= keep {
		return nil
	}
	i := rng.IntN(len(p.live))
	s := p.live[i]
	p.live[i] = p.live[len(p.live)-1]
	p.live = p.live[:len(p.live)-1]
	return s
}

// pick returns a live session at random, nil when there is none.
func (p *pool) pick(rng *rand.Rand) *session {
	p.mu.Lock()
	defer p.mu.Unlock()
	return random(rng, p.live)
}

// pickDead returns a session at random whose end was acknowledged, nil when there is none.
func (p *pool) pickDead(rng *rand.Rand) *session {
	p.mu.Lock()
	defer p.mu.Unlock()
	return random(rng, p.dead)
}

func random(rng *rand.Rand, from []*session) *session {
	if len(from) == 0 {
		return nil
	}
	return from[rng.IntN(len(from))]
}

// bury moves a live session to the dead ones.
func (p *pool) bury(s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.live = slices.DeleteFunc(p.live, func(other *session) bool { return other == s })
	p.dead = append(p.dead, s)
}

// size returns the number of live sessions.
func (p *pool) size() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.live)
}

// takeDoubtful removes all sessions whose end was not acknowledged.
func (p *pool) takeDoubtful() []*session {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.doubtful
	p.doubtful = nil
	return all
}

// sessions returns the live and the dead sessions.
func (p *pool) sessions() (live, dead []*session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.live), slices.Clone(p.dead)
}
