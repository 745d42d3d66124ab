package node

import (
	"crypto/ed25519"
	"slices"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/token"
)

func (s *state) foldSecretUser(seq uint64, e *events.Event, d *events.SecretUser) voidReason {
	if s.users[d.User] != nil || s.names[d.Name] != nil {
		return voidExists
	}
	u := &user{
		id: d.User, name: d.Name, hash: d.Hash, roles: slices.Clone(d.Roles), scope: slices.Clone(d.Scope),
		seq: seq, credSeq: seq, created: e.Time.Unix(), disabled: d.Disabled, flag: s.newFlag(!d.Disabled),
	}
	s.users[u.id], s.names[u.name] = u, u
	s.owe(seq, e, &events.UserCreated{User: u.id, Roles: u.roles, Secret: seq})
	s.touch(seq)
	return ""
}

func (s *state) foldSecretPassword(seq uint64, e *events.Event, d *events.SecretPassword) voidReason {
	u := s.users[d.User]
	switch {
	case u == nil:
		return voidGone
	case u.seq != d.UserSeq:
		return voidChanged
	}
	u.hash, u.seq, u.credSeq = d.Hash, seq, seq
	s.renewFlag(&u.flag, !u.disabled)
	s.endUser(u, seq)
	s.owe(seq, e, &events.PasswordChanged{User: u.id, Secret: seq})
	return ""
}

// foldSecretRehash changes how a password is stored and nothing about what it opens, so the user's seq stays: a login that
// is under way is not void.
func (s *state) foldSecretRehash(seq uint64, d *events.SecretRehash) voidReason {
	u := s.users[d.User]
	switch {
	case u == nil:
		return voidGone
	case u.credSeq != d.UserSeq:
		return voidChanged
	}
	u.hash, u.credSeq = d.Hash, seq
	s.touch(seq)
	return ""
}

func (s *state) foldSecretClient(seq uint64, e *events.Event, d *events.SecretClient) voidReason {
	if s.clients[d.Client] != nil {
		return voidExists
	}
	s.clients[d.Client] = &client{
		id: d.Client, name: d.Name, hash: d.Hash, scope: slices.Clone(d.Scope), seq: seq,
	}
	s.owe(seq, e, &events.ClientCreated{Client: d.Client, Secret: seq})
	s.touch(seq)
	return ""
}

func (s *state) foldUserRevoked(seq uint64, d *events.UserRevoked) voidReason {
	u := s.users[d.User]
	switch {
	case u == nil:
		return voidGone
	case d.UserSeq != 0 && u.seq != d.UserSeq:
		return voidChanged
	case d.Cause == "disabled" && u.disabled:
		return voidNoop
	}
	if d.Cause != "" {
		u.disabled = true
	}
	u.seq = seq
	s.endUser(u, seq)
	if d.Cause == "" {
		s.renewFlag(&u.flag, !u.disabled)
	} else {
		s.renewAccess(u)
	}
	if d.Cause == "deleted" {
		s.endAccess(u, seq)
		delete(s.users, u.id)
		delete(s.names, u.name)
	}
	return ""
}

// endUser ends the sessions of u that started before seq.
func (s *state) endUser(u *user, seq uint64) {
	u.cutoff = seq
	for u.head != nil {
		s.end(u.head, seq)
	}
	s.touch(seq, u.cutoff)
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
	c.seq, c.cutoff = seq, seq
	for _, ses := range s.sorted(func(ses *session) bool { return ses.client == c }) {
		s.end(ses, seq)
	}
	if d.Cause == "deleted" {
		delete(s.clients, c.id)
	}
	s.touch(seq)
	return ""
}

func (s *state) foldUserEnabled(seq uint64, d *events.UserEnabled) voidReason {
	u := s.users[d.User]
	switch {
	case u == nil:
		return voidGone
	case u.seq != d.UserSeq:
		return voidChanged
	case !u.disabled:
		return voidNoop
	}
	u.disabled, u.seq = false, seq
	s.renewAccess(u)
	s.touch(seq)
	return ""
}

// foldUserRolesChanged leaves the sessions alone: their access tokens become stale, and a refresh gives new ones.
func (s *state) foldUserRolesChanged(seq uint64, d *events.UserRolesChanged) voidReason {
	u := s.users[d.User]
	switch {
	case u == nil:
		return voidGone
	case u.seq != d.UserSeq:
		return voidChanged
	case slices.Equal(u.roles, d.Roles) && slices.Equal(u.scope, d.Scope):
		return voidNoop
	}
	u.roles, u.scope = slices.Clone(d.Roles), slices.Clone(d.Scope)
	u.seq, u.stale = seq, seq
	for ses := u.head; ses != nil; ses = ses.next {
		s.renewWord(ses)
	}
	s.renewAccess(u)
	s.touch(seq)
	return ""
}

func (s *state) foldNodeKey(seq uint64, d *events.NodeKey) voidReason {
	if s.keys[d.Key] != nil {
		return voidExists
	}
	if len(d.Public) != ed25519.PublicKeySize || len(d.RefreshPublic) != ed25519.PublicKeySize {
		return voidChanged
	}
	k := &signingKey{
		id: d.Key, verify: token.NewKey(slices.Clone(d.Public)), refreshPublic: slices.Clone(d.RefreshPublic), seq: seq,
	}
	if d.Alg != "EdDSA" || k.verify.ID() != d.Key {
		return voidChanged
	}
	s.keys[d.Key] = k
	s.refresh[token.NewRefreshKeyID(k.refreshPublic)] = k
	s.touch(seq)
	return ""
}

// foldSigningKeyRevoked makes every token of the key invalid. Sessions live on: a refresh token of another key still works.
// Cached tokens are looked at again, because their words are renewed.
func (s *state) foldSigningKeyRevoked(seq uint64, d *events.SigningKeyRevoked) voidReason {
	k := s.keys[d.Key]
	switch {
	case k == nil:
		return voidGone
	case k.revoked:
		return voidNoop
	}
	k.revoked = true
	for _, ses := range s.sorted(func(*session) bool { return true }) {
		s.renewWord(ses)
	}
	s.touch(seq)
	return ""
}

// owe notes that the secret event at seq still needs its public record. The record's id is derived from the secret event's,
// so that any replica can append it and only one of them counts.
func (s *state) owe(seq uint64, e *events.Event, data events.Payload) {
	origin := *e
	origin.Data = nil
	s.records[seq] = record{seq: seq, logTime: s.logTime, origin: origin, data: data}
}

func (s *state) foldRecord(secret uint64) voidReason {
	if _, ok := s.records[secret]; !ok {
		return voidExists
	}
	delete(s.records, secret)
	return ""
}
