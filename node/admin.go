package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/password"
)

// CreateUser creates a user and returns when every replica knows it. Errors: ErrExists, ErrBadRequest and the common ones.
func (n *Node) CreateUser(ctx context.Context, nu NewUser, o Origin) (User, error) {
	name, err := normalName(nu.Name)
	if err != nil {
		return User{}, err
	}
	if err := errors.Join(checkWords("role", nu.Roles), checkWords("scope", nu.Scope)); err != nil {
		return User{}, err
	}
	if n.account(name).id != (events.ID{}) {
		return User{}, fmt.Errorf("%w: user", ErrExists)
	}
	if n.nearlyFull(adminShare) {
		return User{}, ErrFull
	}
	hash, err := n.newHash(ctx, nu.Password, nu.Hash)
	if err != nil {
		return User{}, err
	}
	d := &events.SecretUser{
		User: events.NewID(), Name: name, Hash: hash, Roles: nu.Roles, Scope: nu.Scope, Disabled: nu.Disabled,
	}
	if err := n.change(ctx, d, d.User.String(), o); err != nil {
		return User{}, err
	}
	u, ok := n.UserByID(d.User)
	if !ok {
		return User{}, ErrNotFound
	}
	return u, nil
}

// newHash returns the hash to be stored: of a new password, or an imported one as it is.
func (n *Node) newHash(ctx context.Context, pw, imported string) (string, error) {
	if (pw == "") == (imported == "") {
		return "", fmt.Errorf("%w: want a password or a hash, and not both", ErrBadRequest)
	}
	if imported != "" {
		if err := password.CheckEncoded(imported); err != nil {
			return "", fmt.Errorf("%w: %w", ErrBadRequest, err)
		}
		return imported, nil
	}
	if err := password.CheckNew(pw); err != nil {
		return "", fmt.Errorf("%w: %w", ErrBadRequest, err)
	}
	hash, err := n.hasher.Hash(ctx, pw)
	return hash, busy(err)
}

// change commits an event that narrows, or creates what all replicas must know, and settles the public record of a secret
// one.
func (n *Node) change(ctx context.Context, data events.Payload, subject string, o Origin) error {
	e := n.newEvent(data, subject, o)
	out, err := n.commit(ctx, e, narrowing)
	if err != nil {
		return err
	}
	n.settleRecord(ctx, out.seq)
	switch out.void {
	case "":
		return nil
	case voidExists:
		return ErrExists
	case voidGone:
		return ErrNotFound
	case voidNoop:
		// It was so already, and the log says so: done when every replica has applied what made it so.
		return n.barrier(ctx, out.seq)
	case voidChanged:
		return errChanged
	}
	return fmt.Errorf("%w: void (%s)", ErrUnknownOutcome, out.void)
}

// changeUser validates a command against a user's record and commits it, anew while the record changes under it. It answers
// nothing from the local state alone: a replica that lags, within its lease, does not know yet of the session or the change
// that the caller has just seen elsewhere. Whether there is anything to do is decided by the log's order.
func (n *Node) changeUser(ctx context.Context, id events.ID, o Origin, data func(u *user) events.Payload) error {
	for range tries {
		n.mu.RLock()
		u := n.state.users[id]
		var d events.Payload
		if u != nil {
			d = data(u)
		}
		n.mu.RUnlock()
		if u == nil {
			return fmt.Errorf("%w: user", ErrNotFound)
		}
		if err := n.change(ctx, d, id.String(), o); !errors.Is(err, errChanged) {
			return err
		}
	}
	return fmt.Errorf("%w: the user keeps changing", ErrUnknownOutcome)
}

// DisableUser ends a user's sessions and lets nobody log in until EnableUser. It returns when no replica accepts a token of
// the user any more.
func (n *Node) DisableUser(ctx context.Context, id events.ID, o Origin) error {
	return n.changeUser(ctx, id, o, func(u *user) events.Payload {
		return &events.UserRevoked{User: id, Cause: "disabled", UserSeq: u.seq}
	})
}

// EnableUser lifts a DisableUser. Old sessions stay ended.
func (n *Node) EnableUser(ctx context.Context, id events.ID, o Origin) error {
	return n.changeUser(ctx, id, o, func(u *user) events.Payload {
		return &events.UserEnabled{User: id, UserSeq: u.seq}
	})
}

// RevokeUser ends all sessions of a user. It returns when no replica accepts a token of them any more.
func (n *Node) RevokeUser(ctx context.Context, id events.ID, o Origin) error {
	return n.changeUser(ctx, id, o, func(*user) events.Payload { return &events.UserRevoked{User: id} })
}

// SetPassword sets a password and ends the user's sessions.
func (n *Node) SetPassword(ctx context.Context, id events.ID, pw string, o Origin) error {
	hash, err := n.newHash(ctx, pw, "")
	if err != nil {
		return err
	}
	return n.changeUser(ctx, id, o, func(u *user) events.Payload {
		return &events.SecretPassword{User: id, Hash: hash, UserSeq: u.seq}
	})
}

// SetRoles replaces roles and scopes. Access tokens issued before are stale on every replica when it returns; sessions go on.
func (n *Node) SetRoles(ctx context.Context, id events.ID, roles, scope []string, o Origin) error {
	if err := errors.Join(checkWords("role", roles), checkWords("scope", scope)); err != nil {
		return err
	}
	if n.nearlyFull(adminShare) {
		return ErrFull
	}
	return n.changeUser(ctx, id, o, func(u *user) events.Payload {
		return &events.UserRolesChanged{User: id, Roles: roles, Scope: scope, UserSeq: u.seq}
	})
}

// UserByID returns a user by its opaque id.
func (n *Node) UserByID(id events.ID) (User, bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.state.users[id].view()
}

// UserByName returns a user by login name.
func (n *Node) UserByName(name string) (User, bool) {
	key, err := normalName(name)
	if err != nil {
		return User{}, false
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.state.names[key].view()
}

// Users returns all users, by name.
func (n *Node) Users() []User {
	n.mu.RLock()
	defer n.mu.RUnlock()
	list := make([]User, 0, len(n.state.users))
	for _, u := range n.state.users {
		v, _ := u.view()
		list = append(list, v)
	}
	slices.SortFunc(list, func(a, b User) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// view copies u for callers; Node.mu is held.
func (u *user) view() (User, bool) {
	if u == nil {
		return User{}, false
	}
	return User{
		ID: u.id, Name: u.name, Roles: slices.Clone(u.roles), Scope: slices.Clone(u.scope), Disabled: u.disabled,
		Created: time.Unix(u.created, 0).UTC(), Sessions: u.count,
	}, true
}

// maxClientName bounds the name of a client that people see, in bytes.
const maxClientName = 256

// CreateClient creates an OAuth client and returns when every replica knows it.
func (n *Node) CreateClient(ctx context.Context, nc NewClient, o Origin) error {
	if !clientID(nc.ID) {
		return fmt.Errorf("%w: client id must have 1 to 64 of A-Z a-z 0-9 . _ -, and must not look like a user id", ErrBadRequest)
	}
	if len(nc.Name) > maxClientName || !utf8.ValidString(nc.Name) || !printable(nc.Name) {
		return fmt.Errorf("%w: client name must have at most %d bytes, all of them printable", ErrBadRequest, maxClientName)
	}
	if n.nearlyFull(adminShare) {
		return ErrFull
	}
	if err := checkWords("scope", nc.Scope); err != nil {
		return err
	}
	d := &events.SecretClient{Client: nc.ID, Name: nc.Name, Scope: nc.Scope}
	if nc.Secret != "" {
		hash, err := n.newHash(ctx, nc.Secret, "")
		if err != nil {
			return err
		}
		d.Hash = hash
	}
	return n.change(ctx, d, nc.ID, o)
}

// clientID reports whether s may name a client. The subject of a client's own token is its id, and that of a user's token is
// the user's: no client may pass for a user.
func clientID(s string) bool {
	if _, err := events.ParseID(s); err == nil {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return s != "" && len(s) <= 64
}

// AuthenticateClient checks a confidential client's secret, or that a client without one is public (secret ""). The error is
// ErrInvalidClient for every reason to refuse, and a *LimitedError when this guess has to wait.
func (n *Node) AuthenticateClient(ctx context.Context, id, secret string, o Origin) error {
	lease := n.hot.lease.Load()
	if !lease.Valid(n.clock.read()) {
		return ErrNotCurrent // before the hash
	}
	n.mu.RLock()
	var hash string
	var seq uint64
	c := n.state.clients[id]
	if c != nil && !c.disabled {
		hash, seq = c.hash, c.seq
	}
	n.mu.RUnlock()
	ok, err := n.secretOpens(ctx, id, hash, secret, seq, o)
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

// secretOpens compares a secret with the record of a client at seq; seq 0 is a client that does not exist or is disabled.
func (n *Node) secretOpens(ctx context.Context, id, hash, secret string, seq uint64, o Origin) (bool, error) {
	switch {
	case seq != 0 && hash == "":
		return secret == "", nil
	case seq != 0 && n.clients.known(id, secret, seq):
		return true, nil
	}
	g := guess{nameHash: n.hashName("client\x00" + id), origin: o}
	ok, err := n.guarded(ctx, g, func(h *password.Hasher) (bool, error) {
		if seq == 0 {
			return false, h.VerifyUnknown(ctx, secret)
		}
		r, err := h.Verify(ctx, hash, secret)
		return r.OK, err
	})
	if ok && err == nil {
		n.clients.add(id, secret, seq)
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
			seq, allowed = c.seq, c.scope
		}
		n.mu.RUnlock()
		if !lease.Valid(n.clock.read()) || !n.signing.ready.Load() {
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
