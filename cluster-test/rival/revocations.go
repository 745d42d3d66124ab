package rival

import (
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// revocations is what a replica knows of ended sessions. Its methods are safe for concurrent use.
type revocations interface {
	// revoked reports whether the session id was ended. An error means that it cannot be told.
	revoked(ctx context.Context, id string) (bool, error)
	// revoke ends the session id, whose last token expires at until.
	revoke(ctx context.Context, id string, until time.Time) error
	close() error
}

// open returns the revocations of cfg.Profile. It returns when they are loaded and new ones will be heard of.
func open(ctx context.Context, cfg Config) (revocations, error) {
	switch cfg.Profile {
	case DenyList:
		return openDenyList(ctx, cfg)
	case PubSub:
		return openPubSub(ctx, cfg)
	case Polling:
		return openPolling(ctx, cfg)
	}
	return stateless{}, nil
}

// stateless is the usual JWT: a logout is a matter of the client, which forgets its token.
type stateless struct{}

func (stateless) revoked(context.Context, string) (bool, error)   { return false, nil }
func (stateless) revoke(context.Context, string, time.Time) error { return nil }
func (stateless) close() error                                    { return nil }

// storeTimeout bounds a command, retries included. Nobody lets users wait for the client library's default of 3 s.
const storeTimeout = 250 * time.Millisecond

// connect returns a client of the store at addr that has been seen to answer.
func connect(ctx context.Context, addr string) (*redis.Client, error) {
	c := redis.NewClient(&redis.Options{
		Addr: addr, DialTimeout: storeTimeout, ReadTimeout: storeTimeout, WriteTimeout: storeTimeout,
		ContextTimeoutEnabled: true, // or the deadline of a command's context would count for nothing
		MinIdleConns:          8,    // so that no request waits for a connection to be made
	})
	if err := c.Ping(ctx).Err(); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// denySet is the ended sessions in memory. The zero value is empty. It only grows, but for what has expired: an
// older answer of the store that comes late must not bring a session back to life.
type denySet struct {
	mu    sync.RWMutex
	until map[string]time.Time
}

func (s *denySet) has(id string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, found := s.until[id]
	return found
}

// add takes in sessions that are ended until the given times, and forgets those whose time is over by now.
func (s *denySet) add(more map[string]time.Time, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.until == nil {
		s.until = map[string]time.Time{}
	}
	for id, until := range more {
		s.until[id] = until
	}
	for id, until := range s.until {
		if until.Before(now) {
			delete(s.until, id)
		}
	}
}

// addOne takes in one session.
func (s *denySet) addOne(id string, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.until == nil {
		s.until = map[string]time.Time{}
	}
	s.until[id] = until
}
