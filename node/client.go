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
)

// Client is an OAuth client as the state knows it.
type Client struct {
	ID        string
	Name      string // what people see; "" for none
	Scope     []string
	Redirects []string // redirect URIs, see CheckRedirect
	Public    bool     // it has no secret
	Disabled  bool
	Created   time.Time
	OldSecret time.Time // until when the secret before the newest one is good; zero: it is not
}

// NewClient describes an OAuth client to be created. Without Secret and Hash it is a public one.
type NewClient struct {
	ID        string
	Name      string
	Secret    string
	Hash      string // of the secret, as NewUser.Hash: an imported one
	Scope     []string
	Redirects []string
}

// ClientChange says what is different about a client from now on. What is nil stays.
type ClientChange struct {
	Name      *string
	Scope     []string
	Redirects []string
}

// Bounds of a client's record.
const (
	maxClientName = 256                 // bytes
	maxRedirects  = 32                  // redirect URIs of one client
	maxOverlap    = 30 * 24 * time.Hour // for which an old secret can stay good
)

// CreateClient creates an OAuth client and returns when every replica knows it. Errors: ErrExists, ErrBadRequest and the common
// ones.
func (n *Node) CreateClient(ctx context.Context, nc NewClient, o Origin) error {
	if err := n.checkClient(nc); err != nil {
		return err
	}
	if n.nearlyFull(adminShare) {
		return ErrFull
	}
	d := &events.SecretClient{Client: nc.ID, Name: nc.Name, Scope: nc.Scope, Redirects: nc.Redirects}
	if nc.Secret != "" || nc.Hash != "" {
		hash, err := n.newSecretHash(ctx, nc.Secret, nc.Hash)
		if err != nil {
			return err
		}
		d.Hash = hash
	}
	return n.change(ctx, d, nc.ID, o)
}

// checkClient returns what is wrong with a client, but for its secret.
func (n *Node) checkClient(nc NewClient) error {
	switch {
	case !clientID(nc.ID):
		return fmt.Errorf("%w: client id must have 1 to 64 of A-Z a-z 0-9 . _ -, and must not look like a user id", ErrBadRequest)
	case n.reserved(nc.ID):
		return fmt.Errorf("%w: client id %q is what the audience or the issuer of access tokens is called", ErrBadRequest, nc.ID)
	}
	return errors.Join(checkClientName(nc.Name), checkWords("scope", nc.Scope), checkRedirects(nc.Redirects))
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

// reserved reports whether a client id is what access tokens say of the API or of this server. The audience of ID tokens is the
// client's id: none may be taken for an access token.
func (n *Node) reserved(id string) bool { return id == n.cfg.Audience || id == n.cfg.Issuer }

func checkClientName(name string) error {
	if len(name) > maxClientName || !utf8.ValidString(name) || !printable(name) {
		return fmt.Errorf("%w: client name must have at most %d bytes, all of them printable", ErrBadRequest, maxClientName)
	}
	return nil
}

// changeClient validates a command against a client's record and commits it, as changeUser does for users. An error of data is
// returned as it is.
func (n *Node) changeClient(ctx context.Context, id string, o Origin, data func(*client) (events.Payload, error)) error {
	for range tries {
		n.mu.RLock()
		c := n.state.clients[id]
		var d events.Payload
		var err error
		if c != nil {
			d, err = data(c)
		}
		n.mu.RUnlock()
		switch {
		case c == nil:
			return n.gone(ctx, "client")
		case err != nil:
			return err
		}
		if err := n.change(ctx, d, id, o); !errors.Is(err, errChanged) {
			return err
		}
	}
	return fmt.Errorf("%w: the client keeps changing", ErrUnknownOutcome)
}

// ChangeClient changes what a client is called and may do. When it returns, no replica accepts an access token with the old
// scopes, redirects to a URI that was taken away, or takes a code that may have been sent there; sessions go on.
func (n *Node) ChangeClient(ctx context.Context, id string, ch ClientChange, o Origin) error {
	if ch.Name != nil {
		if err := checkClientName(*ch.Name); err != nil {
			return err
		}
	}
	if err := errors.Join(checkWords("scope", ch.Scope), checkRedirects(ch.Redirects)); err != nil {
		return err
	}
	if n.nearlyFull(adminShare) {
		return ErrFull
	}
	return n.changeClient(ctx, id, o, func(c *client) (events.Payload, error) {
		d := &events.ClientChanged{Client: id, Name: c.name, Scope: c.scope, Redirects: c.redirects, ClientSeq: c.seq}
		if ch.Name != nil {
			d.Name = *ch.Name
		}
		if ch.Scope != nil {
			d.Scope = ch.Scope
		}
		if ch.Redirects != nil {
			d.Redirects = ch.Redirects
		}
		return d, nil
	})
}

// RotateClientSecret gives a confidential client a new secret. The one before it is good for overlap longer, at most 30 days; with
// 0 no replica takes it any more when this returns. A still older one ends at once. Tokens and sessions go on.
func (n *Node) RotateClientSecret(ctx context.Context, id, secret string, overlap time.Duration, o Origin) error {
	if overlap < 0 || overlap > maxOverlap {
		return fmt.Errorf("%w: the old secret can be good for 0 s to 30 days", ErrBadRequest)
	}
	hash, err := n.newSecretHash(ctx, secret, "")
	if err != nil {
		return err
	}
	return n.changeClient(ctx, id, o, func(c *client) (events.Payload, error) {
		if c.hash == "" {
			return nil, fmt.Errorf("%w: a public client has no secret", ErrBadRequest)
		}
		d := &events.SecretClientSecret{Client: id, Hash: hash, ClientSeq: c.seq}
		if overlap > 0 {
			d.OldExpires = n.unix(n.clock.read()) + seconds(overlap)
		}
		return d, nil
	})
}

// DisableClient ends a client's sessions, tokens and codes, and gives it no more until EnableClient. It returns when no replica
// accepts one of them any more.
func (n *Node) DisableClient(ctx context.Context, id string, o Origin) error {
	return n.endClient(ctx, id, "disabled", o)
}

// DeleteClient ends what DisableClient ends and forgets the client. Its id is free.
func (n *Node) DeleteClient(ctx context.Context, id string, o Origin) error {
	return n.endClient(ctx, id, "deleted", o)
}

func (n *Node) endClient(ctx context.Context, id, cause string, o Origin) error {
	return n.changeClient(ctx, id, o, func(c *client) (events.Payload, error) {
		return &events.ClientRevoked{Client: id, Cause: cause, ClientSeq: c.seq}, nil
	})
}

// EnableClient lifts a DisableClient. Old sessions stay ended.
func (n *Node) EnableClient(ctx context.Context, id string, o Origin) error {
	return n.changeClient(ctx, id, o, func(c *client) (events.Payload, error) {
		return &events.ClientEnabled{Client: id, ClientSeq: c.seq}, nil
	})
}

// ClientByID returns a client. ErrNotFound, ErrNotCurrent.
func (n *Node) ClientByID(id string) (Client, error) {
	var v Client
	known := false
	err := n.whileCurrent(func() {
		if c := n.state.clients[id]; c != nil {
			v, known = c.view(), true
		}
	})
	if err == nil && !known {
		err = fmt.Errorf("%w: client", ErrNotFound)
	}
	return v, err
}

// Clients returns all clients, by id. ErrNotCurrent.
func (n *Node) Clients() ([]Client, error) {
	var list []Client
	err := n.whileCurrent(func() {
		for _, c := range n.state.clients {
			list = append(list, c.view())
		}
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b Client) int { return strings.Compare(a.ID, b.ID) })
	return list, nil
}

// allows reports whether a session through c may have a scope; one through no client may.
func (c *client) allows(scope string) bool { return c == nil || slices.Contains(c.scope, scope) }

// view copies c for callers; Node.mu is held.
func (c *client) view() Client {
	v := Client{
		ID: c.id, Name: c.name, Scope: slices.Clone(c.scope), Redirects: slices.Clone(c.redirects), Public: c.hash == "",
		Disabled: c.disabled, Created: time.Unix(c.created, 0).UTC(),
	}
	if c.oldHash != "" {
		v.OldSecret = time.Unix(c.oldExpires, 0).UTC()
	}
	return v
}
