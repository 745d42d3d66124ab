package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/knell-auth/knell/events"
)

// CreateUser creates a user and returns when every replica knows it. Errors: ErrExists, ErrBadRequest and the common ones.
func (n *Node) CreateUser(ctx context.Context, nu NewUser, o Origin) (User, error) {
	nu, err := n.checkUser(nu)
	if err != nil {
		return User{}, err
	}
	if n.nearlyFull(adminShare) {
		return User{}, ErrFull
	}
	hash, err := n.newHash(ctx, nu.Password, nu.Hash)
	if err != nil {
		return User{}, err
	}
	d := &events.SecretUser{
		User: events.NewID(), Name: nu.Name, Hash: hash, Roles: nu.Roles, Scope: nu.Scope, Disabled: nu.Disabled, First: nu.First,
		Email: nu.Email, FullName: nu.FullName,
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

// checkUser returns nu with its texts in the form in which they are kept, or why it cannot be created. Of the password it
// says nothing.
func (n *Node) checkUser(nu NewUser) (NewUser, error) {
	var err error
	if nu.Name, err = normalName(nu.Name); err != nil {
		return nu, err
	}
	if nu.Email, nu.FullName, err = checkDescription(nu.Email, nu.FullName); err != nil {
		return nu, err
	}
	if err := errors.Join(checkWords("role", nu.Roles), checkWords("scope", nu.Scope)); err != nil {
		return nu, err
	}
	if n.account(nu.Name).id != (events.ID{}) {
		return nu, fmt.Errorf("%w: user", ErrExists)
	}
	return nu, nil
}

// newHash returns the hash to be stored: of a new password, or an imported one as it is.
func (n *Node) newHash(ctx context.Context, pw, imported string) (string, error) {
	if err := checkCredential(pw, imported); err != nil {
		return "", err
	}
	if imported != "" {
		return imported, nil
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
		return n.gone(ctx, "what was named")
	case voidNoop:
		// It was so already, and the log says so: done when every replica has applied what made it so.
		return n.barrier(ctx, out.seq)
	case voidChanged:
		return errChanged
	}
	return fmt.Errorf("%w: void (%s)", ErrUnknownOutcome, out.void)
}

// gone returns ErrNotFound once every replica has applied what this one has. Whoever repeats a request takes that for the word that
// nothing of what was named is accepted any more.
func (n *Node) gone(ctx context.Context, what string) error {
	if err := n.barrier(ctx, n.hot.applied.Load()); err != nil {
		return err
	}
	return fmt.Errorf("%w: %s", ErrNotFound, what)
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
			return n.gone(ctx, "user")
		}
		if err := n.change(ctx, d, id.String(), o); !errors.Is(err, errChanged) {
			return err
		}
	}
	return fmt.Errorf("%w: the user keeps changing", ErrUnknownOutcome)
}

// DisableUser ends a user's sessions and lets nobody log in until EnableUser. It returns when no replica accepts a token of
// the user any more. ErrOwnAccount, too.
func (n *Node) DisableUser(ctx context.Context, id events.ID, o Origin) error {
	if err := othersOnly(id, o); err != nil {
		return err
	}
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
// ErrOwnAccount, too.
func (n *Node) SetRoles(ctx context.Context, id events.ID, roles, scope []string, o Origin) error {
	if err := othersOnly(id, o); err != nil {
		return err
	}
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

// view copies u for callers; Node.mu is held.
func (u *user) view() (User, bool) {
	if u == nil {
		return User{}, false
	}
	return User{
		ID: u.id, Name: u.name, Email: u.email, FullName: u.fullName, Roles: slices.Clone(u.roles),
		Scope: slices.Clone(u.scope), Disabled: u.disabled, Created: time.Unix(u.created, 0).UTC(), Sessions: u.count,
	}, true
}
