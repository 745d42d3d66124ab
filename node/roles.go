package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/knell-auth/knell/events"
)

// SetRoleScopes says which scopes a role gives to whoever has it, none or some, and returns when every replica goes by it:
// access tokens of those users that were issued before are stale then, and their API keys can do what they can from then
// on. Errors: ErrBadRequest, ErrOwnAccount for an administrator who would be none any more, and the common ones.
//
// It is in the log, and no setting of each replica, because replicas that differ would grant differently, a change would
// take effect at another moment on each, and nobody could see afterwards what held when.
func (n *Node) SetRoleScopes(ctx context.Context, name string, scope []string, o Origin) error {
	if err := errors.Join(checkWords("role", []string{name}), checkWords("scope", scope)); err != nil {
		return err
	}
	if n.nearlyFull(adminShare) {
		return ErrFull
	}
	for range tries {
		d := &events.RoleScopes{Role: name, Scope: scope}
		n.mu.RLock()
		if r := n.state.access.roles[name]; r != nil {
			d.RoleSeq = r.seq
		}
		unseated := n.state.unseats(o.Actor, name, scope)
		n.mu.RUnlock()
		if unseated {
			return ErrOwnAccount
		}
		if err := n.change(ctx, d, "", o); !errors.Is(err, errChanged) {
			return err
		}
	}
	return fmt.Errorf("%w: the role keeps changing", ErrUnknownOutcome)
}

// AdminScope is the scope of administrators.
const AdminScope = "admin"

// unseats reports whether actor is a user who is an administrator, and would be none if a role gave what it is to give. Node.mu is
// held.
func (s *state) unseats(actor, name string, scope []string) bool {
	id, err := events.ParseID(actor)
	u := s.users[id]
	if err != nil || u == nil || slices.Contains(u.scope, AdminScope) || !slices.Contains(s.grants(u), AdminScope) {
		return false
	}
	return !slices.ContainsFunc(u.roles, func(role string) bool {
		gives := scope
		if role != name {
			gives = s.access.gives(role)
		}
		return slices.Contains(gives, AdminScope)
	})
}

// Role is what a role gives.
type Role struct {
	Name  string
	Scope []string
}

// Roles returns the roles of which was said what they give, by name. A user may have others, which give nothing.
func (n *Node) Roles() []Role {
	n.mu.RLock()
	defer n.mu.RUnlock()
	list := []Role{}
	for _, name := range slices.Sorted(maps.Keys(n.state.access.roles)) {
		list = append(list, Role{name, slices.Clone(n.state.access.roles[name].scope)})
	}
	return list
}
