package node

import (
	"slices"

	"github.com/knell-auth/knell/events"
)

// oauth is OAuth's part of the state: who may ask for tokens on behalf of users, and what they were given to ask with.
type oauth struct {
	clients    map[string]*client
	codes      map[events.ID]*code
	codesSwept int64 // Unix seconds of log time
}

// client is an OAuth client. seq is the newest sequence at which its record changed; a command names the seq that it was
// validated against.
type client struct {
	id         string
	name       string
	hash       string // "" for a public client
	oldHash    string // of the secret before the newest one; good until oldExpires
	oldExpires int64  // Unix seconds
	scope      []string
	redirects  []string
	seq        uint64
	cutoff     uint64 // sessions and tokens that started before it have ended
	codes      uint64 // codes that were issued before it have ended
	stale      uint64 // access tokens issued before it are out of date
	created    int64  // Unix seconds of log time
	disabled   bool
}

// foldClient applies the events about clients.
func (s *state) foldClient(seq uint64, e *events.Event) voidReason {
	switch d := e.Data.(type) {
	case *events.SecretClient:
		return s.foldSecretClient(seq, e, d)
	case *events.SecretClientSecret:
		return s.foldSecretClientSecret(seq, e, d)
	case *events.ClientChanged:
		return s.foldClientChanged(seq, d)
	case *events.ClientEnabled:
		return s.foldClientEnabled(seq, d)
	case *events.ClientRevoked:
		return s.foldClientRevoked(seq, d)
	case *events.ClientCreated:
		return s.foldRecord(d.Secret)
	case *events.ClientSecretRotated:
		return s.foldRecord(d.Secret)
	default:
		return s.foldWebhook(seq, e)
	}
}

func (s *state) foldSecretClient(seq uint64, e *events.Event, d *events.SecretClient) voidReason {
	if s.clients[d.Client] != nil {
		return voidExists
	}
	s.clients[d.Client] = &client{
		id: d.Client, name: d.Name, hash: d.Hash, scope: slices.Clone(d.Scope), redirects: slices.Clone(d.Redirects),
		seq: seq, created: e.Time.Unix(),
	}
	s.owe(seq, e, &events.ClientCreated{Client: d.Client, Secret: seq})
	s.touch(seq)
	return ""
}

// foldSecretClientSecret ends no session: whoever thinks that the old secret is in wrong hands revokes the client as well.
func (s *state) foldSecretClientSecret(seq uint64, e *events.Event, d *events.SecretClientSecret) voidReason {
	c := s.clients[d.Client]
	switch {
	case c == nil:
		return voidGone
	case c.seq != d.ClientSeq || c.hash == "":
		return voidChanged
	}
	c.oldHash, c.oldExpires = "", d.OldExpires
	if d.OldExpires != 0 {
		c.oldHash = c.hash
	}
	c.hash, c.seq = d.Hash, seq
	s.owe(seq, e, &events.ClientSecretRotated{Client: c.id, Secret: seq})
	s.touch(seq)
	return ""
}

// foldClientChanged leaves the sessions alone. Other scopes make their access tokens stale, and a refresh gives new ones; a
// redirect URI that is taken away takes along the codes that may have been sent to it.
func (s *state) foldClientChanged(seq uint64, d *events.ClientChanged) voidReason {
	c := s.clients[d.Client]
	switch {
	case c == nil:
		return voidGone
	case c.seq != d.ClientSeq:
		return voidChanged
	case c.name == d.Name && slices.Equal(c.scope, d.Scope) && slices.Equal(c.redirects, d.Redirects):
		return voidNoop
	}
	if !slices.Equal(c.scope, d.Scope) {
		c.stale = seq
		for _, ses := range s.sorted(func(ses *session) bool { return ses.client == c }) {
			s.renewWord(ses)
		}
	}
	if slices.ContainsFunc(c.redirects, func(uri string) bool { return !slices.Contains(d.Redirects, uri) }) {
		c.codes = seq
	}
	c.name, c.scope, c.redirects, c.seq = d.Name, slices.Clone(d.Scope), slices.Clone(d.Redirects), seq
	s.touch(seq, c.stale, c.codes)
	return ""
}

func (s *state) foldClientEnabled(seq uint64, d *events.ClientEnabled) voidReason {
	c := s.clients[d.Client]
	switch {
	case c == nil:
		return voidGone
	case c.seq != d.ClientSeq:
		return voidChanged
	case !c.disabled:
		return voidNoop
	}
	c.disabled, c.seq = false, seq
	s.touch(seq)
	return ""
}

func (s *state) foldClientRevoked(seq uint64, d *events.ClientRevoked) voidReason {
	c := s.clients[d.Client]
	switch {
	case c == nil:
		return voidGone
	case d.ClientSeq != 0 && c.seq != d.ClientSeq:
		return voidChanged
	case d.Cause == "disabled" && c.disabled:
		return voidNoop
	}
	if d.Cause != "" {
		c.disabled = true
	}
	c.seq, c.cutoff, c.codes = seq, seq, seq
	for _, ses := range s.sorted(func(ses *session) bool { return ses.client == c }) {
		s.end(ses, seq)
	}
	if d.Cause == "deleted" {
		delete(s.clients, c.id)
	}
	s.touch(seq)
	return ""
}
