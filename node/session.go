package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/fence"
	"github.com/knell-auth/knell/internal/token"
)

// tries is how often a command is validated anew when something that it was validated against changed under it.
const tries = 5

// Login checks a name and password and starts a session (RFC 6749 section 4.3). ErrInvalidGrant says that name, password or
// account is not good, and not which. A *LimitedError says that this guess has to wait. ErrInvalidClient: the client is gone, or was
// disabled meanwhile. ErrClientChanged, ErrInvalidScope, *BusyError, ErrFull, ErrNotCurrent, ErrUnknownOutcome as named.
func (n *Node) Login(ctx context.Context, req LoginRequest) (Tokens, error) {
	if n.nearlyFull(loginShare) {
		return Tokens{}, ErrFull
	}
	for range tries {
		acc, err := n.prove(ctx, req)
		switch {
		case errors.Is(err, errChanged):
			continue
		case err != nil:
			return Tokens{}, err
		}
		lease := n.hot.lease.Load()
		through, err := n.throughClient(req, acc.scope)
		if !lease.Valid(n.clock.read()) {
			err = ErrNotCurrent
		}
		if err != nil {
			n.forgive(n.guessAt(acc, req.Name, req.Origin)) // the password was right
			return Tokens{}, err
		}
		t, err := n.startSession(ctx, acc, through, req)
		if !errors.Is(err, errChanged) {
			return t, err
		}
	}
	return Tokens{}, fmt.Errorf("%w: the account or the client keeps changing", ErrUnknownOutcome)
}

// prove checks a name and password and returns the account that they open; see tryPassword. ErrInvalidGrant for every reason to
// refuse, and a *LimitedError when this guess has to wait. errChanged: it is not the account any more that the hash was compared with.
//
// On a busy machine a hash takes longer than a lease. So the account is looked at once more after it, under the lease of then: what the
// hash says holds for as long as there is the same hash.
func (n *Node) prove(ctx context.Context, req LoginRequest) (account, error) {
	lease := n.hot.lease.Load()
	if !lease.Valid(n.clock.read()) {
		return account{}, ErrNotCurrent // before the hash: it costs 20 ms
	}
	acc := n.account(req.Name)
	ok, err := n.tryPassword(ctx, acc, req.Name, req.Password, req.Origin)
	if err != nil {
		return account{}, err
	}
	lease = n.hot.lease.Load()
	now := n.account(req.Name)
	switch {
	case !lease.Valid(n.clock.read()) || !n.signing.ready():
		return account{}, ErrNotCurrent
	case !now.opensAs(acc):
		return account{}, errChanged
	case !ok:
		n.noteFailure(now, req)
		return account{}, ErrInvalidGrant
	}
	return now, nil
}

// granted is what a login gives, by the record of its client at the sequence.
type granted struct {
	scope     []string
	clientSeq uint64 // 0 for a first-party login, which is through no client
}

// throughClient returns what of a user's scopes a login grants: no client is granted what it may not have itself.
func (n *Node) throughClient(req LoginRequest, allowed []string) (g granted, err error) {
	if req.Client != "" {
		n.mu.RLock()
		defer n.mu.RUnlock()
		c := n.state.clients[req.Client]
		if c == nil || c.disabled {
			return g, ErrInvalidClient
		}
		if err := sameClient(req.ClientSeq, c.seq); err != nil {
			return g, err
		}
		g.clientSeq = c.seq
		allowed = slices.DeleteFunc(slices.Clone(allowed), func(s string) bool { return !slices.Contains(c.scope, s) })
	}
	g.scope, err = grantScope(req.Scope, allowed)
	return g, err
}

// errChanged: what a command was validated against changed before it got into the log.
var errChanged = errors.New("changed meanwhile")

func (n *Node) startSession(ctx context.Context, acc account, g granted, req LoginRequest) (Tokens, error) {
	d := n.newSession(acc.id, acc.seq, req.Client, g.scope, req.Remember)
	d.ClientSeq = g.clientSeq
	o := req.Origin
	if o.Actor == "" {
		o.Actor = acc.id.String()
	}
	out, err := n.commit(ctx, n.newEvent(d, d.Session.String(), o), plain)
	switch {
	case err != nil:
		return Tokens{}, err
	case out.void != "":
		return Tokens{}, errChanged
	}
	return n.mint(d.Session, generation{seq: out.seq, issuedAt: d.IssuedAt, expires: d.AccessExpires})
}

// newSession returns the start of a session with its lifetimes, for a user whose record was seen at userSeq.
func (n *Node) newSession(user events.ID, userSeq uint64, client string, scope []string, remember bool) *events.SessionStarted {
	now := n.unix(n.clock.read())
	idle, ttl := n.lifetimes(remember)
	expires := now + ttl
	return &events.SessionStarted{
		Session: events.NewID(), User: user, Client: client, Scope: scope, IssuedAt: now,
		AccessExpires: min(now+seconds(n.cfg.AccessTTL), expires), IdleExpires: min(now+idle, expires),
		Expires: expires, UserSeq: userSeq, Remember: remember,
	}
}

// lifetimes returns how long a session may be idle and how long it may live at all, in seconds.
func (n *Node) lifetimes(remember bool) (idle, ttl int64) {
	if remember {
		return seconds(n.cfg.Remembered.Idle), seconds(n.cfg.Remembered.TTL)
	}
	return seconds(n.cfg.RefreshIdle), seconds(n.cfg.SessionTTL)
}

// Refresh rotates a refresh token (RFC 6749 section 6, RFC 9700 section 4.14.2). Of several refreshes with one token the
// log's order makes one the winner. A loser inside the grace window gets the same successor; later, the token counts as
// stolen: the session ends. A token of another client's session is refused, and its session left alone: whoever presents it
// is not its thief by that alone. Errors as Login's.
func (n *Node) Refresh(ctx context.Context, req RefreshRequest) (Tokens, error) {
	if n.nearlyFull(loginShare) {
		return Tokens{}, ErrFull
	}
	lease := n.hot.lease.Load()
	r, err := n.authenticRefresh(ctx, req.Token)
	if !lease.Valid(n.clock.read()) || !n.signing.ready() {
		return Tokens{}, ErrNotCurrent
	}
	if err != nil {
		return Tokens{}, err
	}
	for range tries {
		lease := n.hot.lease.Load()
		v, err := n.viewRefresh(r)
		if !lease.Valid(n.clock.read()) {
			return Tokens{}, ErrNotCurrent
		}
		if err != nil {
			return Tokens{}, err
		}
		if v.client != req.Client {
			return Tokens{}, fmt.Errorf("%w: session of another client", ErrInvalidGrant)
		}
		if err := sameClient(req.ClientSeq, v.clientSeq); err != nil {
			return Tokens{}, err
		}
		if v.only, err = narrowScope(req.Scope, v.scope); err != nil {
			return Tokens{}, err
		}
		var t Tokens
		o := req.Origin
		switch {
		case r.Generation == v.number:
			t, err = n.rotate(ctx, v, o)
		case r.Generation+1 == v.number && n.inGrace(v), n.cfg.Break&fence.NoReuseDetection != 0:
			t, err = n.reissue(ctx, v, o)
		default:
			return Tokens{}, n.replayed(ctx, v, o)
		}
		if !errors.Is(err, errChanged) {
			return t, err
		}
	}
	return Tokens{}, fmt.Errorf("%w: the session keeps changing", ErrUnknownOutcome)
}

// authenticRefresh checks form, signature and epoch of a refresh token, and waits until its sequence has been applied.
func (n *Node) authenticRefresh(ctx context.Context, s string) (token.Refresh, error) {
	r, err := token.ParseRefresh(s)
	if err != nil {
		return r, fmt.Errorf("%w: %w", ErrInvalidGrant, err)
	}
	n.mu.RLock()
	k := n.state.refresh[r.KeyID]
	bad := k == nil || k.revoked || events.ID(r.Epoch) != n.state.epoch
	n.mu.RUnlock()
	if bad {
		return r, fmt.Errorf("%w: unknown or revoked key, or another epoch", ErrInvalidGrant)
	}
	if err := r.Verify(k.refreshPublic); err != nil {
		return r, fmt.Errorf("%w: %w", ErrInvalidGrant, err)
	}
	return r, n.catchUp(ctx, r.Seq)
}

// refreshView is what a refresh is decided on.
type refreshView struct {
	generation
	session events.ID
	user    events.ID
	client  string // "" for a first-party session
	scope   []string
	userSeq uint64
	ends    int64 // no refresh reaches beyond this
	pace    int64 // see paceAfter

	clientSeq uint64
	key       string // that signed the token
	remember  bool
}

// generation is one pair of access and refresh token of a session. Times are Unix seconds.
type generation struct {
	number   uint32
	seq      uint64 // at which it was made
	issuedAt int64
	expires  int64    // of the access token
	only     []string // nil: all scopes of the session
}

// viewRefresh reads the session of an authentic refresh token.
func (n *Node) viewRefresh(r token.Refresh) (refreshView, error) {
	now := n.unix(n.clock.read())
	n.mu.RLock()
	defer n.mu.RUnlock()
	ses := n.state.sessions[events.ID(r.Session)]
	k := n.state.refresh[r.KeyID]
	switch {
	case k == nil || k.revoked: // while the token's sequence was waited for
		return refreshView{}, fmt.Errorf("%w: key was revoked", ErrInvalidGrant)
	case ses == nil || ses.user == nil || r.Generation > ses.generation || r.Seq < ses.start:
		return refreshView{}, fmt.Errorf("%w: session has ended", ErrInvalidGrant)
	case ses.idleExpires <= now || ses.expires <= now:
		return refreshView{}, fmt.Errorf("%w: session has expired", ErrInvalidGrant)
	}
	v := refreshView{
		generation: generation{number: ses.generation, seq: ses.seq, issuedAt: ses.issuedAt, expires: ses.accessExpires},
		session:    ses.id, user: ses.user.id, userSeq: ses.user.seq, ends: ses.expires, pace: ses.pace,
		scope: strings.Fields(ses.scope.Value()), key: k.id, remember: ses.remember,
	}
	if ses.client != nil {
		v.client, v.clientSeq = ses.client.id, ses.client.seq
	}
	return v, nil
}

// rotate makes the next generation.
func (n *Node) rotate(ctx context.Context, v refreshView, o Origin) (Tokens, error) {
	now := n.unix(n.clock.read())
	if err := n.paced(v.pace, now, rotationCost); err != nil {
		return Tokens{}, err
	}
	idle, _ := n.lifetimes(v.remember)
	d := &events.SessionRefreshed{
		Session: v.session, Generation: v.number + 1, IssuedAt: now,
		AccessExpires: min(now+seconds(n.cfg.AccessTTL), v.ends), IdleExpires: min(now+idle, v.ends),
		SessionSeq: v.seq, UserSeq: v.userSeq, ClientSeq: v.clientSeq, Key: v.key,
	}
	out, err := n.commit(ctx, n.newEvent(d, v.session.String(), byUser(o, v)), plain)
	switch {
	case err != nil:
		return Tokens{}, err
	case out.void != "":
		return Tokens{}, errChanged
	}
	return n.mint(v.session, generation{d.Generation, out.seq, d.IssuedAt, d.AccessExpires, v.only})
}

// reissue gives the current, unused generation again: its predecessor was presented twice within the grace window.
func (n *Node) reissue(ctx context.Context, v refreshView, o Origin) (Tokens, error) {
	if err := n.paced(v.pace, n.unix(n.clock.read()), replayCost); err != nil {
		return Tokens{}, err
	}
	d := &events.RefreshReplayed{Session: v.session, Generation: v.number, SessionSeq: v.seq, Key: v.key}
	out, err := n.commit(ctx, n.newEvent(d, v.session.String(), byUser(o, v)), plain)
	switch {
	case err != nil:
		return Tokens{}, err
	case out.void != "":
		return Tokens{}, errChanged
	}
	return n.mint(v.session, v.generation)
}

// replayed ends a session whose refresh token was presented again after it had been used.
func (n *Node) replayed(ctx context.Context, v refreshView, o Origin) error {
	o = byUser(o, v)
	o.Reason = "refresh_token_replayed"
	if err := n.revokeSession(ctx, v.session, o); err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	return fmt.Errorf("%w: refresh token was used before; the session has ended", ErrInvalidGrant)
}

func byUser(o Origin, v refreshView) Origin {
	if o.Actor == "" {
		o.Actor = v.user.String()
	}
	return o
}

// inGrace reports whether the newest generation is so young that its predecessor may be presented again.
func (n *Node) inGrace(v refreshView) bool {
	grace := n.cfg.Grace
	if grace < 0 {
		return false
	}
	m, ok := n.recent.find(v.session, v.seq)
	return ok && m.age(n.clock.read().Mono, n.hot.logTime.Load()) < grace
}

// Logout ends the session of an access token. It returns nil only when no replica accepts a token of the session any more.
// A correctly signed token whose session has ended already waits for the barrier of that revocation. An expired token is as
// good as a fresh one: who logs out after a pause wants the refresh token to be dead. When ctx ends after the commit the
// error is a *PendingError.
func (n *Node) Logout(ctx context.Context, accessToken string, o Origin) error {
	c, err := n.authentic(ctx, accessToken, expiredOK)
	if err != nil {
		return err
	}
	if o.Actor == "" {
		o.Actor = c.Subject
	}
	lease := n.hot.lease.Load()
	err = n.revokeSession(ctx, events.ID(c.Session), o)
	if !errors.Is(err, ErrNotFound) {
		return err
	}
	if !lease.Valid(n.clock.read()) {
		return ErrNotCurrent
	}
	return ErrRevoked
}

// revokeSession ends one session and waits for the barrier. ErrNotFound: there is no such session, and none that ended
// lately.
func (n *Node) revokeSession(ctx context.Context, id events.ID, o Origin) error {
	n.mu.RLock()
	live := n.state.sessions[id] != nil
	n.mu.RUnlock()
	if !live {
		return n.endedSession(ctx, id)
	}
	return n.endSession(ctx, id, events.ID{}, o)
}
