package node

import (
	"context"
	"fmt"
	"slices"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/password"
)

// AuthenticateClient checks a confidential client's secret, or that a client without one is public (secret ""). The error is
// ErrInvalidClient for every reason to refuse, and a *LimitedError when this guess has to wait.
func (n *Node) AuthenticateClient(ctx context.Context, id, secret string, o Origin) error {
	lease := n.hot.lease.Load()
	if !lease.Valid(n.clock.read()) {
		return ErrNotCurrent // before the hash
	}
	s := n.clientSecrets(id)
	ok, err := n.secretOpens(ctx, id, s, secret, o)
	if err != nil {
		return busy(err)
	}
	if !lease.Valid(n.clock.read()) {
		return ErrNotCurrent
	}
	if !ok {
		return ErrInvalidClient
	}
	return nil
}

// clientSecrets is what a client's authentication is decided on. The zero value is a client that does not exist or is
// disabled.
type clientSecrets struct {
	hash string // "" for a public client
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

// secretOpens compares a secret with those of a client.
func (n *Node) secretOpens(ctx context.Context, id string, s clientSecrets, secret string, o Origin) (bool, error) {
	if s.seq != 0 && s.hash == "" {
		return secret == "", nil
	}
	// No id has a space in it: the two secrets of one client do not push each other out of the cache.
	newest, old := id, id+" old"
	if s.seq != 0 && (n.clients.known(newest, secret, s.seq) || s.old != "" && n.clients.known(old, secret, s.seq)) {
		return true, nil
	}
	entry := newest
	g := guess{nameHash: n.hashName("client\x00" + id), origin: o, patience: guessPatience}
	ok, err := n.guarded(ctx, g, func(h *password.Hasher) (bool, error) {
		if s.seq == 0 {
			return false, h.VerifyUnknown(ctx, secret)
		}
		r, err := h.Verify(ctx, s.hash, secret)
		if err == nil && !r.OK && s.old != "" {
			entry = old
			r, err = n.hasher.Verify(ctx, s.old, secret) // the same guess: it is reserved once
		}
		return r.OK, err
	})
	if ok && err == nil {
		n.clients.add(entry, secret, s.seq)
		n.forgive(g)
	}
	return ok, err
}

// ClientToken gives an authenticated client an access token for itself (RFC 6749 section 4.4); there is no refresh token.
func (n *Node) ClientToken(ctx context.Context, id string, asked []string, o Origin) (Tokens, error) {
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
