package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"text/tabwriter"
)

// userCmd administers users.
type userCmd struct {
	Add     userAddCmd     `cmd:"" help:"Create a user."`
	List    userListCmd    `cmd:"" help:"List users."`
	Show    userShowCmd    `cmd:"" help:"Show a user and its sessions."`
	Update  userUpdateCmd  `cmd:"" help:"Change what a user is called: login name, email address, full name."`
	Delete  userDeleteCmd  `cmd:"" help:"Delete a user and end its sessions; returns when no replica accepts its tokens any more. The name is free again."`
	Import  userImportCmd  `cmd:"" help:"Create users from a file with one JSON object a line, with hashes of their passwords."`
	Disable userDisableCmd `cmd:"" help:"Disable a user and end its sessions; returns when no replica accepts its tokens any more."`
	Enable  userEnableCmd  `cmd:"" help:"Let a disabled user log in again. Old sessions stay ended."`
	Unlock  userUnlockCmd  `cmd:"" help:"Forget failed guesses at a user's password: nobody has to wait any more."`
	Logout  userLogoutCmd  `cmd:"" help:"End all sessions of a user; returns when no replica accepts its tokens any more."`
	Passwd  userPasswdCmd  `cmd:"" help:"Set a user's password and end its sessions; returns when no replica accepts its tokens any more."`
	Roles   userRolesCmd   `cmd:"" help:"Replace a user's roles and scopes; returns when no replica accepts tokens with the old ones any more."`
}

// passwordFlags say where a password comes from.
type passwordFlags struct {
	PasswordFile string `type:"path" placeholder:"FILE" help:"File whose first line is the password. Default: asked for on a terminal, else the first line of standard input."`
}

type userAddCmd struct {
	dataFlags     `embed:""`
	passwordFlags `embed:""`
	User          string   `arg:"" help:"Login name."`
	Email         string   `placeholder:"ADDRESS" help:"Email address."`
	FullName      string   `placeholder:"NAME" help:"Full name."`
	Roles         []string `name:"role" placeholder:"ROLE" help:"Roles."`
	Scopes        []string `name:"scope" default:"profile" placeholder:"SCOPE" help:"Scopes that the user may be granted."`
}

// Run creates the user.
func (c *userAddCmd) Run(ctx context.Context, t *terminal) error {
	err := c.peek(ctx, func(a *admin) error {
		if found, err := a.users(ctx, c.User); err == nil && len(found) > 0 {
			return fmt.Errorf("creating %q: the name is taken", c.User)
		}
		return nil
	})
	if err != nil {
		return err
	}
	password, err := readPassword(ctx, t, c.PasswordFile, c.User)
	if err != nil {
		return err
	}
	return c.with(ctx, t, openIt, func(a *admin) error {
		created, err := a.create(ctx, newUser{
			Name: c.User, Password: password, Email: c.Email, FullName: c.FullName, Roles: c.Roles, Scopes: c.Scopes,
		})
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
	err := c.with(ctx, t, openIt, func(a *admin) (err error) {
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
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\t%s\n", u.Name, stateOf(u), u.Sessions, strings.Join(u.Roles, ","),
			strings.Join(u.Scopes, ","), u.Created.Format("2006-01-02"), u.ID)
	}
	return w.Flush()
}

// stateOf says whether u may log in.
func stateOf(u user) string {
	if u.Disabled {
		return "disabled"
	}
	return "active"
}

// userFlags name the user that a command is about.
type userFlags struct {
	dataFlags `embed:""`
	User      string `arg:"" help:"Login name."`
}

// change runs one of the replica's commands upon the user and says what was done.
func (f *userFlags) change(ctx context.Context, t *terminal, command string, in any, done string) error {
	err := f.with(ctx, t, openIt, func(a *admin) error { return a.change(ctx, f.User, command, in) })
	if err == nil {
		_, err = fmt.Fprintf(t.out, "%s %s\n", done, f.User)
	}
	return err
}

type userDisableCmd struct {
	userFlags `embed:""`
}

// Run disables the user.
func (c *userDisableCmd) Run(ctx context.Context, t *terminal) error {
	return c.change(ctx, t, "disable", nil, "disabled")
}

type userEnableCmd struct {
	userFlags `embed:""`
}

// Run enables the user.
func (c *userEnableCmd) Run(ctx context.Context, t *terminal) error {
	return c.change(ctx, t, "enable", nil, "enabled")
}

type userUnlockCmd struct {
	userFlags `embed:""`
}

// Run forgets what was guessed at the user's password.
func (c *userUnlockCmd) Run(ctx context.Context, t *terminal) error {
	return c.change(ctx, t, "unlock", nil, "unlocked")
}

type userLogoutCmd struct {
	userFlags `embed:""`
}

// Run ends the user's sessions.
func (c *userLogoutCmd) Run(ctx context.Context, t *terminal) error {
	return c.change(ctx, t, "logout", nil, "ended the sessions of")
}

// userRolesCmd replaces both lists, as the replica does. A list that is not given stays as it is: that it is emptied has to
// be said.
type userRolesCmd struct {
	userFlags `embed:""`
	Roles     listing `name:"role" placeholder:"ROLE" help:"The roles from now on; --role= for none. Default: as they are."`
	Scopes    listing `name:"scope" placeholder:"SCOPE" help:"The scopes from now on; --scope= for none. Default: as they are."`
}

// Run sets roles and scopes.
func (c *userRolesCmd) Run(ctx context.Context, t *terminal) error {
	if c.Roles == nil && c.Scopes == nil {
		return usagef("give --role, --scope or both")
	}
	return c.with(ctx, t, openIt, func(a *admin) error {
		u, err := a.find(ctx, c.User)
		if err != nil {
			return err
		}
		if c.Roles != nil {
			u.Roles = c.Roles
		}
		if c.Scopes != nil {
			u.Scopes = c.Scopes
		}
		given := map[string][]string{"roles": append([]string{}, u.Roles...), "scopes": append([]string{}, u.Scopes...)}
		if err := a.call(ctx, http.MethodPost, "/users/"+u.ID+"/roles", given, nil); err != nil {
			return err
		}
		_, err = fmt.Fprintf(t.out, "%s has roles %q and scopes %q\n", u.Name, strings.Join(u.Roles, ","), strings.Join(u.Scopes, ","))
		return err
	})
}

type userPasswdCmd struct {
	userFlags     `embed:""`
	passwordFlags `embed:""`
}

// Run sets the password.
func (c *userPasswdCmd) Run(ctx context.Context, t *terminal) error {
	err := c.peek(ctx, func(a *admin) error {
		_, err := a.find(ctx, c.User)
		return err
	})
	if err != nil {
		return err
	}
	password, err := readPassword(ctx, t, c.PasswordFile, c.User)
	if err != nil {
		return err
	}
	return c.change(ctx, t, "password", map[string]string{"password": password}, "changed the password of")
}
