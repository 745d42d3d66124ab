package node

import (
	"bytes"
	"slices"

	"github.com/knell-auth/knell/events"
)

// role is what everybody who has it may be granted: something, or, as was said, nothing.
type role struct {
	scope []string
	seq   uint64
}

// foldRoleScopes leaves sessions and keys alone: access tokens of those who have the role become stale, and what is made from
// now on has the new scopes.
func (s *state) foldRoleScopes(seq uint64, d *events.RoleScopes) voidReason {
	var now role
	r := s.access.roles[d.Role]
	if r != nil {
		now = *r
	}
	switch {
	case now.seq != d.RoleSeq:
		return voidChanged
	case r != nil && slices.Equal(now.scope, d.Scope):
		return voidNoop
	}
	s.access.roles[d.Role] = &role{slices.Clone(d.Scope), seq}
	for _, u := range s.having(d.Role) {
		u.stale = seq
		for ses := u.head; ses != nil; ses = ses.next {
			s.renewWord(ses)
		}
		s.renewAccess(u)
	}
	s.touch(seq)
	return ""
}

// having returns the users who have a role, by id: in the map's order, live flags would be handed out otherwise on each
// replica.
func (s *state) having(role string) []*user {
	var list []*user
	for _, u := range s.users {
		if slices.Contains(u.roles, role) {
			list = append(list, u)
		}
	}
	slices.SortFunc(list, func(a, b *user) int { return bytes.Compare(a.id[:], b.id[:]) })
	return list
}

// gives returns the scopes that a role gives.
func (a *access) gives(name string) []string {
	if r := a.roles[name]; r != nil {
		return r.scope
	}
	return nil
}

// grants returns what u may be granted: its own scopes, and those that its roles give.
func (s *state) grants(u *user) []string {
	list := slices.Clone(u.scope)
	for _, name := range u.roles {
		for _, scope := range s.access.gives(name) {
			if !slices.Contains(list, scope) {
				list = append(list, scope)
			}
		}
	}
	return list
}

// rolesWithin returns the roles of u that a credential with these scopes carries: those whose scopes it all has. Who limits a
// key or a token to some scopes does not want it to pass for an administrator where roles are asked for. A role of which was said
// that it gives nothing goes with all that its owner may, so that no limited credential gains it thereby; one of which nothing was
// ever said is a mere name, and goes with all credentials.
func (s *state) rolesWithin(u *user, scopes []string) []string {
	return slices.DeleteFunc(slices.Clone(u.roles), func(name string) bool {
		r := s.access.roles[name]
		if r == nil {
			return false
		}
		takes := r.scope
		if len(takes) == 0 {
			takes = s.grants(u)
		}
		return slices.ContainsFunc(takes, func(scope string) bool { return !slices.Contains(scopes, scope) })
	})
}
