package node

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/knell-auth/knell/events"
)

// codeTTL is the life of an authorization code: RFC 6749 section 4.1.2 allows ten minutes, and a redirect takes none.
const codeTTL = time.Minute

// scopeOpenID asks for an ID token (OpenID Connect Core 1.0 section 3.1.2.1). It says who the user is and permits nothing, so
// it is the client that may ask for it, and no user has to have it.
const scopeOpenID = "openid"

func isOpenID(scope string) bool { return scope == scopeOpenID }

// CodeRequest is an authorization request (RFC 6749 section 4.1.1, RFC 7636 section 4.3) whose client and redirect URI have
// been found good.
type CodeRequest struct {
	Client    string   `json:"client"`
	Redirect  string   `json:"redirect"` // where the answer goes
	Named     bool     `json:"named"`    // the request named it, and so must the token request
	Scope     []string `json:"scope"`    // nil asks for all that the client and the user may have
	State     string   `json:"state"`
	Nonce     string   `json:"nonce"`
	Challenge string   `json:"challenge"` // code_challenge of the method S256
}

// challengeText is how code challenges are written: of all texts for the same 32 bytes one is good.
var challengeText = base64.RawURLEncoding.Strict()

// CheckChallenge returns an ErrBadRequest unless s is a code_challenge of the method S256 (RFC 7636 section 4.2).
func CheckChallenge(s string) error {
	_, err := parseChallenge(s)
	return err
}

func parseChallenge(s string) (challenge [32]byte, err error) {
	if len(s) != challengeText.EncodedLen(len(challenge)) {
		return challenge, fmt.Errorf("%w: code_challenge must have 43 characters", ErrBadRequest)
	}
	b, err := challengeText.DecodeString(s)
	if err != nil || len(b) != len(challenge) { // a line break is skipped by the decoder
		return challenge, fmt.Errorf("%w: code_challenge must be base64url without padding", ErrBadRequest)
	}
	return [32]byte(b), nil
}

// ClientForCode returns a client that may be given authorization codes. ErrInvalidClient: there is none of that id, or it is
// disabled, or the audience was renamed to its id after it was created; ErrNotCurrent as named.
func (n *Node) ClientForCode(id string) (Client, error) {
	c, err := n.ClientByID(id)
	if errors.Is(err, ErrNotFound) || err == nil && (c.Disabled || n.reserved(id)) {
		return Client{}, ErrInvalidClient
	}
	return c, err
}

// IssueCode checks the name and password of a user, of whom a client asks for a code, and returns the code. login's Client and
// Scope are not used. Of the scopes that were asked for the user gives those that he may have himself.
//
// ErrInvalidGrant: name, password or account is not good, and not which. ErrInvalidScope: the client may not have a scope, or
// the user none of them. ErrInvalidClient and ErrBadRequest: the client was disabled or its redirect URI taken away meanwhile.
// *LimitedError: this guess has to wait. *BusyError, ErrFull, ErrNotCurrent, ErrUnknownOutcome as named.
func (n *Node) IssueCode(ctx context.Context, r CodeRequest, login LoginRequest) (string, error) {
	challenge, err := parseChallenge(r.Challenge)
	if err != nil {
		return "", err
	}
	if n.nearlyFull(loginShare) {
		return "", ErrFull
	}
	for range tries {
		acc, err := n.prove(ctx, login)
		switch {
		case errors.Is(err, errChanged):
			continue
		case err != nil:
			return "", err
		}
		code, err := n.issueCode(ctx, acc, r, codeText{challenge: challenge, remember: login.Remember}, login.Origin)
		if err != nil && !errors.Is(err, errChanged) {
			n.forgive(n.guessAt(acc, login.Name, login.Origin)) // the password was right
		}
		if !errors.Is(err, errChanged) {
			return code, err
		}
	}
	return "", fmt.Errorf("%w: the account or the client keeps changing", ErrUnknownOutcome)
}

func (n *Node) issueCode(ctx context.Context, acc account, r CodeRequest, k codeText, o Origin) (string, error) {
	lease := n.hot.lease.Load()
	clientSeq, scope, err := n.viewCodeRequest(acc, r)
	now := n.clock.read()
	switch {
	case !lease.Valid(now):
		return "", ErrNotCurrent
	case err != nil:
		return "", err
	}
	k.named, k.redirect, k.nonce = r.Named, hashRedirect(r.Redirect), r.Nonce
	rand.Read(k.random[:])
	d := &events.CodeIssued{
		Code: k.id(), User: acc.id, Client: r.Client, Scope: scope, IssuedAt: n.unix(now), Expires: n.unix(now) + seconds(codeTTL),
		UserSeq: acc.seq, ClientSeq: clientSeq,
	}
	if o.Actor == "" {
		o.Actor = acc.id.String()
	}
	out, err := n.commit(ctx, n.newEvent(d, acc.id.String(), o), plain)
	switch {
	case err != nil:
		return "", err
	case out.void != "":
		return "", errChanged
	}
	k.seq = out.seq
	return n.sealCode(k), nil
}

// viewCodeRequest returns what of r is granted, by the client's record at the sequence.
func (n *Node) viewCodeRequest(acc account, r CodeRequest) (clientSeq uint64, scope []string, err error) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	c := n.state.clients[r.Client]
	switch {
	case c == nil || c.disabled || n.reserved(c.id):
		return 0, nil, ErrInvalidClient
	case !redirectAllowed(c.redirects, r.Redirect):
		return 0, nil, fmt.Errorf("%w: the redirect URI is not registered for the client", ErrBadRequest)
	}
	if scope, err = grantScope(r.Scope, c.scope); err != nil {
		return 0, nil, err
	}
	scope = slices.DeleteFunc(scope, func(s string) bool {
		if isOpenID(s) {
			return len(r.Scope) == 0 // it has to be asked for
		}
		return !slices.Contains(acc.scope, s)
	})
	if len(scope) == 0 && len(r.Scope) > 0 {
		return 0, nil, fmt.Errorf("%w: the user may have none of them", ErrInvalidScope)
	}
	return c.seq, scope, nil
}
