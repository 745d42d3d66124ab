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

// oldEntry names a client's former secret in the cache. No id has a space in it: its two secrets do not push each other out.
func oldEntry(id string) string { return id + " old" }

// secretOpens compares a secret with those of a client. Who presents the same one at the same time, from one network, shares one hash
// and one reservation: a service asks over many connections, all at once when this replica has just started.
func (n *Node) secretOpens(ctx context.Context, id string, s clientSecrets, secret string, o Origin) (bool, error) {
	if s.seq != 0 && s.hash == "" {
		return secret == "", nil
	}
	if s.seq != 0 && (n.clients.known(id, secret, s.seq) || s.old != "" && n.clients.known(oldEntry(id), secret, s.seq)) {
		return true, nil
	}
	c := &n.clients
	key := secretTrial{id, networkOf(o.Address), s.seq, s.old != "", c.mac(secret)}
	c.mu.Lock()
	t := c.trials[key]
	if t == nil {
		t = &trial{done: make(chan struct{})}
		// Whoever came first may hang up; the others still want to know.
		shared := context.WithoutCancel(ctx)
		if !n.work.Go(func() { n.trySecret(shared, t, key, s, secret, o) }) {
			c.mu.Unlock()
			return false, ErrClosed
		}
		if c.trials == nil {
			c.trials = map[secretTrial]*trial{}
		}
		c.trials[key] = t
	}
	c.mu.Unlock()
	select {
	case <-t.done:
		return t.ok, t.err
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// trySecret is a trial.
func (n *Node) trySecret(ctx context.Context, t *trial, key secretTrial, s clientSecrets, secret string, o Origin) {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	defer context.AfterFunc(n.ctx, cancel)()
	entry := key.id
	g := guess{nameHash: n.hashName("client\x00" + key.id), origin: o, patience: guessPatience}
	t.ok, t.err = n.guarded(ctx, g, func(h *password.Hasher) (bool, error) {
		if s.seq == 0 {
			return false, h.VerifyUnknown(ctx, secret)
		}
		r, err := h.Verify(ctx, s.hash, secret)
		if err == nil && !r.OK && s.old != "" {
			entry = oldEntry(key.id)
			r, err = n.hasher.Verify(ctx, s.old, secret) // the same guess: it is reserved once
		}
		return r.OK, err
	})
	if t.ok && t.err == nil {
		n.clients.add(entry, secret, s.seq)
		n.forgive(g)
	}
	n.clients.mu.Lock()
	delete(n.clients.trials, key)
	n.clients.mu.Unlock()
	close(t.done)
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
