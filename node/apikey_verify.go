package node

import (
	"context"
	"crypto/subtle"
	"math"
	"slices"
	"strings"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/token"
)

// verifyAPIKey is Verify for an API key. One that was verified before is found by its text, as an access token is; what was
// found holds while the key's live flag does, which changes with everything that the answer depends on. The flag's number
// stands in the claims as well: an entry of which another verification has written a part counts for nothing.
func (n *Node) verifyAPIKey(key string) (Identity, error) {
	lease := n.hot.lease.Load()
	if e, ok := n.hot.cache.Lookup(key); ok && e.Claims.Start == uint64(e.Session) && n.hot.access.Live(e.Session) {
		now := n.clock.read()
		if !lease.Valid(now) {
			return Identity{}, ErrNotCurrent
		}
		if n.unix(now) < int64(e.Expires) {
			return Identity{e.Claims}, nil
		}
	}
	now := n.clock.read()
	if !lease.Valid(now) { // before the digest
		return Identity{}, ErrNotCurrent
	}
	unix := n.unix(now)
	id, digest, ok := parseAPIKey(key)
	var found keyView
	if ok {
		found = n.lookAPIKey(id, digest, unix)
	}
	if found.claims != nil {
		n.hot.cache.Insert(key, token.Entry{
			Expires: uint32(min(found.claims.Expires, unix+keyUseEvery, math.MaxUint32)), Session: uint32(found.claims.Start), Claims: found.claims,
		})
	}
	switch {
	case !lease.Valid(n.clock.read()):
		return Identity{}, ErrNotCurrent
	case found.claims == nil:
		return Identity{}, ErrInvalidKey
	}
	n.noteKeyUse(found.key, found.usedAt, unix)
	return Identity{found.claims}, nil
}

// keyView is what a verification saw of a key.
type keyView struct {
	key    *apiKey
	claims *token.Claims // nil: the key is not good
	usedAt int64
}

// lookAPIKey asks the state about a key.
func (n *Node) lookAPIKey(id events.ID, digest apiKeyDigest, now int64) (v keyView) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	k := n.state.access.keys[id]
	if k == nil || k.user.disabled {
		return v
	}
	until := int64(never)
	if k.expires != 0 {
		until = k.expires
	}
	// The comparisons need no constant time, since the digests are of random keys. They take it so that nobody has to think.
	if subtle.ConstantTimeCompare(digest[:], k.digest[:]) == 0 {
		if subtle.ConstantTimeCompare(digest[:], k.old[:]) == 0 {
			return v
		}
		until = min(until, k.oldExpires)
	}
	if until <= now {
		return v
	}
	return keyView{k, n.state.keyClaims(k, until), k.usedAt}
}

// keyClaims returns what a key says until it expires: it can do what it was made for, as far as its owner can now. Node.mu is
// held.
func (s *state) keyClaims(k *apiKey, until int64) *token.Claims {
	allowed := s.grants(k.user)
	scopes := slices.DeleteFunc(slices.Clone(k.scope), func(scope string) bool { return !slices.Contains(allowed, scope) })
	return &token.Claims{
		Subject: k.user.id.String(), ID: k.id.String(), Scope: strings.Join(scopes, " "), Scopes: scopes,
		Roles: s.rolesWithin(k.user, scopes), IssuedAt: k.created, Expires: until, Start: uint64(k.flag),
	}
}

// lookAgain asks the state about what was verified by API key or Basic: their claims have the number of the live flag in the
// place of a session's start. It returns that number.
func (s *state) lookAgain(c *token.Claims) (flag uint32, err error) {
	flag = uint32(c.Start)
	switch {
	case s.access.live.Live(flag):
		return flag, nil
	case c.ID != "":
		return flag, ErrInvalidKey
	}
	return flag, ErrInvalidBasic
}

// noteKeyUse records that a key is in use, when the last that the log knows of is an hour ago: in the background, and not
// in the room that others need. Once an hour every replica that sees the key asks itself; the first event counts.
func (n *Node) noteKeyUse(k *apiKey, usedAt, now int64) {
	last := k.noted.Load()
	if now < max(usedAt, last)+keyUseEvery || n.nearlyFull(attemptShare) || !k.noted.CompareAndSwap(last, now) {
		return
	}
	user := k.user.id // never changes
	e := n.newEvent(&events.APIKeyUsed{Key: k.id, User: user, UsedAt: now}, k.id.String(), Origin{Actor: user.String()})
	n.later(func(ctx context.Context) {
		if _, err := n.write(ctx, e); err != nil {
			n.log.Debug("use of an API key not recorded", "error", err)
		}
	})
}
