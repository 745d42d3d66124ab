package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
)

// userCmd administers users.
type userCmd struct {
	Add     userAddCmd     `cmd:"" help:"Create a user."`
	List    userListCmd    `cmd:"" help:"List users."`
	Disable userDisableCmd `cmd:"" help:"Disable a user and end its sessions; returns when no replica accepts its tokens any more."`
	Passwd  userPasswdCmd  `cmd:"" help:"Set a user's password and end its sessions; returns when no replica accepts its tokens any more."`
}

// passwordFlags say where a password comes from.
type passwordFlags struct {
	PasswordFile string `type:"path" placeholder:"FILE" help:"File whose first line is the password. Default: asked for on a terminal, else the first line of standard input."`
}

type userAddCmd struct {
	dataFlags     `embed:""`
	passwordFlags `embed:""`
	User          string   `arg:"" help:"Login name."`
	Roles         []string `name:"role" placeholder:"ROLE" help:"Roles."`
	Scopes        []string `name:"scope" default:"profile" placeholder:"SCOPE" help:"Scopes that the user may be granted."`
}

// Run creates the user.
func (c *userAddCmd) Run(ctx context.Context, t *terminal) error {
	password, err := readPassword(ctx, t, c.PasswordFile, c.User)
	if err != nil {
		return err
	}
	return c.with(ctx, mustExist, func(a *admin) error {
		created, err := a.create(ctx, newUser{Name: c.User, Password: password, Roles: c.Roles, Scopes: c.Scopes})
		if err != nil {
			return fmt.Errorf("creating %q: %w", c.User, err)
		}
		_, err = fmt.Fprintf(t.out, "created user %s (%s)\n", created.Name, created.ID)
		return err
	})
}

type userListCmd struct {
	dataFlags `embed:""`
	JSON      bool `name:"json" help:"Print JSON."`
}

// Run prints the users.
func (c *userListCmd) Run(ctx context.Context, t *terminal) error {
	var users []user
	err := c.with(ctx, mustExist, func(a *admin) (err error) {
		users, err = a.users(ctx, "")
		return err
	})
	if err != nil {
		return err
	}
	if c.JSON {
		e := json.NewEncoder(t.out)
		e.SetIndent("", "  ")
		return e.Encode(users)
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tSTATE\tSESSIONS\tROLES\tSCOPES\tCREATED\tID")
	for _, u := range users {
		state := "active"
		if u.Disabled {
			state = "disabled"
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\t%s\n", u.Name, state, u.Sessions, strings.Join(u.Roles, ","),
			strings.Join(u.Scopes, ","), u.Created.Format("2006-01-02"), u.ID)
	}
	return w.Flush()
}

type userDisableCmd struct {
	dataFlags `embed:""`
	User      string `arg:"" help:"Login name."`
}

// Run disables the user.
func (c *userDisableCmd) Run(ctx context.Context, t *terminal) error {
	err := c.with(ctx, mustExist, func(a *admin) error { return a.change(ctx, c.User, "disable", nil) })
	if err == nil {
		_, err = fmt.Fprintf(t.out, "disabled %s\n", c.User)
	}
	return err
}

type userPasswdCmd struct {
	dataFlags     `embed:""`
	passwordFlags `embed:""`
	User          string `arg:"" help:"Login name."`
}

// Run sets the password.
func (c *userPasswdCmd) Run(ctx context.Context, t *terminal) error {
	password, err := readPassword(ctx, t, c.PasswordFile, c.User)
	if err != nil {
		return err
	}
	err = c.with(ctx, mustExist, func(a *admin) error {
		return a.change(ctx, c.User, "password", map[string]string{"password": password})
	})
	if err == nil {
		_, err = fmt.Fprintf(t.out, "changed the password of %s\n", c.User)
	}
	return err
}
