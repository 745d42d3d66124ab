package node

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/token"
)

// TokenInfo is what there is to say about a token that is good (RFC 7662 section 2.2). Read only.
type TokenInfo struct {
	Refresh  bool   // it is a refresh token, for which no resource may be served
	Subject  string // user id, or client id for a client's own token
	Username string // login name; "" for a client's own token
	Client   string // "client_id"
	Scope    string // space separated
	Roles    []string
	Issuer   string    // "" for an API key
	Audience []string  // none for a refresh token and an API key
	ID       string    // "jti", or the id of an API key; "" for a refresh token
	Session  events.ID // zero for an API key

	// Unix seconds. Expires is 0 for an API key that does not expire.
	IssuedAt, NotBefore, Expires, AuthTime int64
}

// Introspect returns what there is to say about a token, and whether it is good: an access token or an API key that Verify accepts, or
// a refresh token that Refresh would rotate for its client. A refresh token is good for nobody but its own client, so that no service
// takes one for an access token: client is the one that asks, "" for a first-party login. Both answers hold under a lease only,
// else the error is ErrNotCurrent.
func (n *Node) Introspect(ctx context.Context, tok, client string) (info TokenInfo, active bool, err error) {
	look := n.introspectAccess
	if strings.HasPrefix(tok, token.RefreshPrefix) {
		look = func(ctx context.Context, tok string) (TokenInfo, error) { return n.introspectRefresh(ctx, tok, client) }
	}
	switch info, err = look(ctx, tok); {
	case err == nil:
		return info, true, nil
	case errors.Is(err, ErrInvalidToken), errors.Is(err, ErrInvalidGrant):
		return TokenInfo{}, false, nil
	}
	return TokenInfo{}, false, err
}

func (n *Node) introspectAccess(ctx context.Context, tok string) (TokenInfo, error) {
	id, err := n.Verify(ctx, tok)
	if err != nil {
		return TokenInfo{}, err
	}
	c := id.c
	info := TokenInfo{
		Subject: c.Subject, Client: c.ClientID, Scope: c.Scope, Roles: c.Roles, Issuer: c.Issuer, Audience: c.Audience, ID: c.ID,
		Session: events.ID(c.Session), IssuedAt: c.IssuedAt, NotBefore: max(c.NotBefore, c.IssuedAt), Expires: c.Expires, AuthTime: c.AuthTime,
	}
	if c.Expires == never {
		info.Expires = 0
	}
	lease := n.hot.lease.Load()
	if user, err := events.ParseID(c.Subject); err == nil {
		n.mu.RLock()
		if u := n.state.users[user]; u != nil {
			info.Username = u.name
		}
		n.mu.RUnlock()
	}
	if !lease.Valid(n.clock.read()) {
		return TokenInfo{}, ErrNotCurrent
	}
	return info, nil
}

func (n *Node) introspectRefresh(ctx context.Context, tok, client string) (TokenInfo, error) {
	lease := n.hot.lease.Load()
	r, err := n.authenticRefresh(ctx, tok)
	if err == nil {
		lease = n.hot.lease.Load() // it may have waited for the token's sequence
	}
	var info TokenInfo
	if err == nil {
		info, err = n.refreshInfo(r, client)
	}
	if !lease.Valid(n.clock.read()) {
		return TokenInfo{}, ErrNotCurrent
	}
	return info, err
}

// refreshInfo describes an authentic refresh token, or says why it is not good for client.
func (n *Node) refreshInfo(r token.Refresh, client string) (TokenInfo, error) {
	v, err := n.viewRefresh(r)
	if err != nil {
		return TokenInfo{}, err
	}
	if v.client != client || v.number != r.Generation {
		return TokenInfo{}, fmt.Errorf("%w: not the newest one of this client", ErrInvalidGrant)
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	ses := n.state.sessions[v.session]
	if ses == nil {
		return TokenInfo{}, fmt.Errorf("%w: session has ended", ErrInvalidGrant)
	}
	c, _ := n.claims(ses, v.generation)
	return TokenInfo{
		Refresh: true, Subject: c.Subject, Username: ses.user.name, Client: c.ClientID, Scope: c.Scope, Roles: c.Roles, Issuer: c.Issuer,
		Session: ses.id, IssuedAt: c.IssuedAt, NotBefore: c.IssuedAt, Expires: min(ses.idleExpires, ses.expires), AuthTime: c.AuthTime,
	}, nil
}
