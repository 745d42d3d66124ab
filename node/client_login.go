package node

import (
	"context"
	"fmt"
	"slices"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/password"
)

// AuthenticateClient checks a confidential client's secret, or that a client without one is public (secret ""). It returns the
// sequence of the client's record that it checked: a grant that is handed it is the client's as it was then, or ErrClientChanged.
// The error is ErrInvalidClient for every reason to refuse, and a *LimitedError when this guess has to wait.
func (n *Node) AuthenticateClient(ctx context.Context, id, secret string, o Origin) (seq uint64, err error) {
	for range tries {
		lease := n.hot.lease.Load()
		if !lease.Valid(n.clock.read()) {
			return 0, ErrNotCurrent // before the hash
		}
		s := n.clientSecrets(id)
		ok, err := n.secretOpens(ctx, id, s, secret, o)
		if err != nil {
			return 0, busy(err)
		}
		lease = n.hot.lease.Load() // once more, as in prove
		same := n.clientSecrets(id) == s
		switch {
		case !lease.Valid(n.clock.read()):
			return 0, ErrNotCurrent
		case !same:
			continue
		case !ok:
			return 0, ErrInvalidClient
		}
		return s.seq, nil
	}
	return 0, fmt.Errorf("%w: the client keeps changing", ErrNotCurrent)
}

// sameClient returns ErrClientChanged unless a client that was authenticated at a sequence, 0 for one that was not, has the record of
// then.
func sameClient(authenticated, seq uint64) error {
	if authenticated != 0 && authenticated != seq {
		return ErrClientChanged
	}
	return nil
}

// clientSecrets is what a client's authentication is decided on. The zero value is a client that does not exist or is
// disabled.
type clientSecrets struct {
	hash string // "" for a public client; else see client_secret.go
	old  string // of the secret before it, while that is good
	seq  uint64
}

func (n *Node) clientSecrets(id string) clientSecrets {
	now := n.unix(n.clock.read())
	n.mu.RLock()
	defer n.mu.RUnlock()
	c := n.state.clients[id]
	if c == nil || c.disabled {
		return clientSecrets{}
	}
	s := clientSecrets{hash: c.hash, seq: c.seq}
	if now < c.oldExpires {
		s.old = c.oldHash
	}
	return s
}

// secretOpens compares a secret with those of a client. By which way is for the form of the secret alone to say, so that the way
// tells nothing about the client.
func (n *Node) secretOpens(ctx context.Context, id string, s clientSecrets, secret string, o Origin) (bool, error) {
	switch {
	case s.seq != 0 && s.hash == "" && secret == "":
		return true, nil
	case isClientSecret(secret): // nobody guesses one
		return s.digested(secret), nil
	}
	g := guess{nameHash: n.hashName("client\x00" + id), origin: o, patience: guessPatience}
	at := secretOwner{g.nameHash, networkOf(o.Address)}
	mac := n.clients.macOf(id, secret)
	if n.secretKnown(g, at, s, mac) {
		return true, nil
	}
	return n.share(ctx, &n.clients, trialKey{at, mac, s.seq}, func(ctx context.Context) (bool, error) {
		return n.guessSecret(ctx, g, at, s, rememberedSecret{seq: s.seq, mac: mac}, secret)
	})
}

// secretKnown reports whether a secret was right before, from the same network. Guesses at the client from there close what is
// remembered, so that it cannot be guessed at without a hash; what others do elsewhere does not keep the client out.
func (n *Node) secretKnown(g guess, at secretOwner, s clientSecrets, mac secretMAC) bool {
	if s.seq == 0 {
		return false
	}
	_, ok := n.clients.find(at, s.seq, mac)
	if !ok && s.old != "" {
		_, ok = n.clients.find(at.old(), s.seq, mac)
	}
	if !ok {
		return false
	}
	g.known = true
	wait, _ := n.guessWait(g)
	return wait <= 0
}

// old is where the secret before the newest one is remembered: while both are in use they do not push each other out.
func (o secretOwner) old() secretOwner {
	o.id[0] ^= 0xff
	return o
}

// guessSecret computes the hash, and notes what came of it.
func (n *Node) guessSecret(
	ctx context.Context, g guess, at secretOwner, s clientSecrets, e rememberedSecret, secret string,
) (bool, error) {
	ok, err := n.guarded(ctx, g, func(h *password.Hasher) (ok bool, err error) {
		hashes := s.slow()
		if len(hashes) == 0 {
			return false, h.VerifyUnknown(ctx, secret)
		}
		for i, hash := range hashes {
			r, err := h.Verify(ctx, hash, secret)
			if r.OK || err != nil {
				if hash == s.old {
					at = at.old()
				}
				return r.OK, err
			}
			if i == 0 {
				h = n.hasher // the same guess: it is reserved once
			}
		}
		return false, nil
	})
	if ok && err == nil {
		n.clients.add(at, e)
		n.forgive(g)
	}
	return ok, err
}

// ClientToken gives a client that was authenticated at a sequence an access token for itself (RFC 6749 section 4.4); there is no
// refresh token. ErrClientChanged, and the errors of Login.
func (n *Node) ClientToken(ctx context.Context, id string, authenticated uint64, asked []string, o Origin) (Tokens, error) {
	if n.nearlyFull(loginShare) {
		return Tokens{}, ErrFull
	}
	for range tries {
		lease := n.hot.lease.Load()
		n.mu.RLock()
		c := n.state.clients[id]
		var seq uint64
		var allowed []string
		if c != nil && !c.disabled && c.hash != "" {
			seq, allowed = c.seq, slices.DeleteFunc(slices.Clone(c.scope), isOpenID) // which is about a user
		}
		n.mu.RUnlock()
		if !lease.Valid(n.clock.read()) || !n.signing.ready() {
			return Tokens{}, ErrNotCurrent
		}
		if seq == 0 {
			return Tokens{}, ErrInvalidClient
		}
		if err := sameClient(authenticated, seq); err != nil {
			return Tokens{}, err
		}
		scope, err := grantScope(asked, allowed)
		if err != nil {
			return Tokens{}, err
		}
		now := n.unix(n.clock.read())
		d := &events.ClientToken{
			Session: events.NewID(), Client: id, Scope: scope, IssuedAt: now, AccessExpires: now + seconds(n.cfg.AccessTTL), ClientSeq: seq,
		}
		if o.Actor == "" {
			o.Actor = id
		}
		out, err := n.commit(ctx, n.newEvent(d, d.Session.String(), o), plain)
		if err != nil {
			return Tokens{}, err
		}
		if out.void == "" {
			return n.mint(d.Session, generation{seq: out.seq, issuedAt: d.IssuedAt, expires: d.AccessExpires})
		}
	}
	return Tokens{}, fmt.Errorf("%w: the client keeps changing", ErrUnknownOutcome)
}
