package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/knell-auth/knell/events"
)

// NewAPIKey describes an API key to be made.
type NewAPIKey struct {
	User  events.ID
	Name  string   // what its owner calls it: at most 256 bytes
	Scope []string // what it may do, as far as its owner may
	Life  time.Duration
}

// APIKey is an API key as the state knows it, without what would open anything. Times that are not known are zero.
type APIKey struct {
	ID         events.ID
	Name       string
	Scope      []string
	Created    time.Time
	Expires    time.Time // zero: never
	OldExpires time.Time // until when the secret before the last rotation is good
	LastUsed   time.Time // to about an hour
}

// Limits of API keys.
const (
	DefaultKeyLife = 90 * 24 * time.Hour // of a key for which none is given
	KeyForEver     = -1 * time.Second    // for NewAPIKey.Life
	MaxKeyLife     = 10 * 365 * 24 * time.Hour
	MaxKeyOverlap  = 30 * 24 * time.Hour // of a rotation
	maxKeyName     = 256
	maxKeys        = 100 // of one user; those that have expired do not count
)

// CreateAPIKey makes an API key and returns it with its text, which is nowhere else and cannot be had again, when every
// replica knows it. Errors: ErrNotFound for the user, ErrBadRequest, ErrInvalidScope for what the user may not be granted,
// ErrConflict, *LimitedError for users who make their own keys too fast, and the common ones.
func (n *Node) CreateAPIKey(ctx context.Context, nk NewAPIKey, o Origin) (APIKey, string, error) {
	if len(nk.Name) > maxKeyName || !utf8.ValidString(nk.Name) || !printable(nk.Name) {
		return APIKey{}, "", fmt.Errorf("%w: the name of a key must have at most %d bytes, all of them printable", ErrBadRequest, maxKeyName)
	}
	if err := checkWords("scope", nk.Scope); err != nil {
		return APIKey{}, "", err
	}
	if n.nearlyFull(adminShare) {
		return APIKey{}, "", ErrFull
	}
	d := &events.SecretAPIKey{Key: events.NewID(), User: nk.User, Name: nk.Name, Scope: nk.Scope}
	switch life := nk.Life; {
	case life == KeyForEver:
	case life < 0 || life > 0 && life < time.Second || life > MaxKeyLife:
		return APIKey{}, "", fmt.Errorf("%w: a key must live for 1 s to %d days", ErrBadRequest, int(MaxKeyLife.Hours())/24)
	default:
		setDefault(&life, DefaultKeyLife)
		d.Expires = n.unix(n.clock.read()) + seconds(life)
	}
	text, digest := newAPIKeyText(d.Key)
	d.Digest = digest[:]
	err := n.changeKey(ctx, nk.User, d.Key, o, func() (events.Payload, error) {
		c := *d
		var err error
		c.UserSeq, err = n.state.mayHaveKey(nk.User, nk.Scope)
		return &c, err
	})
	return n.shown(d.Key, text, err)
}

// changeKey validates a command about a key of a user and commits it, anew while what it was validated against changes under it, until that is
// ErrConflict. data is called with n.mu held. What users do with their own keys is paced, as refreshes are.
func (n *Node) changeKey(ctx context.Context, owner, key events.ID, o Origin, data func() (events.Payload, error)) error {
	for range tries {
		n.mu.RLock()
		d, err := data()
		if err == nil && o.Actor == owner.String() {
			err = n.paced(n.state.users[owner].pace, n.unix(n.clock.read()), rotationCost)
		}
		n.mu.RUnlock()
		if err != nil {
			return err
		}
		if err := n.change(ctx, d, key.String(), o); !errors.Is(err, errChanged) {
			return err
		}
	}
	return fmt.Errorf("%w: the key or its owner", ErrConflict)
}

// shown returns a key that was made or rotated, unless err says that it was not.
func (n *Node) shown(key events.ID, text string, err error) (APIKey, string, error) {
	if err != nil {
		return APIKey{}, "", err
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	k := n.state.access.keys[key]
	if k == nil { // revoked since
		return APIKey{}, "", errNoKey
	}
	return k.view(), text, nil
}

// errNoKey: there is no such key, or not for this user.
var errNoKey = fmt.Errorf("%w: API key", ErrNotFound)

// mayHaveKey returns the sequence of a user who may have another key with these scopes. Node.mu is held.
func (s *state) mayHaveKey(id events.ID, scope []string) (seq uint64, err error) {
	u := s.users[id]
	if u == nil {
		return 0, fmt.Errorf("%w: user", ErrNotFound)
	}
	if s.liveKeys(u) >= maxKeys {
		return 0, fmt.Errorf("%w: the user has %d API keys already", ErrBadRequest, maxKeys)
	}
	allowed := s.grants(u)
	for _, w := range scope {
		if !slices.Contains(allowed, w) {
			return 0, fmt.Errorf("%w: the user may not be granted %q", ErrInvalidScope, w)
		}
	}
	return u.seq, nil
}

// APIKeys returns the keys of a user, the oldest first.
func (n *Node) APIKeys(user events.ID) []APIKey {
	n.mu.RLock()
	defer n.mu.RUnlock()
	u := n.state.users[user]
	if u == nil {
		return nil
	}
	list := make([]APIKey, 0, len(u.keys))
	for _, k := range u.keys {
		list = append(list, k.view())
	}
	return list
}

// RotateAPIKey gives a key of a user a new secret and returns its text as CreateAPIKey does. The secret until now is good for
// overlap more; without one, no replica accepts it when this returns. One that was replaced before ends now. Errors:
// ErrNotFound for a key that the user does not have, ErrBadRequest, also for a key that has expired, ErrConflict, and the common ones.
func (n *Node) RotateAPIKey(ctx context.Context, user, key events.ID, overlap time.Duration, o Origin) (APIKey, string, error) {
	if overlap < 0 || overlap > MaxKeyOverlap {
		return APIKey{}, "", fmt.Errorf("%w: the overlap must be 0 to %d days", ErrBadRequest, int(MaxKeyOverlap.Hours())/24)
	}
	if n.nearlyFull(adminShare) {
		return APIKey{}, "", ErrFull
	}
	now := n.unix(n.clock.read())
	d := &events.SecretAPIKeyRotated{Key: key, User: user}
	if overlap > 0 {
		d.OldExpires = now + seconds(overlap)
	}
	text, digest := newAPIKeyText(key)
	d.Digest = digest[:]
	err := n.changeKey(ctx, user, key, o, func() (events.Payload, error) {
		k := n.state.access.keys[key]
		if k == nil || k.user.id != user {
			return nil, errNoKey
		}
		c := *d
		c.KeySeq = k.seq
		switch {
		case k.expires == 0:
		case k.expires <= now:
			return nil, fmt.Errorf("%w: the key has expired", ErrBadRequest)
		default:
			c.OldExpires = min(c.OldExpires, k.expires)
		}
		return &c, nil
	})
	return n.shown(key, text, err)
}

// RevokeAPIKey ends a key of a user. It returns nil only when no replica accepts it any more; for one that was revoked within
// the last day, too. Errors: ErrNotFound, *PendingError as Logout, and the common ones.
func (n *Node) RevokeAPIKey(ctx context.Context, user, key events.ID, o Origin) error {
	n.mu.RLock()
	k := n.state.access.keys[key]
	live := k != nil && k.user.id == user
	n.mu.RUnlock()
	if live {
		out, err := n.commit(ctx, n.newEvent(&events.APIKeyRevoked{Key: key}, key.String(), o), narrowing)
		if err != nil || out.void == "" {
			return err
		}
	}
	seq, ok := n.state.revoked.Lookup(endedKey(user, key))
	if !ok {
		return errNoKey
	}
	return n.barrier(ctx, seq)
}

// view copies k for callers; Node.mu is held.
func (k *apiKey) view() APIKey {
	return APIKey{
		ID: k.id, Name: k.name, Scope: slices.Clone(k.scope), Created: timeOf(k.created), Expires: timeOf(k.expires),
		OldExpires: timeOf(k.oldExpires), LastUsed: timeOf(k.usedAt),
	}
}
