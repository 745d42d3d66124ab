package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/knell-auth/knell/events"
)

// Revocation says what an administrator ends. Exactly one member is set.
type Revocation struct {
	Session    events.ID
	User       events.ID // all its sessions; the account stays
	Client     string    // all sessions through it and its own tokens; the client stays
	SigningKey string    // kid: no token that it signed is good any more; sessions live on by their refresh tokens of other keys
	Everything bool      // every session and token
}

// check returns an error unless exactly one member is set.
func (r Revocation) check() error {
	set := 0
	for _, is := range []bool{!r.Session.IsZero(), !r.User.IsZero(), r.Client != "", r.SigningKey != "", r.Everything} {
		if is {
			set++
		}
	}
	if set != 1 {
		return fmt.Errorf("%w: want one of session, user, client, signing key and everything", ErrBadRequest)
	}
	return nil
}

// payload returns the one event that carries r out, and its subject. Whether there is anything to end is for the log to
// decide: this replica may lag within its lease.
func (r Revocation) payload() (d events.Payload, subject string) {
	switch {
	case !r.User.IsZero():
		return &events.UserRevoked{User: r.User}, r.User.String()
	case r.Client != "":
		return &events.ClientRevoked{Client: r.Client}, r.Client
	case r.SigningKey != "":
		return &events.SigningKeyRevoked{Key: r.SigningKey}, r.SigningKey
	}
	return &events.AllRevoked{}, ""
}

// Revoke appends one event, with the reason in o, and returns when no replica accepts what it ends any more. What has ended
// already is waited for just the same. ErrBadRequest, ErrNotFound and the common errors.
func (n *Node) Revoke(ctx context.Context, r Revocation, o Origin) error {
	if err := r.check(); err != nil {
		return err
	}
	if !r.Session.IsZero() {
		return n.EndSession(ctx, r.Session, events.ID{}, o)
	}
	d, subject := r.payload()
	err := n.change(ctx, d, subject, o)
	if errors.Is(err, ErrNotFound) {
		return fmt.Errorf("%w: nothing to revoke", ErrNotFound)
	}
	return err
}

// WouldRevoke returns how many live sessions r would end if it were carried out now, a client's own tokens among them, and
// changes nothing. ErrBadRequest, ErrNotFound, ErrNotCurrent.
func (n *Node) WouldRevoke(r Revocation) (int, error) {
	if err := r.check(); err != nil {
		return 0, err
	}
	var count int
	var known bool
	if err := n.whileCurrent(func() { count, known = n.state.wouldRevoke(r) }); err != nil {
		return 0, err
	}
	if !known {
		return 0, fmt.Errorf("%w: nothing to revoke", ErrNotFound)
	}
	return count, nil
}

// wouldRevoke counts the sessions that r would end, and reports whether there is what it names.
func (s *state) wouldRevoke(r Revocation) (count int, known bool) {
	switch {
	case !r.Session.IsZero():
		_, ended := s.revoked.Lookup(r.Session)
		if s.sessions[r.Session] != nil {
			return 1, true
		}
		return 0, ended
	case !r.User.IsZero():
		if u := s.users[r.User]; u != nil {
			return u.count, true
		}
		return 0, false
	case r.Client != "":
		c := s.clients[r.Client]
		for _, ses := range s.sessions {
			if c != nil && ses.client == c {
				count++
			}
		}
		return count, c != nil
	case r.SigningKey != "":
		return 0, s.keys[r.SigningKey] != nil
	}
	return len(s.sessions), true
}
