package node

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/token"
)

// AcceptsBasic reports whether user name and password are taken as a credential.
func (n *Node) AcceptsBasic() bool { return n.cfg.Basic }

// VerifyBasic returns for whom a user name and password speak that came with a request (RFC 7617), in the three steps of
// Verify. There is no session; what ends it is what changes the account or its password. The slow hash is computed once for
// an account as it is, and not for each request. What fails is noted, and limited, as a failed login.
//
// Errors: ErrInvalidBasic for every reason to refuse, under a valid lease, else ErrNotCurrent; *LimitedError when this guess has
// to wait; *BusyError.
func (n *Node) VerifyBasic(ctx context.Context, name, pw string, o Origin) (Identity, error) {
	if !n.cfg.Basic {
		return Identity{}, ErrInvalidBasic
	}
	if key, err := normalName(name); err == nil {
		name = key
	}
	mac := n.hot.basic.macOf(name, pw)
	for range tries {
		lease := n.hot.lease.Load()
		if !lease.Valid(n.clock.read()) {
			return Identity{}, ErrNotCurrent // before the hash
		}
		claims := n.knownBasic(name, mac)
		var err error
		if claims == nil {
			claims, err = n.firstBasic(ctx, basicGuess{name, pw, mac, o})
		}
		switch {
		case errors.Is(err, errChanged):
			continue
		case err != nil && !errors.Is(err, ErrInvalidBasic):
			return Identity{}, err
		case !lease.Valid(n.clock.read()):
			return Identity{}, ErrNotCurrent
		}
		return Identity{claims}, err
	}
	return Identity{}, fmt.Errorf("%w: the account keeps changing", ErrNotCurrent)
}

// knownBasic returns the claims of a credential that was verified before, nil if it was not or the account has changed.
func (n *Node) knownBasic(name string, mac basicMAC) *token.Claims {
	n.mu.RLock()
	u := n.state.names[name]
	if u == nil {
		n.mu.RUnlock()
		return nil
	}
	id, seq := u.id, u.basicSeq()
	n.mu.RUnlock()
	return n.hot.basic.find(id, seq, mac)
}

// basicGuess is a name and a password that came with a request.
type basicGuess struct {
	name, password string
	mac            basicMAC
	origin         Origin
}

// firstBasic computes the hash and returns the claims of the account, or ErrInvalidBasic; errChanged when it is not the
// account any more that the hash was compared with.
func (n *Node) firstBasic(ctx context.Context, g basicGuess) (*token.Claims, error) {
	acc := n.account(g.name)
	ok, err := n.tryBasic(ctx, acc, g)
	switch {
	case err != nil:
		return nil, err
	case !ok:
		return nil, ErrInvalidBasic
	}
	n.mu.RLock()
	u := n.state.users[acc.id]
	if u == nil || u.basicSeq() != acc.basicSeq() {
		n.mu.RUnlock()
		return nil, errChanged
	}
	c := n.state.basicClaims(u)
	n.mu.RUnlock()
	n.hot.basic.add(acc.id, basicEntry{acc.basicSeq(), g.mac, c})
	return c, nil
}

// basicClaims returns what a user name and a password say: who it is, with all that it may. Node.mu is held.
func (s *state) basicClaims(u *user) *token.Claims {
	scopes := s.grants(u)
	return &token.Claims{
		Subject: u.id.String(), Scope: strings.Join(scopes, " "), Scopes: scopes, Roles: s.rolesWithin(u, scopes),
		Expires: never, Start: uint64(u.flag),
	}
}

// basicSeq is the newest sequence of what the claims of Basic, and its credential, depend on.
func (u *user) basicSeq() uint64   { return max(u.seq, u.credSeq, u.stale) }
func (a account) basicSeq() uint64 { return max(a.seq, a.credSeq, a.stale) }

// tryBasic reports whether a password opens acc. Who makes the same guess at the same time, from one address, shares one hash, one
// reservation and one note of its failure, also where there is no such account: the numbers of hashes would tell that.
func (n *Node) tryBasic(ctx context.Context, acc account, g basicGuess) (bool, error) {
	c := &n.hot.basic
	key := g.key(acc)
	c.mu.Lock()
	t := c.trials[key]
	if t == nil {
		t = &trial{done: make(chan struct{})}
		// Whoever came first may hang up; the others still want to know.
		shared := context.WithoutCancel(ctx)
		if !n.work.Go(func() { n.carryOut(shared, t, acc, g) }) {
			c.mu.Unlock()
			return false, ErrClosed
		}
		if c.trials == nil {
			c.trials = map[trialKey]*trial{}
		}
		c.trials[key] = t
	}
	c.mu.Unlock()
	select {
	case <-t.done:
		return t.ok, t.err
	case <-ctx.Done():
		return false, busy(ctx.Err())
	}
}

// carryOut is a trial.
func (n *Node) carryOut(ctx context.Context, t *trial, acc account, g basicGuess) {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	defer context.AfterFunc(n.ctx, cancel)()
	at := n.guessAt(acc, g.name, g.origin)
	at.patience = basicPatience
	t.ok, t.err = n.tryGuess(ctx, at, acc, g.password)
	switch current := n.hot.lease.Load().Valid(n.clock.read()); {
	case t.err != nil || !current:
	case t.ok:
		n.forgive(at) // no session says that it was right
	default:
		n.noteFailure(acc, LoginRequest{Name: g.name, Origin: g.origin})
	}
	c := &n.hot.basic
	c.mu.Lock()
	delete(c.trials, g.key(acc))
	c.mu.Unlock()
	close(t.done)
}

// maxBasic bounds the accounts whose credential is remembered: about 5 MB.
const maxBasic = 1 << 13

// basicCache remembers which user name and password were right, so that the slow hash is not computed on every request. An
// entry holds for an account as it was at a sequence; of a password it has nothing but a MAC under a key that never leaves
// this replica's memory. The zero basicCache has no key yet.
type basicCache struct {
	key     []byte
	mu      sync.Mutex
	entries map[events.ID]basicEntry // one a user
	trials  map[trialKey]*trial
}

type basicMAC [sha256.Size]byte

type basicEntry struct {
	seq    uint64
	mac    basicMAC
	claims *token.Claims
}

// trialKey names a guess upon an account as it is at a sequence, which is 0 for a name that nobody has, from an address: others
// have other limits.
type trialKey struct {
	mac     basicMAC
	seq     uint64
	address string
}

func (g *basicGuess) key(acc account) trialKey {
	return trialKey{g.mac, acc.basicSeq(), g.origin.Address}
}

// trial is a hash that is being computed. ok and err are final when done is closed.
type trial struct {
	done chan struct{}
	ok   bool
	err  error
}

// macOf returns the MAC of a name and a password.
func (c *basicCache) macOf(name, pw string) basicMAC {
	m := hmac.New(sha256.New, c.key)
	var size [8]byte
	binary.BigEndian.PutUint64(size[:], uint64(len(name)))
	m.Write(size[:])
	m.Write([]byte(name))
	m.Write([]byte(pw))
	return basicMAC(m.Sum(nil))
}

// find returns the claims of a credential that was right for the account of id at seq, or nil.
func (c *basicCache) find(id events.ID, seq uint64, mac basicMAC) *token.Claims {
	c.mu.Lock()
	e, ok := c.entries[id]
	c.mu.Unlock()
	if !ok || e.seq != seq || !hmac.Equal(e.mac[:], mac[:]) {
		return nil
	}
	return e.claims
}

// add remembers a credential that was right.
func (c *basicCache) add(id events.ID, e basicEntry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries == nil {
		c.entries = map[events.ID]basicEntry{}
	}
	if _, known := c.entries[id]; !known && len(c.entries) >= maxBasic {
		for other := range c.entries { // any one
			delete(c.entries, other)
			break
		}
	}
	c.entries[id] = e
}
