package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/knell-auth/knell/events"
)

// SigningKey is what a replica signs tokens with, or did.
type SigningKey struct {
	ID      string // RFC 7638 thumbprint, the "kid"
	Alg     string
	Node    string // name of the replica
	Seq     uint64 // of the event that published it
	Revoked bool
	Live    bool // a token of it may be live: it is in the JWKS
}

// Keys returns all signing keys in the order in which they came into the log.
func (n *Node) Keys() []SigningKey {
	n.mu.RLock()
	defer n.mu.RUnlock()
	list := make([]SigningKey, 0, len(n.state.keys))
	for _, k := range n.keysLocked() {
		list = append(list, SigningKey{
			ID: k.id, Alg: k.verify.Algorithm(), Node: k.node, Seq: k.seq, Revoked: k.revoked, Live: n.state.verifies(k),
		})
	}
	return list
}

// keysLocked returns the keys in the order of the log. n.mu is held.
func (n *Node) keysLocked() []*signingKey {
	list := make([]*signingKey, 0, len(n.state.keys))
	for _, k := range n.state.keys {
		list = append(list, k)
	}
	slices.SortFunc(list, func(a, b *signingKey) int { return int(a.seq) - int(b.seq) })
	return list
}

// JWKS returns the JWK Set (RFC 7517 section 5) of the keys that may verify a live token, and ErrNotCurrent without a lease: a
// set that lacks a new key, or has one that was revoked, would be a wrong answer.
func (n *Node) JWKS() ([]byte, error) {
	lease := n.hot.lease.Load()
	n.mu.RLock()
	set := []byte(`{"keys":[`)
	for _, k := range n.keysLocked() {
		if !n.state.verifies(k) {
			continue
		}
		if set[len(set)-1] != '[' {
			set = append(set, ',')
		}
		set = append(set, k.verify.JWK()...)
	}
	n.mu.RUnlock()
	if !lease.Valid(n.clock.read()) {
		return nil, ErrNotCurrent
	}
	return append(set, "]}"...), nil
}

// RevokeKey makes every token that was signed with a replica's key invalid: the access tokens of the key, and the refresh tokens
// of the same replica, whose key lies beside it. It returns when no replica accepts them any more. The replica, if it lives,
// makes new keys. Errors: ErrNotFound and the common ones.
func (n *Node) RevokeKey(ctx context.Context, kid string, o Origin) error {
	if len(kid) != thumbprintLen || !clientID(kid) {
		return fmt.Errorf("%w: key", ErrNotFound)
	}
	return n.change(ctx, &events.SigningKeyRevoked{Key: kid}, kid, o)
}

// thumbprintLen is the length of a kid.
const thumbprintLen = 43

// dropKeys stops this replica from signing with a key that was revoked. The apply loop calls it with n.mu held.
func (n *Node) dropKeys(kid string) {
	if s := n.signing.with.Load(); s == nil || s.access.KeyID() != kid {
		return
	}
	n.signing.with.Store(nil)
	select {
	case n.signing.revoked <- struct{}{}:
	default:
	}
}

// renewRetry is how long renewKeys waits after a failure.
const renewRetry = time.Second

// renewKeys makes new keys whenever those of this replica were revoked, until the node ends.
func (n *Node) renewKeys() {
	for {
		select {
		case <-n.signing.revoked:
		case <-n.ctx.Done():
			return
		}
		n.log.Warn("the signing key of this replica was revoked; it makes a new one")
		for n.ctx.Err() == nil {
			err := n.obtainKeys(n.ctx)
			if err == nil {
				break
			}
			n.log.Warn("no signing key yet", "error", err)
			select {
			case <-time.After(renewRetry):
			case <-n.ctx.Done():
			}
		}
	}
}

// errKeyRevoked: the key that this replica was about to sign with was revoked.
var errKeyRevoked = errors.New("signing key was revoked")

// obtainKeys lets this replica issue tokens: with the keys in its directory, or with new ones if those were revoked.
func (n *Node) obtainKeys(ctx context.Context) error {
	for {
		n.keeping.saved.mu.Lock()
		id := n.keeping.saved.identity
		n.keeping.saved.mu.Unlock()
		s, err := id.signer()
		if err != nil {
			return err
		}
		if err := n.publishKeys(ctx, s); !errors.Is(err, errKeyRevoked) {
			return err
		}
		if err := n.replaceKeys(id); err != nil {
			return err
		}
	}
}

// replaceKeys gives this replica's directory new keys. A crash before they are published is no loss: the next life does that.
func (n *Node) replaceKeys(id identity) error {
	if err := id.newKeys(id.algorithm()); err != nil {
		return err
	}
	saved := &n.keeping.saved
	saved.mu.Lock()
	defer saved.mu.Unlock()
	saved.Alg, saved.Signing, saved.Refresh = id.Alg, id.Signing, id.Refresh
	return saved.save(n.cfg.Dir)
}

// publishKeys puts the public keys of s into the log and waits until every live replica knows them: only then may a token be
// signed, because a replica refuses a key that it does not know.
func (n *Node) publishKeys(ctx context.Context, s *signer) error {
	kid := s.access.KeyID()
	n.mu.RLock()
	k, newest := n.state.keys[kid], n.state.signers[n.cfg.Name]
	spent := k != nil && !k.of(n.cfg.Name) // of a directory that had another name, it does not vouch for this one
	n.mu.RUnlock()
	switch {
	case spent:
		return errKeyRevoked
	case k == nil || k != newest:
		key := &events.NodeKey{
			Key: kid, Alg: s.access.Key().Algorithm(), Public: s.access.Key().Public(), RefreshPublic: s.refresh.Public(), Incarnation: n.life.inc,
		}
		out, err := n.commit(ctx, n.newEvent(key, kid, Origin{Actor: "system"}), narrowing)
		if err != nil {
			return fmt.Errorf("publish signing key: %w", err)
		}
		if out.void != "" && out.void != voidExists {
			return fmt.Errorf("publish signing key: void (%s)", out.void)
		}
	}
	// A key of an earlier life may be younger than that life's barrier: wait for it again.
	if err := n.barrier(ctx, n.keySeq(kid)); err != nil {
		return fmt.Errorf("publish signing key: %w", err)
	}
	n.mu.RLock() // the apply loop revokes and drops keys under the same lock
	defer n.mu.RUnlock()
	if !n.state.keys[kid].of(n.cfg.Name) {
		return errKeyRevoked
	}
	n.signing.with.Store(s)
	return nil
}
