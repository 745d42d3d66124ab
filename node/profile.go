package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/password"
)

// Greatest lengths of what describes a user, in bytes.
const (
	maxEmail    = 254 // RFC 5321 section 4.5.3.1.3, without the brackets
	maxFullName = 256
)

// PasswordChange is a user's change of its own password.
type PasswordChange struct {
	User    events.ID
	Session events.ID // the session in which it is asked for, and which goes on; zero: all end
	Old     string
	New     string
	Origin  Origin
}

// ChangePassword sets a user's own password. It returns when no replica accepts a token of the user's other sessions any
// more. Its caller has verified a token of the session on this replica. A wrong old password is ErrWrongPassword, and counts
// like a failed login; a *LimitedError says that this guess has to wait; ErrRevoked: the session has ended meanwhile.
// ErrBadRequest, *BusyError and the common errors.
func (n *Node) ChangePassword(ctx context.Context, c PasswordChange) error {
	if err := password.CheckNew(c.New); err != nil {
		return fmt.Errorf("%w: %w", ErrBadRequest, err)
	}
	hash := ""
	for range tries {
		acc, name, err := n.ownAccount(c.User, c.Session)
		if err != nil {
			return err
		}
		ok, err := n.tryPassword(ctx, acc, name, c.Old, c.Origin)
		if err != nil {
			return err
		}
		now, _, err := n.ownAccount(c.User, c.Session) // once more, as in prove
		if err != nil {
			return err
		}
		if !now.opensAs(acc) {
			continue
		}
		acc = now
		if !ok {
			n.noteFailure(acc, LoginRequest{Name: name, Origin: c.Origin})
			return ErrWrongPassword
		}
		if hash == "" {
			if hash, err = n.newHash(ctx, c.New, ""); err != nil {
				n.forgive(n.guessAt(acc, name, c.Origin)) // the old password was right
				return err
			}
		}
		// Void if the password, or anything else of the account, changed since it was looked at, and if the session has ended.
		d := &events.SecretPassword{User: acc.id, Hash: hash, UserSeq: acc.seq, Except: c.Session}
		if err := n.change(ctx, d, acc.id.String(), actor(c.Origin, acc.id)); !errors.Is(err, errChanged) {
			return err
		}
	}
	return fmt.Errorf("%w: the account keeps changing", ErrUnknownOutcome)
}

// ownAccount returns the account and the name of a user who asks in a session, which must be live unless it is zero.
func (n *Node) ownAccount(user, session events.ID) (acc account, name string, err error) {
	err = n.whileCurrent(func() {
		if u := n.state.users[user]; u != nil && u.has(n.state, session) {
			acc, name = n.state.accountOf(u), u.name
		}
	})
	if err == nil && acc.id.IsZero() {
		err = ErrRevoked
	}
	return acc, name, err
}

// UserChange says what a user is called from now on. Nil: as it is.
type UserChange struct {
	Name     *string
	Email    *string // "" removes it
	FullName *string // "" removes it
}

// ChangeUser changes what a user is called, and returns when every replica knows. ErrBadRequest, ErrExists for a name that
// another user has, ErrNotFound and the common errors.
func (n *Node) ChangeUser(ctx context.Context, id events.ID, c UserChange, o Origin) error {
	var name string
	if c.Name != nil {
		var err error
		if name, err = normalName(*c.Name); err != nil {
			return err
		}
	}
	email, fullName, err := checkDescription(deref(c.Email), deref(c.FullName))
	if err != nil {
		return err
	}
	if n.nearlyFull(adminShare) {
		return ErrFull
	}
	return n.changeUser(ctx, id, o, func(u *user) events.Payload {
		d := &events.SecretProfile{User: id, Name: u.name, Email: u.email, FullName: u.fullName, UserSeq: u.seq}
		if c.Name != nil {
			d.Name = name
		}
		if c.Email != nil {
			d.Email = email
		}
		if c.FullName != nil {
			d.FullName = fullName
		}
		return d
	})
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// DeleteUser ends a user's sessions and removes the account; its name is free again. It returns when no replica accepts a
// token of the user any more, also with ErrNotFound: whoever repeats the deletion may rely on that. ErrOwnAccount and the
// common errors.
func (n *Node) DeleteUser(ctx context.Context, id events.ID, o Origin) error {
	if err := othersOnly(id, o); err != nil {
		return err
	}
	out, err := n.commit(ctx, n.newEvent(&events.UserRevoked{User: id, Cause: "deleted"}, id.String(), o), narrowing)
	if err != nil || out.void == "" {
		return err
	}
	return n.gone(ctx, "user")
}

// othersOnly refuses what would take the administration out of the hands that ask for it: nobody locks himself out over
// HTTP, so there always is an administrator left. On the local socket the actor is "local", who may do all.
func othersOnly(id events.ID, o Origin) error {
	if o.Actor == id.String() {
		return ErrOwnAccount
	}
	return nil
}

// UserPage is a part of the list of users.
type UserPage struct {
	Users []User // by name
	Next  string // the name after which the next page begins, "" at the end
}

// ListUsers returns at most limit users whose names come after a name, by name. ErrNotCurrent. It looks at every user, but
// keeps no more than a page of them.
func (n *Node) ListUsers(after string, limit int) (UserPage, error) {
	var page UserPage
	err := n.whileCurrent(func() {
		names := firstNames(n.state.names, after, limit+1)
		if len(names) > limit {
			names = names[:limit]
			page.Next = names[limit-1]
		}
		for _, name := range names {
			u, _ := n.state.names[name].view()
			page.Users = append(page.Users, u)
		}
	})
	return page, err
}

// firstNames returns the first count names that come after a name, in order.
func firstNames(names map[string]*user, after string, count int) []string {
	var first []string
	for name := range names {
		full := len(first) == count
		if name <= after || full && name >= first[count-1] {
			continue
		}
		if full {
			first = first[:count-1]
		}
		i, _ := slices.BinarySearch(first, name)
		first = slices.Insert(first, i, name)
	}
	return first
}

// User returns a user by its opaque id. ErrNotFound, ErrNotCurrent.
func (n *Node) User(id events.ID) (User, error) {
	var u User
	var ok bool
	if err := n.whileCurrent(func() { u, ok = n.state.users[id].view() }); err != nil {
		return User{}, err
	}
	if !ok {
		return User{}, fmt.Errorf("%w: user", ErrNotFound)
	}
	return u, nil
}

// UserNamed returns a user by login name. ErrNotFound, also for what is no name, and ErrNotCurrent.
func (n *Node) UserNamed(name string) (User, error) {
	key, err := normalName(name)
	if err != nil {
		return User{}, fmt.Errorf("%w: user", ErrNotFound)
	}
	var u User
	var ok bool
	if err := n.whileCurrent(func() { u, ok = n.state.names[key].view() }); err != nil {
		return User{}, err
	}
	if !ok {
		return User{}, fmt.Errorf("%w: user", ErrNotFound)
	}
	return u, nil
}

// checkDescription returns an email address and a full name without surrounding space, or an error. Nothing is sent to the
// address, and two users may have the same: it is looked at only as far as that it can be one.
func checkDescription(email, fullName string) (string, string, error) {
	email, fullName = strings.TrimSpace(email), strings.TrimSpace(fullName)
	if email != "" {
		local, domain, ok := strings.Cut(email, "@")
		if !ok || local == "" || domain == "" || len(email) > maxEmail || strings.ContainsAny(email, " <>,;") ||
			strings.Contains(domain, "@") || !printable(email) {
			return "", "", fmt.Errorf("%w: email is not an address of at most %d bytes", ErrBadRequest, maxEmail)
		}
	}
	visible := strings.Map(dropJoiners, fullName)
	if len(fullName) > maxFullName || !utf8.ValidString(fullName) || fullName != "" && (visible == "" || !printable(visible)) {
		return "", "", fmt.Errorf("%w: full_name must have at most %d bytes, all of them printable", ErrBadRequest, maxFullName)
	}
	return email, fullName, nil
}

// dropJoiners removes the two joiners that some scripts need inside of words.
func dropJoiners(r rune) rune {
	if unicode.Is(unicode.Join_Control, r) {
		return -1
	}
	return r
}
