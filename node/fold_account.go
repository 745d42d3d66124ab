package node

import (
	"slices"

	"github.com/knell-auth/knell/events"
)

func (s *state) foldSecretUser(seq uint64, e *events.Event, d *events.SecretUser) voidReason {
	if s.users[d.User] != nil || s.names[d.Name] != nil || d.First && s.administered() {
		return voidExists
	}
	u := &user{
		id: d.User, name: d.Name, hash: d.Hash, roles: slices.Clone(d.Roles), scope: slices.Clone(d.Scope),
		email: d.Email, fullName: d.FullName, seq: seq, credSeq: seq, created: e.Time.Unix(), disabled: d.Disabled,
		flag: s.newFlag(!d.Disabled),
	}
	s.users[u.id], s.names[u.name] = u, u
	s.owe(seq, e, &events.UserCreated{User: u.id, Roles: u.roles, Secret: seq})
	s.touch(seq)
	return ""
}

// administered reports whether there is an administrator who is not disabled.
func (s *state) administered() bool {
	for _, u := range s.users {
		if !u.disabled && slices.Contains(s.grants(u), AdminScope) {
			return true
		}
	}
	return false
}

func (s *state) foldSecretPassword(seq uint64, e *events.Event, d *events.SecretPassword) voidReason {
	u := s.users[d.User]
	switch {
	case u == nil:
		return voidGone
	case u.seq != d.UserSeq || !u.has(s, d.Except):
		return voidChanged
	}
	u.hash, u.seq, u.credSeq = d.Hash, seq, seq
	s.renewFlag(&u.flag, !u.disabled)
	s.endUser(u, seq, d.Except)
	s.owe(seq, e, &events.PasswordChanged{User: u.id, Secret: seq, Except: d.Except})
	return ""
}

// has reports whether id is zero or a live session of u. A session that a command leaves out of what it ends is the one that
// asked for it, and must not have ended before.
func (u *user) has(s *state, id events.ID) bool {
	ses := s.sessions[id]
	return id.IsZero() || ses != nil && ses.user == u
}

// foldSecretProfile changes what a user is called.
func (s *state) foldSecretProfile(seq uint64, e *events.Event, d *events.SecretProfile) voidReason {
	u := s.users[d.User]
	switch {
	case u == nil:
		return voidGone
	case u.seq != d.UserSeq:
		return voidChanged
	case s.names[d.Name] != nil && s.names[d.Name] != u:
		return voidExists
	case u.name == d.Name && u.email == d.Email && u.fullName == d.FullName:
		return voidNoop
	}
	if u.name != d.Name {
		s.renewFlag(&u.flag, !u.disabled) // the old name and the password are no credential any more
	}
	delete(s.names, u.name)
	u.name, u.email, u.fullName, u.seq = d.Name, d.Email, d.FullName, seq
	s.names[u.name] = u
	s.owe(seq, e, &events.UserChanged{User: u.id, Secret: seq})
	s.touch(seq)
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

func (s *state) foldUserRevoked(seq uint64, d *events.UserRevoked) voidReason {
	u := s.users[d.User]
	switch {
	case u == nil:
		return voidGone
	case d.UserSeq != 0 && u.seq != d.UserSeq, !u.has(s, d.Except):
		return voidChanged
	case d.Cause == "disabled" && u.disabled:
		return voidNoop
	}
	except := d.Except
	if d.Cause != "" { // nobody goes on
		u.disabled, except = true, events.ID{}
	}
	u.seq = seq
	s.endUser(u, seq, except)
	if ses := s.sessions[except]; ses != nil {
		ses.endings = paceAfter(ses.endings, s.logTime/1e9, rotationCost)
		s.touch(uint64(ses.endings))
	}
	if d.Cause == "" {
		s.renewFlag(&u.flag, !u.disabled)
	} else {
		s.renewAccess(u)
	}
	if d.Cause == "deleted" {
		s.erase(u, seq)
	}
	return ""
}

// erase removes a user whose sessions have ended. Nothing that says who it was is left of it in the state, whatever may still refer
// to its id.
func (s *state) erase(u *user, seq uint64) {
	s.endAccess(u, seq)
	delete(s.users, u.id)
	delete(s.names, u.name)
	s.guesses.DropAccount(u.id)
	for id, k := range s.codes {
		if k.user == u {
			delete(s.codes, id)
		}
	}
}

// endUser ends the sessions of u that started before seq, except one.
func (s *state) endUser(u *user, seq uint64, except events.ID) {
	if except.IsZero() {
		u.cutoff = seq
	}
	for ses := u.head; ses != nil; {
		next := ses.next
		if ses.id != except {
			s.end(ses, seq)
		}
		ses = next
	}
	u.codes = seq
	s.touch(seq, u.cutoff)
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

// owe notes that the secret event at seq still needs its public record. The record's id is derived from the secret event's,
// so that any replica can append it and only one of them counts.
func (s *state) owe(seq uint64, e *events.Event, data events.Payload) {
	origin := *e
	origin.Data, origin.Network = nil, events.ID{} // which is sealed for one event
	s.records[seq] = record{seq: seq, logTime: s.logTime, origin: origin, data: data}
}

func (s *state) foldRecord(secret uint64) voidReason {
	if _, ok := s.records[secret]; !ok {
		return voidExists
	}
	delete(s.records, secret)
	return ""
}
