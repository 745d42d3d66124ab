package httpapi

import (
	"net/http"
	"sync"
)

// shares bounds how much of something that holds memory is under way, for each identity and for all together. The zero value is ready.
type shares struct {
	mu   sync.Mutex
	all  int
	held map[string]int // by identity; none are 0
}

// Bounds of readings of events. A page is held until it has been taken, and a stream costs some 60 kB.
const (
	pagesEach, pagesAll     = 16, 64
	streamsEach, streamsAll = 2048, 4096
	logsAll                 = 4 // whole logs, which are folded anew
)

// errManyReadings answers who reads events too often at the same time.
var errManyReadings = &requestError{answer{status: http.StatusTooManyRequests, text: "too many requests for events are under way"}}

// take counts one more for an identity, unless there are too many.
func (s *shares) take(who string, each, all int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all >= all || s.held[who] >= each {
		return errManyReadings
	}
	if s.held == nil {
		s.held = map[string]int{}
	}
	s.all++
	s.held[who]++
	return nil
}

// give takes one back.
func (s *shares) give(who string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all--
	if s.held[who]--; s.held[who] == 0 {
		delete(s.held, who)
	}
}

// shareEvents calls next if who asks may read events at this moment.
func (a *api) shareEvents(w http.ResponseWriter, r *http.Request, asPage bool, next func()) {
	s, each, all := &a.readers.streams, streamsEach, streamsAll
	if asPage {
		s, each, all = &a.readers.pages, pagesEach, pagesAll
	}
	who := a.origin(r).Actor
	if err := s.take(who, each, all); err != nil {
		fail(w, r, a.n, err)
		return
	}
	defer s.give(who)
	next()
}
