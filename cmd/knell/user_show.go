package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// userShowCmd shows one user.
type userShowCmd struct {
	userFlags `embed:""`
	JSON      bool `name:"json" help:"Print JSON."`
}

// Run prints the user and its sessions.
func (c *userShowCmd) Run(ctx context.Context, t *terminal) error {
	var shown struct {
		user
		Sessions []session `json:"sessions"` // instead of their number
	}
	err := c.with(ctx, t, openIt, func(a *admin) (err error) {
		if shown.user, err = a.find(ctx, c.User); err != nil {
			return err
		}
		shown.Sessions, err = a.sessions(ctx, shown.ID)
		return err
	})
	if err != nil {
		return err
	}
	if c.JSON {
		e := json.NewEncoder(t.out)
		e.SetIndent("", "  ")
		return e.Encode(shown)
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	for _, line := range [][2]string{
		{"name", shown.Name}, {"id", shown.ID}, {"email", shown.Email}, {"full name", shown.FullName},
		{"state", stateOf(shown.user)}, {"roles", strings.Join(shown.Roles, ",")}, {"scopes", strings.Join(shown.Scopes, ",")},
		{"created", shown.Created.Format(time.DateOnly)},
	} {
		fmt.Fprintf(w, "%s\t%s\n", line[0], line[1])
	}
	if len(shown.Sessions) > 0 {
		fmt.Fprintln(w, "\nSESSION\tADDRESS\tSTARTED\tLAST REFRESHED\tEXPIRES\tUSER AGENT")
	}
	for _, s := range shown.Sessions {
		refreshed := "never"
		if s.Refreshed != nil {
			refreshed = s.Refreshed.Format(time.DateTime)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", s.ID, s.Address, s.Started.Format(time.DateTime), refreshed,
			s.Expires.Format(time.DateTime), visible(s.UserAgent))
	}
	return w.Flush()
}

// visible returns text that came from a client as it may be shown on a terminal.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// userUpdateCmd changes what is given.
type userUpdateCmd struct {
	userFlags `embed:""`
	NewName   *string `name:"rename" placeholder:"NAME" help:"Login name from now on."`
	Email     *string `placeholder:"ADDRESS" help:"Email address from now on; --email= for none."`
	FullName  *string `placeholder:"NAME" help:"Full name from now on; --full-name= for none."`
}

// Run changes the user.
func (c *userUpdateCmd) Run(ctx context.Context, t *terminal) error {
	changes := map[string]string{}
	for member, value := range map[string]*string{"name": c.NewName, "email": c.Email, "full_name": c.FullName} {
		if value != nil {
			changes[member] = *value
		}
	}
	if len(changes) == 0 {
		return usagef("give --rename, --email or --full-name")
	}
	return c.request(ctx, t, http.MethodPatch, changes, "changed")
}

type userDeleteCmd struct {
	userFlags `embed:""`
}

// Run deletes the user.
func (c *userDeleteCmd) Run(ctx context.Context, t *terminal) error {
	return c.request(ctx, t, http.MethodDelete, nil, "deleted")
}

// request makes one request about the user and says what was done.
func (f *userFlags) request(ctx context.Context, t *terminal, method string, in any, done string) error {
	err := f.with(ctx, t, openIt, func(a *admin) error {
		u, err := a.find(ctx, f.User)
		if err != nil {
			return err
		}
		return a.call(ctx, method, "/users/"+u.ID, in, nil)
	})
	if err == nil {
		_, err = fmt.Fprintf(t.out, "%s %s\n", done, f.User)
	}
	return err
}
