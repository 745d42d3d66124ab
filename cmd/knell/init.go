package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// initCmd creates the first administrator.
type initCmd struct {
	dataFlags     `embed:""`
	passwordFlags `embed:""`
	User          string `default:"admin" help:"Name of the administrator."`
	Another       bool   `help:"Create one more although there is an administrator."`
	Standalone    bool   `help:"If no replica has run on the data directory, make the store of one that is alone and never becomes part of a cluster."`
}

// Run looks for an administrator and creates one. Nothing is opened or made before the password is there.
func (c *initCmd) Run(ctx context.Context, t *terminal) error {
	if err := c.peek(ctx, func(a *admin) error { return c.check(ctx, a) }); err != nil {
		return err
	}
	password, err := readPassword(ctx, t, c.PasswordFile, c.User)
	if err != nil {
		return err
	}
	absent := awaitServe
	if c.Standalone {
		absent = makeIt
	}
	return c.with(ctx, t, absent, func(a *admin) error {
		if err := c.check(ctx, a); err != nil {
			return err
		}
		created, err := a.create(ctx, newUser{
			Name: c.User, Password: password, Roles: []string{"admin"}, Scopes: []string{"admin", "audit", "profile"}, First: !c.Another,
		})
		if err != nil {
			var unknown *unavailableError // it may have been created
			if why := c.check(ctx, a); why != nil && !errors.As(err, &unknown) {
				return why // somebody else was faster
			}
			return fmt.Errorf("creating %q: %w", c.User, err)
		}
		_, err = fmt.Fprintf(t.out, "created administrator %s (%s)\n", created.Name, created.ID)
		return err
	})
}

// check returns an error when there is an administrator and no other is asked for.
func (c *initCmd) check(ctx context.Context, a *admin) error {
	users, err := a.users(ctx, "")
	if err != nil {
		return err
	}
	roles, err := a.roles(ctx)
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(users, func(u user) bool { return isAdmin(u, roles) }); i >= 0 && !c.Another {
		return fmt.Errorf("there is an administrator already: %s; --another creates one more", users[i].Name)
	}
	return nil
}

// isAdmin reports whether u may administer users, by a scope of its own or of one of its roles.
func isAdmin(u user, roles []role) bool {
	return !u.Disabled && (slices.Contains(u.Scopes, "admin") || slices.ContainsFunc(roles, func(r role) bool {
		return slices.Contains(u.Roles, r.Name) && slices.Contains(r.Scopes, "admin")
	}))
}
