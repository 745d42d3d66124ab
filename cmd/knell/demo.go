package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/knell-auth/knell/node"
)

// The accounts that `knell dev` makes, and nothing else does: everybody knows their passwords. Each may do what it needs: what
// a user may comes from its role alone, an administrator has no notes, and the service is nobody.
var (
	demoRoles = []node.Role{{Name: "member", Scope: []string{"profile", "notes"}}, {Name: "admin", Scope: []string{"admin", "audit", "profile"}}}

	alice    = node.NewUser{Name: "alice", Password: "wonderland-1865", Roles: []string{"member"}}
	demoRoot = node.NewUser{Name: "root", Password: "toor-and-feather", Roles: []string{"admin"}}
	mallory  = node.NewUser{Name: "mallory", Password: "disabled-pw-1", Roles: []string{"member"}, Disabled: true}
	svc      = node.NewClient{ID: "svc", Name: "svc", Secret: "svc-secret-0123456789", Scope: []string{"svc"}}
	app      = node.NewClient{
		ID: "app", Name: "Demo application", Scope: []string{"openid", "profile", "notes"}, Redirects: []string{"http://127.0.0.1/callback"},
	}
)

// demoScope returns what a demo user may be granted.
func demoScope(u node.NewUser) []string {
	scope := slices.Clone(u.Scope)
	for _, r := range demoRoles {
		if slices.Contains(u.Roles, r.Name) {
			scope = append(scope, r.Scope...)
		}
	}
	return scope
}

// createDemoAccounts makes the demo roles and accounts. Those that are there already stay as they are.
func createDemoAccounts(ctx context.Context, n *node.Node) error {
	o := node.Origin{Actor: "local", Reason: "knell dev"}
	there := n.Roles()
	for _, r := range demoRoles {
		if slices.ContainsFunc(there, func(t node.Role) bool { return t.Name == r.Name }) {
			continue
		}
		if err := n.SetRoleScopes(ctx, r.Name, r.Scope, o); err != nil {
			return fmt.Errorf("creating the demo role %s: %w", r.Name, err)
		}
	}
	for _, u := range []node.NewUser{alice, demoRoot, mallory} {
		if _, err := n.CreateUser(ctx, u, o); err != nil && !errors.Is(err, node.ErrExists) {
			return fmt.Errorf("creating the demo user %s: %w", u.Name, err)
		}
	}
	for _, c := range []node.NewClient{svc, app} {
		if err := n.CreateClient(ctx, c, o); err != nil && !errors.Is(err, node.ErrExists) {
			return fmt.Errorf("creating the demo client %s: %w", c.ID, err)
		}
	}
	return nil
}
