package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/knell-auth/knell/events"
)

// Session is a live session as its user sees it.
type Session struct {
	ID        events.ID
	Client    string // OAuth client, "" for a first-party login
	Scope     []string
	Address   string // of the newest login or refresh, as it was recorded; "": not known
	UserAgent string
	Remember  bool
	Started   time.Time
	Refreshed time.Time // zero: never
	Expires   time.Time // when it ends unless it is used; no refresh is possible after it
}

// UserSessions returns the live sessions of a user, the newest first, none for a user that does not exist. ErrNotCurrent.
func (n *Node) UserSessions(user events.ID) ([]Session, error) {
	var list []Session
	err := n.whileCurrent(func() {
		now := n.unix(n.clock.read())
		if u := n.state.users[user]; u != nil {
			for ses := u.head; ses != nil; ses = ses.next {
				if sessionEnd(ses) > now {
					list = append(list, ses.view())
				}
			}
		}
	})
	return list, err
}

// whileCurrent takes the three steps of every answer that depends on the state: it reads the end of the lease, calls look
// with Node.mu held for reading, and compares the clocks with that same lease. Of ErrNotCurrent nothing may be answered.
func (n *Node) whileCurrent(look func()) error {
	lease := n.hot.lease.Load()
	n.mu.RLock()
	look()
	n.mu.RUnlock()
	if !lease.Valid(n.clock.read()) {
		return ErrNotCurrent
	}
	return nil
}

// view copies ses for callers; Node.mu is held.
func (ses *session) view() Session {
	v := Session{
		ID: ses.id, Scope: strings.Fields(ses.scope.Value()), Remember: ses.remember,
		Address: ses.device.address.String(), UserAgent: ses.device.agent.Value(),
		Started: time.Unix(ses.device.started, 0), Expires: time.Unix(sessionEnd(ses), 0),
	}
	if ses.client != nil {
		v.Client = ses.client.id
	}
	if ses.generation > 0 {
		v.Refreshed = time.Unix(ses.issuedAt, 0)
	}
	return v
}

// EndSession ends a session by its id; owner, unless it is zero, must be whose session it is. It returns when no replica
// accepts a token of it any more, also for one that ended lately. ErrNotFound: there is no such session, and there was none
// lately; the common errors.
//
// Ids that somebody makes up shall not fill the log, so they are not written down. This replica may lag within its lease: it
// waits until it knows all that was in the log when it was asked. Whose a session is never changes.
func (n *Node) EndSession(ctx context.Context, id, owner events.ID, o Origin) error {
	var live, foreign bool
	look := func() bool {
		n.mu.RLock()
		defer n.mu.RUnlock()
		ses := n.state.sessions[id]
		live = ses != nil
		foreign = live && !owner.IsZero() && (ses.user == nil || ses.user.id != owner)
		_, ended := n.state.revoked.Lookup(id)
		return live || ended
	}
	known, err := n.proven(ctx, look)
	switch {
	case err != nil:
		return err
	case !known || foreign:
		return fmt.Errorf("%w: session", ErrNotFound)
	case live:
		return n.endSession(ctx, id, owner, o)
	}
	return n.endedSession(ctx, id)
}

// endSession appends the revocation of a session and waits for the barrier.
func (n *Node) endSession(ctx context.Context, id, owner events.ID, o Origin) error {
	n.mu.RLock()
	if ses := n.state.sessions[id]; ses != nil && ses.user != nil && owner.IsZero() {
		owner = ses.user.id // for those who read the event: a session's user never changes
	}
	n.mu.RUnlock()
	d := &events.SessionRevoked{Session: id, User: owner}
	out, err := n.commit(ctx, n.newEvent(d, id.String(), o), narrowing)
	if err != nil || out.void == "" {
		return err
	}
	return n.endedSession(ctx, id) // somebody else ended it: it is done when that revocation is
}

// endedSession waits for the barrier of a revocation that is in the log. ErrNotFound: there is none.
func (n *Node) endedSession(ctx context.Context, id events.ID) error {
	seq, ok := n.state.revoked.Lookup(id)
	if !ok {
		return fmt.Errorf("%w: session", ErrNotFound)
	}
	return n.barrierOf(ctx, seq)
}

// LogoutOthers ends all sessions of the token's user but its own, which must be live. It returns when no replica accepts a
// token of them any more. ErrThirdParty for a client's token: what a user lends to a client does not end the user's other
// sessions. A *LimitedError for a session that asks for it again and again, since each time is an event. Verify's errors.
func (n *Node) LogoutOthers(ctx context.Context, accessToken string, o Origin) error {
	for range tries {
		id, user, err := n.verifyUser(ctx, accessToken)
		if err == nil {
			err = n.mayEndOthers(id.Session())
		}
		if err != nil {
			return err
		}
		err = n.change(ctx, &events.UserRevoked{User: user, Except: id.Session()}, user.String(), actor(o, user))
		if !errors.Is(err, errChanged) {
			return err
		}
	}
	return fmt.Errorf("%w: the session keeps changing", ErrUnknownOutcome)
}

// mayEndOthers returns a *LimitedError when a session ends others too fast. The first sixteen times it may.
func (n *Node) mayEndOthers(session events.ID) error {
	n.mu.RLock()
	defer n.mu.RUnlock()
	ses := n.state.sessions[session]
	if ses == nil { // ended since: the log says so
		return nil
	}
	return n.paced(ses.endings, n.unix(n.clock.read()), rotationCost)
}

// LogoutAll ends all sessions of the token's user. It returns when no replica accepts a token of them any more. A token that
// has ended gives no right to end others; but when it ended with all others, so that this is the same request again, it waits
// for the barrier of that. Errors as LogoutOthers.
func (n *Node) LogoutAll(ctx context.Context, accessToken string, o Origin) error {
	_, user, err := n.verifyUser(ctx, accessToken)
	if errors.Is(err, ErrRevoked) {
		return n.endedWithAll(ctx, accessToken)
	}
	if err != nil {
		return err
	}
	return n.change(ctx, &events.UserRevoked{User: user}, user.String(), actor(o, user))
}

// verifyUser verifies the token of a first-party log-in. ErrThirdParty for any other one.
func (n *Node) verifyUser(ctx context.Context, accessToken string) (Identity, events.ID, error) {
	id, err := n.Verify(ctx, accessToken)
	if err != nil {
		return Identity{}, events.ID{}, err
	}
	if id.Client() != "" {
		return Identity{}, events.ID{}, ErrThirdParty
	}
	user, err := events.ParseID(id.Subject())
	return id, user, err
}

// endedWithAll waits for the barrier of the newest cut-off of the token's user, if the token's session ended with it or before
// it. ErrRevoked: it did not.
func (n *Node) endedWithAll(ctx context.Context, accessToken string) error {
	c, err := n.authentic(ctx, accessToken, liveOnly)
	if err != nil {
		return err
	}
	user, err := events.ParseID(c.Subject)
	if err != nil || clientOf(c) != "" {
		return ErrRevoked
	}
	var cutoff uint64
	err = n.whileCurrent(func() {
		if u := n.state.users[user]; u != nil {
			cutoff = u.cutoff
		}
	})
	if err != nil {
		return err
	}
	if seq, ok := n.state.revoked.Lookup(events.ID(c.Session)); !ok || seq > cutoff {
		return ErrRevoked
	}
	return n.barrierOf(ctx, cutoff)
}

// actor returns o with its actor filled in: the user itself, if nobody is named.
func actor(o Origin, user events.ID) Origin {
	if o.Actor == "" {
		o.Actor = user.String()
	}
	return o
}
