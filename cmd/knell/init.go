package main

import (
	"context"
	"fmt"
	"slices"
)

// initCmd creates the first administrator.
type initCmd struct {
	dataFlags     `embed:""`
	passwordFlags `embed:""`
	User          string `default:"admin" help:"Name of the administrator."`
	Another       bool   `help:"Create one more although there is an administrator."`
}

// Run looks for an administrator and creates one.
func (c *initCmd) Run(ctx context.Context, t *terminal) error {
	return c.with(ctx, mayCreate, func(a *admin) error {
		users, err := a.users(ctx, "")
		if err != nil {
			return err
		}
		if i := slices.IndexFunc(users, isAdmin); i >= 0 && !c.Another {
			return fmt.Errorf("there is an administrator already: %s; --another creates one more", users[i].Name)
		}
		password, err := readPassword(ctx, t, c.PasswordFile, c.User)
		if err != nil {
			return err
		}
		created, err := a.create(ctx, newUser{
			Name: c.User, Password: password, Roles: []string{"admin"}, Scopes: []string{"admin", "audit", "profile"},
		})
		if err != nil {
			return fmt.Errorf("creating %q: %w", c.User, err)
		}
		_, err = fmt.Fprintf(t.out, "created administrator %s (%s)\n", created.Name, created.ID)
		return err
	})
}

// isAdmin reports whether u may administer users.
func isAdmin(u user) bool { return slices.Contains(u.Scopes, "admin") && !u.Disabled }
