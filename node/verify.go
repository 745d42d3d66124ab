package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/fence"
	"github.com/knell-auth/knell/internal/token"
)

// catchUp bounds how long a verification waits for the sequence at which its token was issued: another replica issued it a
// moment ago and this one is about to apply it. When it has just missed that message and a leader died with the one that was to
// send it, it learns of it after the election only, so that is what the bound allows for.
const catchUp = 5 * time.Second

// Verify returns for whom an access token or an API key speaks. It takes three steps in this order (design section 4): read the end of
// the lease; look into the state; read the clocks and compare them with that same end. Looking first would be wrong: the
// lease read afterwards may be a new one, granted after a revocation was applied in between.
//
// Errors: ErrInvalidToken (with ErrExpired, ErrRevoked, ErrStale, ErrInvalidKey) only under a valid lease, else ErrNotCurrent.
// What was verified before costs no allocation and no lock.
func (n *Node) Verify(ctx context.Context, accessToken string) (Identity, error) {
	if n.hot.sample.Load() && n.hot.sample.CompareAndSwap(true, false) {
		return n.verifyTimed(ctx, accessToken)
	}
	if IsAPIKey(accessToken) {
		id, err := n.verifyAPIKey(accessToken)
		if err != nil {
			n.refuse(err)
		}
		return id, err
	}
	if fence.Breakable && n.cfg.Break&brokenVerify != 0 {
		return n.verifyBroken(ctx, accessToken)
	}
	lease := n.hot.lease.Load()
	if e, ok := n.hot.cache.Lookup(accessToken); ok && n.hot.words.Live(e.Session) {
		now := n.clock.read()
		if !lease.Valid(now) {
			return Identity{}, n.refuse(ErrNotCurrent)
		}
		if n.unix(now) >= int64(e.Expires) {
			return Identity{}, n.refuse(ErrExpired)
		}
		return Identity{e.Claims}, nil
	}
	c, err := n.verifyFirst(ctx, accessToken)
	if err != nil {
		return Identity{}, n.refuse(err)
	}
	return Identity{c}, nil
}

// unix returns the time that expiry is judged by: the later of the own clock and log time.
func (n *Node) unix(now fence.Reading) int64 { return max(n.clock.unix(now), n.hot.logTime.Load()) }

// verifyFirst verifies a token that is not in the cache, and puts it there.
func (n *Node) verifyFirst(ctx context.Context, accessToken string) (*token.Claims, error) {
	c, err := n.authentic(ctx, accessToken, liveOnly)
	if err != nil {
		return nil, err
	}
	lease := n.hot.lease.Load()
	word, verdict := n.look(c)
	if verdict == nil {
		n.hot.cache.Insert(accessToken, token.Entry{Expires: uint32(c.Expires), Session: word, Claims: c})
	}
	if !lease.Valid(n.clock.read()) {
		return nil, ErrNotCurrent
	}
	return c, verdict
}

// expiry says whether an expired token is good enough.
type expiry bool

const (
	liveOnly  expiry = false
	expiredOK expiry = true // to end its session
)

// authentic checks everything about a token but its session: form, signature, issuer, audience, times, epoch. When it
// returns, this replica has applied the sequence at which the token was issued.
func (n *Node) authentic(ctx context.Context, accessToken string, exp expiry) (*token.Claims, error) {
	lease := n.hot.lease.Load()
	now := n.clock.read()
	// Before the signature: a flood of unknown tokens to a fenced replica shall cost nothing.
	if !lease.Valid(now) {
		return nil, ErrNotCurrent
	}
	c, err := n.gate(accessToken, n.unix(now), exp)
	if !lease.Valid(n.clock.read()) {
		return nil, ErrNotCurrent
	}
	switch {
	case errors.Is(err, token.ErrExpired):
		return nil, ErrExpired
	case errors.Is(err, token.ErrNotYet):
		// Another replica signed it, by a clock that is ahead of all that this one has heard of. Its beat is about to tell.
		return nil, ErrNotCurrent
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrInvalidToken, err)
	}
	return c, n.catchUp(ctx, c.Issued)
}

// gate checks form, signature and claims; of a token that passed before, its expiry alone.
func (n *Node) gate(accessToken string, now int64, exp expiry) (*token.Claims, error) {
	if e, ok := n.hot.cache.Lookup(accessToken); ok {
		if now >= int64(e.Expires) && exp == liveOnly {
			return nil, token.ErrExpired
		}
		return e.Claims, nil
	}
	verify := n.signing.gate.Verify
	if exp == expiredOK {
		verify = n.signing.gate.VerifyExpired
	}
	c, err := verify(accessToken, now)
	if err == nil && events.ID(c.Epoch) != n.epoch() {
		return nil, errors.New("issued in another epoch of the log")
	}
	return c, err
}

// catchUp returns when this replica has applied seq, or ErrNotCurrent.
func (n *Node) catchUp(ctx context.Context, seq uint64) error {
	if n.hot.applied.Load() >= seq {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, catchUp)
	defer cancel()
	select {
	case <-n.wait.await(seq, n.hot.applied.Load):
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: token is newer than this replica's state", ErrNotCurrent)
	case <-n.ctx.Done():
		return ErrClosed
	}
}

// look asks the state about the session of an authentic token, or about another credential that was verified. It returns the index of the session's live flag.
func (n *Node) look(c *token.Claims) (word uint32, err error) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.state.look(c)
}

func (s *state) look(c *token.Claims) (word uint32, err error) {
	if c.KeyID == "" {
		return s.lookAgain(c)
	}
	if !s.signed(c.KeyID) {
		return 0, fmt.Errorf("%w: signing key is not known or was revoked", ErrInvalidToken)
	}
	ses := s.sessions[events.ID(c.Session)]
	switch {
	case ses == nil || ses.start != c.Start:
		return 0, ErrRevoked
	case ses.user != nil && c.Issued < ses.user.stale:
		return 0, ErrStale
	case ses.client != nil && c.Issued < ses.client.stale:
		return 0, ErrStale
	case ses.contradicts(c):
		return 0, fmt.Errorf("%w: it says what its session does not", ErrInvalidToken)
	}
	return ses.word, nil
}

// contradicts reports whether a token that is not stale says of its session what the log does not. No replica signs such a token, but
// whoever stole the key of one might: he gets no more than the sessions that there are.
func (ses *session) contradicts(c *token.Claims) bool {
	client := firstPartyClient
	if ses.client != nil {
		client = ses.client.id
	}
	if c.ClientID != client || c.Expires > ses.lastExpires {
		return true
	}
	for _, s := range c.Scopes {
		if !hasWord(ses.scope.Value(), s) {
			return true
		}
	}
	if ses.user == nil {
		return c.Subject != client || len(c.Roles) > 0
	}
	for _, role := range c.Roles {
		if !slices.Contains(ses.user.roles, role) {
			return true
		}
	}
	var text [32]byte
	return string(ses.user.id.AppendText(text[:0])) != c.Subject || c.AuthTime != ses.authTime
}

// hasWord reports whether a list that is separated by spaces has a word.
func hasWord(list, word string) bool {
	for list != "" {
		var first string
		if first, list, _ = strings.Cut(list, " "); first == word {
			return true
		}
	}
	return false
}

// accessKey returns the key with the given RFC 7638 thumbprint, nil if there is none.
func (n *Node) accessKey(kid string) *token.Key {
	n.mu.RLock()
	defer n.mu.RUnlock()
	k := n.state.keys[kid]
	if k == nil || k.revoked {
		return nil
	}
	return k.verify
}

// keySeq returns the sequence at which a key came into the log, 0 if it did not.
func (n *Node) keySeq(kid string) uint64 {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if k := n.state.keys[kid]; k != nil {
		return k.seq
	}
	return 0
}
