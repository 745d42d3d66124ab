package node

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/token"
)

// CodeRedemption presents an authorization code (RFC 6749 section 4.1.3, RFC 7636 section 4.5).
type CodeRedemption struct {
	Code     string
	Client   string // authenticated OAuth client, or a public one; must be the one that the code was given to
	Redirect string // must be that of the authorization request, "" if that named none
	Verifier string // code_verifier
	Origin   Origin

	ClientSeq uint64 // as in LoginRequest
}

// codeView is what a redemption is decided on.
type codeView struct {
	id        events.ID
	user      events.ID
	userSeq   uint64
	clientSeq uint64
	scope     []string
	issuedAt  int64
	session   events.ID // that it was redeemed for; zero: none
}

// RedeemCode starts the session that a code stands for; with the scope openid there is an ID token (OpenID Connect Core 1.0
// section 3.1.3.3). The log's order makes one redemption the winner. Any other one, at whatever time and replica, ends that
// session on every replica: client, redirect URI and verifier fit, so what only the client has is in two hands, or the client
// does what RFC 6749 section 4.1.2 forbids. Whoever has the code alone does no harm: without the verifier he is refused, and
// the code stays good.
//
// ErrInvalidGrant for every reason to refuse; the others as Login's.
func (n *Node) RedeemCode(ctx context.Context, r CodeRedemption) (Tokens, error) {
	if n.nearlyFull(loginShare) {
		return Tokens{}, ErrFull
	}
	lease := n.hot.lease.Load()
	k, ok := n.openCode(r.Code)
	if !lease.Valid(n.clock.read()) || !n.signing.ready() {
		return Tokens{}, ErrNotCurrent
	}
	if !ok {
		return Tokens{}, fmt.Errorf("%w: not a code of this log", ErrInvalidGrant)
	}
	if err := n.catchUp(ctx, k.seq); err != nil {
		return Tokens{}, err
	}
	for range tries {
		lease := n.hot.lease.Load()
		v, err := n.viewCode(k, r)
		switch {
		case !lease.Valid(n.clock.read()):
			return Tokens{}, ErrNotCurrent
		case err != nil:
			return Tokens{}, err
		case !v.session.IsZero():
			return Tokens{}, n.codeReplayed(ctx, v, r.Origin)
		}
		t, err := n.redeem(ctx, v, r, &k)
		if !errors.Is(err, errChanged) {
			return t, err
		}
	}
	return Tokens{}, fmt.Errorf("%w: the account or the client keeps changing", ErrUnknownOutcome)
}

// viewCode reads the record of a code and compares it with what was presented. A code that was redeemed is returned as one
// for as long as it is remembered.
func (n *Node) viewCode(k codeText, r CodeRedemption) (codeView, error) {
	now := n.unix(n.clock.read())
	n.mu.RLock()
	defer n.mu.RUnlock()
	id := k.id()
	c := n.state.codes[id]
	switch {
	case c == nil:
		return codeView{}, fmt.Errorf("%w: the code has expired", ErrInvalidGrant)
	case c.client.id != r.Client:
		return codeView{}, fmt.Errorf("%w: code of another client", ErrInvalidGrant)
	case sameClient(r.ClientSeq, c.client.seq) != nil:
		return codeView{}, ErrClientChanged
	case !k.opens(r):
		return codeView{}, fmt.Errorf("%w: redirect URI or code_verifier is not that of the code", ErrInvalidGrant)
	case c.session.IsZero() && (now >= c.expires || !c.live()):
		return codeView{}, fmt.Errorf("%w: the code has expired", ErrInvalidGrant)
	}
	return codeView{
		id: id, user: c.user.id, userSeq: c.user.seq, clientSeq: c.client.seq, scope: c.scope, issuedAt: c.issuedAt, session: c.session,
	}, nil
}

// opens reports whether the redirect URI and the verifier in r are those that k was issued for.
func (k *codeText) opens(r CodeRedemption) bool {
	if !verifierForm(r.Verifier) {
		return false
	}
	challenge := sha256.Sum256([]byte(r.Verifier))
	redirect := hashRedirect(r.Redirect)
	return subtle.ConstantTimeCompare(challenge[:], k.challenge[:]) == 1 &&
		(redirect == k.redirect || r.Redirect == "" && !k.named)
}

// verifierForm reports whether s is a code_verifier: 43 to 128 unreserved characters (RFC 7636 section 4.1).
func verifierForm(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '.', c == '_', c == '~':
		default:
			return false
		}
	}
	return len(s) >= 43 && len(s) <= 128
}

// redeem starts the session.
func (n *Node) redeem(ctx context.Context, v codeView, r CodeRedemption, k *codeText) (Tokens, error) {
	d := n.newSession(v.user, v.userSeq, r.Client, v.scope, k.remember)
	d.ClientSeq, d.Code, d.AuthTime = v.clientSeq, v.id, v.issuedAt
	o := r.Origin
	if o.Actor == "" {
		o.Actor = v.user.String()
	}
	out, err := n.commit(ctx, n.newEvent(d, d.Session.String(), o), plain)
	switch {
	case err != nil:
		return Tokens{}, err
	case out.void != "":
		return Tokens{}, errChanged // the next look says whether the code or the account
	}
	t, err := n.mint(d.Session, generation{seq: out.seq, issuedAt: d.IssuedAt, expires: d.AccessExpires})
	if err == nil && contains(t.Scope, scopeOpenID) {
		t.IDToken, err = n.mintID(d, t.AccessToken, k.nonce)
	}
	return t, err
}

// mintID signs the ID token that goes with the first access token of a session (OpenID Connect Core 1.0 section 2).
func (n *Node) mintID(d *events.SessionStarted, access, nonce string) (string, error) {
	s := n.signing.with.Load()
	if s == nil {
		return "", fmt.Errorf("%w: the signing key was revoked a moment ago", ErrNotCurrent)
	}
	id, err := s.access.SignID(token.IDClaims{
		Issuer: n.cfg.Issuer, Subject: d.User.String(), ClientID: d.Client, Nonce: nonce, Expires: d.AccessExpires, IssuedAt: d.IssuedAt,
		AuthTime: d.AuthTime, Session: d.Session, AccessToken: access,
	})
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	return id, nil
}

// codeReplayed ends the session of a code that was redeemed before.
func (n *Node) codeReplayed(ctx context.Context, v codeView, o Origin) error {
	if o.Actor == "" {
		o.Actor = v.user.String()
	}
	o.Reason = "authorization_code_replayed"
	if err := n.revokeSession(ctx, v.session, o); err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	return fmt.Errorf("%w: the code was used before; the session has ended", ErrInvalidGrant)
}
