package node

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/token"
)

// mint signs the tokens of a session's generation g, which this replica has applied.
func (n *Node) mint(id events.ID, g generation) (Tokens, error) {
	n.mu.RLock()
	// Both at one point of the log: when the key is revoked after it, the session's word that is remembered below is dead.
	s, ses := n.signing.with.Load(), n.state.sessions[id]
	if s == nil || ses == nil {
		n.mu.RUnlock()
		if s == nil {
			return Tokens{}, fmt.Errorf("%w: the signing key was revoked a moment ago", ErrNotCurrent)
		}
		return Tokens{}, fmt.Errorf("%w: session has ended", ErrInvalidGrant)
	}
	c, refresh := n.claims(ses, g)
	c.KeyID = s.access.KeyID()
	word := ses.word
	n.mu.RUnlock()
	access, err := s.access.Sign(c)
	if err != nil {
		return Tokens{}, fmt.Errorf("sign: %w", err)
	}
	n.hot.cache.Insert(access, token.Entry{Expires: uint32(c.Expires), Session: word, Claims: c})
	t := Tokens{
		AccessToken: access, ExpiresIn: time.Duration(max(0, c.Expires-n.unix(n.clock.read()))) * time.Second, Scope: c.Scopes,
		Session: id, Seq: c.Issued,
	}
	if refresh != (token.Refresh{}) {
		t.RefreshToken = s.refresh.Sign(refresh)
	}
	return t, nil
}

// claims returns what the tokens of ses say. n.mu is held.
func (n *Node) claims(ses *session, g generation) (*token.Claims, token.Refresh) {
	c := &token.Claims{
		Issuer: n.cfg.Issuer, Audience: []string{n.cfg.Audience}, IssuedAt: g.issuedAt, AuthTime: ses.authTime,
		Expires: g.expires, ID: tokenID(ses.id, g.number), Session: ses.id, Epoch: n.state.epoch, Start: ses.start,
		Issued: g.seq, ClientID: firstPartyClient,
	}
	c.Scopes = strings.Fields(ses.scope.Value())
	if ses.client != nil {
		c.ClientID, c.Subject = ses.client.id, ses.client.id
	}
	if ses.user == nil {
		c.Scope, c.AuthTime = ses.scope.Value(), 0 // no user proved anything
		return c, token.Refresh{}
	}
	u := ses.user
	c.Subject = u.id.String()
	// Roles and scope are read now: the token rests on what changed them last, and is not stale.
	c.Issued = max(c.Issued, u.stale)
	if ses.client != nil {
		c.Issued = max(c.Issued, ses.client.stale)
	}
	allowed := n.state.grants(u)
	c.Scopes = slices.DeleteFunc(c.Scopes, func(s string) bool {
		return !slices.Contains(allowed, s) && !isOpenID(s) || !ses.client.allows(s) || g.only != nil && !slices.Contains(g.only, s)
	})
	c.Scope = strings.Join(c.Scopes, " ")
	if ses.client == nil || slices.Contains(c.Scopes, scopeRoles) {
		c.Roles = n.state.rolesWithin(u, c.Scopes)
	}
	return c, token.Refresh{Session: ses.id, Epoch: n.state.epoch, Generation: g.number, Seq: g.seq}
}

// tokenID returns the "jti" of a generation: the same for every reissue of it.
func tokenID(session events.ID, generation uint32) string {
	return events.DeriveID("jti", session[:], binary.BigEndian.AppendUint32(nil, generation)).String()
}

// firstPartyClient is the "client_id" of a login through no client: RFC 9068 section 2.2 requires one, and readers refuse an empty
// one. No client can be called so.
const firstPartyClient = "knell:first-party"

// clientOf returns the client that a token names, "" for a first-party login.
func clientOf(c *token.Claims) string {
	if c.ClientID == firstPartyClient {
		return ""
	}
	return c.ClientID
}

// scopeRoles lets a token that is issued to a client carry the user's roles. Services give rights by them, and a client is to have
// no more rights than its scopes.
const scopeRoles = "roles"

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// recentRefreshes remembers when this replica applied each refresh of at least the last grace window.
type recentRefreshes struct {
	mu          sync.Mutex
	now, before map[events.ID]refreshMark
	first       refreshMark // of now
}

// refreshMark says when a refresh was applied: by the monotonic clock, and in seconds of log time.
type refreshMark struct {
	seq     uint64
	mono    time.Duration
	logTime int64
	late    bool // applied without a lease
}

// age returns how old the refresh is. A replica that has just replayed the log, or that was cut off, has applied everything
// a moment ago; log time then says how old it is. Under a lease the own clock is right, to the length of the lease. Log
// time is not: it jumps when one replica's wall clock is set forward, and what clients then send again is no theft.
func (m refreshMark) age(mono time.Duration, logTime int64) time.Duration {
	age := mono - m.mono
	if m.late {
		age = max(age, time.Duration(logTime-m.logTime)*time.Second)
	}
	return age
}

// note is called by the apply loop.
func (r *recentRefreshes) note(session events.ID, m refreshMark, window time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now == nil || r.first.age(m.mono, m.logTime) > window+time.Second {
		r.before, r.now, r.first = r.now, map[events.ID]refreshMark{}, m
	}
	r.now[session] = m
}

// find returns the mark of the refresh of session at seq.
func (r *recentRefreshes) find(session events.ID, seq uint64) (refreshMark, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m, ok := r.now[session]
	if !ok {
		m, ok = r.before[session]
	}
	return m, ok && m.seq == seq
}
