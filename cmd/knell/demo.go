package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/knell-auth/knell/node"
)

// The accounts that `knell dev` makes, and nothing else does: everybody knows their passwords.
var (
	alice    = node.NewUser{Name: "alice", Password: "wonderland-1865", Scope: []string{"profile", "notes"}}
	demoRoot = node.NewUser{Name: "root", Password: "toor-and-feather", Scope: []string{"admin", "audit"}, Roles: []string{"admin"}}
	mallory  = node.NewUser{Name: "mallory", Password: "disabled-pw-1", Scope: []string{"profile"}, Disabled: true}
	svc      = node.NewClient{ID: "svc", Name: "svc", Secret: "svc-secret-0123456789", Scope: []string{"svc"}}
	app      = node.NewClient{
		ID: "app", Name: "Demo application", Scope: []string{"openid", "profile", "notes"}, Redirects: []string{"http://127.0.0.1/callback"},
	}
)

// createDemoAccounts makes the demo accounts. Those that are there already stay as they are.
func createDemoAccounts(ctx context.Context, n *node.Node) error {
	o := node.Origin{Actor: "local", Reason: "knell dev"}
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
