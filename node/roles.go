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
// on. Errors: ErrBadRequest and the common ones.
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
		n.mu.RUnlock()
		if err := n.change(ctx, d, "", o); !errors.Is(err, errChanged) {
			return err
		}
	}
	return fmt.Errorf("%w: the role keeps changing", ErrUnknownOutcome)
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
