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
		claims := n.knownBasic(basicGuess{name, pw, mac, o})
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

// knownBasic returns the claims of a credential that was verified before, from the same network; nil if it was not, if the account
// has changed, or if a guess from there is under way or has to wait: whoever guesses learns nothing from what is remembered.
func (n *Node) knownBasic(g basicGuess) *token.Claims {
	n.mu.RLock()
	u := n.state.names[g.name]
	if u == nil {
		n.mu.RUnlock()
		return nil
	}
	acc := account{id: u.id, seq: u.seq, credSeq: u.credSeq, stale: u.stale}
	n.mu.RUnlock()
	c := n.hot.basic.find(g.owner(acc), acc.basicSeq(), g.mac)
	if c == nil {
		return nil
	}
	if wait, _ := n.guessWait(guess{user: acc.id, origin: g.origin}); wait > 0 {
		return nil
	}
	return c
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
	n.hot.basic.add(g.owner(acc), basicEntry{acc.basicSeq(), g.mac, c})
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

// tryBasic reports whether a password opens acc. Who makes the same guess at the same time, from one network, shares one hash, one
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
			c.trials, c.busy = map[trialKey]*trial{}, map[basicOwner]int{}
		}
		c.trials[key] = t
		c.busy[key.owner]++
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
	if c.busy[g.owner(acc)]--; c.busy[g.owner(acc)] == 0 {
		delete(c.busy, g.owner(acc))
	}
	c.mu.Unlock()
	close(t.done)
}

// maxBasic bounds the credentials that are remembered: about 5 MB.
const maxBasic = 1 << 13

// basicCache remembers which user name and password were right, so that the slow hash is not computed on every request. An
// entry holds for an account as it was at a sequence; of a password it has nothing but a MAC under a key that never leaves
// this replica's memory. The zero basicCache has no key yet.
type basicCache struct {
	key     []byte
	mu      sync.Mutex
	entries map[basicOwner]basicEntry
	trials  map[trialKey]*trial
	busy    map[basicOwner]int // how many trials there are
}

// basicOwner is an account, at a network that guesses at it are counted for. The id is zero for a name that nobody has.
type basicOwner struct {
	user    events.ID
	network uint64
}

func (g *basicGuess) owner(acc account) basicOwner {
	return basicOwner{acc.id, networkOf(g.origin.Address)}
}

type basicMAC [sha256.Size]byte

type basicEntry struct {
	seq    uint64
	mac    basicMAC
	claims *token.Claims
}

// trialKey names a guess upon an account as it is at a sequence, which is 0 for a name that nobody has.
type trialKey struct {
	owner basicOwner
	mac   basicMAC
	seq   uint64
}

func (g *basicGuess) key(acc account) trialKey {
	return trialKey{g.owner(acc), g.mac, acc.basicSeq()}
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

// find returns the claims of a credential that was right for owner at seq, or nil.
func (c *basicCache) find(owner basicOwner, seq uint64, mac basicMAC) *token.Claims {
	c.mu.Lock()
	e, ok := c.entries[owner]
	busy := c.busy[owner] > 0
	c.mu.Unlock()
	if !ok || busy || e.seq != seq || !hmac.Equal(e.mac[:], mac[:]) {
		return nil
	}
	return e.claims
}

// add remembers a credential that was right.
func (c *basicCache) add(owner basicOwner, e basicEntry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries == nil {
		c.entries = map[basicOwner]basicEntry{}
	}
	if _, known := c.entries[owner]; !known && len(c.entries) >= maxBasic {
		for other := range c.entries { // any one
			delete(c.entries, other)
			break
		}
	}
	c.entries[owner] = e
}
