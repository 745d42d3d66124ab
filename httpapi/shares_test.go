package httpapi

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/knell-auth/knell/node"
)

// stuck is a node whose pages and streams take as long as they are held.
type stuck struct {
	*scripted
	begun chan struct{} // gets one for each that is under way
	held  chan struct{} // closed in the end
}

func (s *stuck) ReadEvents(context.Context, node.EventQuery, int, func(node.EventBatch) error) (node.EventPage, error) {
	s.begun <- struct{}{}
	<-s.held
	return node.EventPage{To: 9}, nil
}

func (s *stuck) FollowEvents(ctx context.Context, _ node.EventQuery, _ time.Duration, deliver func(node.EventBatch) error) error {
	if err := deliver(node.EventBatch{To: 9}); err != nil {
		return err
	}
	s.begun <- struct{}{}
	<-s.held
	return &node.SlowError{Last: 9}
}

// Whoever reads events and takes nothing of the answers holds no more of them than there may be, and does not keep others from reading.
func TestReadersAreBounded(t *testing.T) {
	for accept, each := range map[string]int{ndjson: pagesEach, mediaEvents: streamsEach} {
		s := &stuck{&scripted{}, make(chan struct{}), make(chan struct{})}
		local := NewLocal(s, Config{})
		var work sync.WaitGroup
		for range each {
			work.Go(func() { expect(t, call(local, "GET", "/events", "", "Accept: "+accept), 200) })
			<-s.begun
		}
		w := call(local, "GET", "/events", "", "Accept: "+accept)
		expect(t, w, 429, "Content-Type: application/problem+json")
		if wait, err := strconv.Atoi(w.Header().Get("Retry-After")); err != nil || wait < 1 {
			t.Errorf("%s: Retry-After %q", accept, w.Header().Get("Retry-After"))
		}
		if accept == ndjson { // entries are as large
			expect(t, call(local, "GET", "/transparency/tile/entries/000", ""), 429)
		}
		close(s.held)
		work.Wait()
		go func() { <-s.begun }()
		expect(t, call(local, "GET", "/events", "", "Accept: "+accept), 200)
	}
}

// What one identity may not have any more, another one may, until there are too many of all.
func TestShares(t *testing.T) {
	var s shares
	for who, want := range []bool{true, true, false} {
		if got := s.take("a", 2, 3) == nil; got != want {
			t.Errorf("%d of a: %v", who, got)
		}
	}
	if s.take("b", 2, 3) != nil || s.take("b", 2, 3) == nil {
		t.Error("three are not all")
	}
	s.give("a")
	if s.take("b", 2, 3) != nil {
		t.Error("what was given back cannot be taken")
	}
	for _, who := range []string{"a", "b", "b"} {
		s.give(who)
	}
	if s.all != 0 || len(s.held) != 0 {
		t.Errorf("%d, %v are left", s.all, s.held)
	}
}
