package node

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/token"
)

// RevokeToken ends the session of an access or a refresh token, and with it all tokens of the session (RFC 7009 section 2.1). It
// returns nil only when no replica accepts the token any more; that holds from the start for what no replica ever accepted. That
// this one does not accept it (its key was revoked, or its session ended so long ago that it is forgotten) says nothing about one
// that lags within its lease: it is waited for. client is the authenticated client, "" for none: a token of another one's session is
// ErrInvalidGrant. An expired access token is as good as a fresh one, a refresh token that was used before as good as its successor.
// An API key is ErrUnsupportedToken. When ctx ends after the commit the error is a *PendingError.
func (n *Node) RevokeToken(ctx context.Context, tok, client string, o Origin) error {
	if _, _, isKey := parseAPIKey(tok); isKey {
		return ErrUnsupportedToken
	}
	owner := n.ownerOfAccess
	if strings.HasPrefix(tok, token.RefreshPrefix) {
		owner = n.ownerOfRefresh
	}
	b, err := owner(ctx, tok)
	switch {
	case neverGood(err):
		return nil
	case errors.Is(err, ErrInvalidToken), errors.Is(err, ErrInvalidGrant):
		return n.barrier(ctx, n.hot.applied.Load())
	case err != nil:
		return err
	case !b.ended && b.client != client:
		return fmt.Errorf("%w: token of another client", ErrInvalidGrant)
	}
	if o.Actor == "" {
		o.Actor = b.subject
	}
	if o.Reason == "" {
		o.Reason = "token_revoked"
	}
	if err = n.revokeSession(ctx, b.session, o); !errors.Is(err, ErrNotFound) {
		return err
	}
	return n.barrier(ctx, n.hot.applied.Load()) // log time has passed its end
}

// neverGood reports whether err is about a token that no replica of this log accepts, whatever it has applied.
func neverGood(err error) bool {
	for _, never := range []error{token.ErrMalformed, token.ErrSignature, token.ErrIssuer, token.ErrAudience} {
		if errors.Is(err, never) {
			return true
		}
	}
	return false
}

// belonging says whose a token is.
type belonging struct {
	session events.ID
	client  string // "" for a first-party login
	subject string
	ended   bool // the session has ended, and the token does not say whose it was
}

// ownerOfAccess looks at an access token. An error that is ErrInvalidToken holds under a lease.
func (n *Node) ownerOfAccess(ctx context.Context, tok string) (belonging, error) {
	c, err := n.authentic(ctx, tok, expiredOK)
	if err != nil {
		return belonging{}, err
	}
	return belonging{session: events.ID(c.Session), client: clientOf(c), subject: c.Subject}, nil
}

// ownerOfRefresh looks at a refresh token. An error that is ErrInvalidGrant holds under a lease.
func (n *Node) ownerOfRefresh(ctx context.Context, tok string) (belonging, error) {
	lease := n.hot.lease.Load()
	r, err := n.authenticRefresh(ctx, tok)
	if err == nil {
		lease = n.hot.lease.Load() // it may have waited for the token's sequence
	}
	b := belonging{session: events.ID(r.Session), ended: true}
	n.mu.RLock()
	if ses := n.state.sessions[b.session]; ses != nil && ses.user != nil {
		b.ended, b.subject = false, ses.user.id.String()
		if ses.client != nil {
			b.client = ses.client.id
		}
	}
	n.mu.RUnlock()
	if !lease.Valid(n.clock.read()) {
		return belonging{}, ErrNotCurrent
	}
	return b, err
}
