package node

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/knell-auth/knell/internal/fence"
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
	id, err := n.verifyBasic(ctx, name, pw, o)
	if err != nil {
		n.refuse(err)
	}
	return id, err
}

func (n *Node) verifyBasic(ctx context.Context, name, pw string, o Origin) (Identity, error) {
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
			claims, lease, err = n.firstBasic(ctx, basicGuess{name, pw, mac, o})
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
	e, ok := n.hot.basic.find(g.owner(acc), acc.basicSeq(), g.mac)
	if !ok {
		return nil
	}
	if wait, _ := n.guessWait(guess{user: acc.id, origin: g.origin}); wait > 0 {
		return nil
	}
	return e.claims
}

// basicGuess is a name and a password that came with a request.
type basicGuess struct {
	name, password string
	mac            secretMAC
	origin         Origin
}

// firstBasic computes the hash and returns the claims of the account, or ErrInvalidBasic; errChanged when it is not the
// account any more that the hash was compared with. All of them hold under the lease that is returned: of after the hash, see prove.
func (n *Node) firstBasic(ctx context.Context, g basicGuess) (*token.Claims, *fence.Lease, error) {
	acc := n.account(g.name)
	ok, err := n.tryBasic(ctx, acc, g)
	if err != nil {
		return nil, nil, err
	}
	lease := n.hot.lease.Load()
	var now account
	var c *token.Claims
	n.mu.RLock()
	if u := n.state.names[g.name]; u != nil {
		now, c = n.state.accountOf(u), n.state.basicClaims(u)
	}
	n.mu.RUnlock()
	switch {
	case now.id != acc.id || now.basicSeq() != acc.basicSeq():
		return nil, lease, errChanged
	case !ok:
		return nil, lease, ErrInvalidBasic
	}
	n.hot.basic.add(g.owner(acc), rememberedSecret{seq: acc.basicSeq(), mac: g.mac, claims: c})
	return c, lease, nil
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
func (a account) basicSeq() uint64 { return max(a.seq, a.credSeq, a.stale) }

// tryBasic reports whether a password opens acc.
func (n *Node) tryBasic(ctx context.Context, acc account, g basicGuess) (bool, error) {
	return n.share(ctx, &n.hot.basic, g.key(acc), func(ctx context.Context) (bool, error) { return n.guessBasic(ctx, acc, g) })
}

// guessBasic computes the hash, and notes what came of it.
func (n *Node) guessBasic(ctx context.Context, acc account, g basicGuess) (bool, error) {
	at := n.guessAt(acc, g.name, g.origin)
	at.patience = basicPatience
	ok, err := n.tryGuess(ctx, at, acc, g.password)
	switch current := n.hot.lease.Load().Valid(n.clock.read()); {
	case err != nil || !current:
	case ok:
		n.forgive(at) // no session says that it was right
	default:
		n.noteFailure(acc, LoginRequest{Name: g.name, Origin: g.origin})
	}
	return ok, err
}

func (g *basicGuess) owner(acc account) secretOwner {
	return secretOwner{acc.id, networkOf(g.origin.Address)}
}

func (g *basicGuess) key(acc account) trialKey {
	return trialKey{g.owner(acc), g.mac, acc.basicSeq()}
}
