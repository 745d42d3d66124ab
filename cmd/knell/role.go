package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
)

// roleCmd administers what roles give.
type roleCmd struct {
	Set  roleSetCmd  `cmd:"" help:"Say which scopes a role gives; returns when no replica accepts tokens with others any more."`
	List roleListCmd `cmd:"" help:"List the roles that give scopes."`
}

type roleSetCmd struct {
	dataFlags `embed:""`
	Role      string   `arg:"" help:"The role."`
	Scopes    []string `name:"scope" required:"" placeholder:"SCOPE" help:"The scopes that it gives from now on; --scope= for none."`
}

// Run sets the scopes.
func (c *roleSetCmd) Run(ctx context.Context, t *terminal) error {
	in := map[string][]string{"scopes": append([]string{}, c.Scopes...)}
	err := c.with(ctx, t, openIt, func(a *admin) error {
		return a.call(ctx, http.MethodPut, "/roles/"+url.PathEscape(c.Role), in, nil)
	})
	if err == nil {
		_, err = fmt.Fprintf(t.out, "role %s gives scopes %q\n", c.Role, strings.Join(c.Scopes, ","))
	}
	return err
}

type roleListCmd struct {
	dataFlags `embed:""`
}

// Run prints the roles.
func (c *roleListCmd) Run(ctx context.Context, t *terminal) error {
	var roles []role
	err := c.with(ctx, t, openIt, func(a *admin) (err error) {
		roles, err = a.roles(ctx)
		return err
	})
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ROLE\tSCOPES")
	for _, r := range roles {
		fmt.Fprintf(w, "%s\t%s\n", r.Name, strings.Join(r.Scopes, ","))
	}
	return w.Flush()
}

// role is a role that gives scopes, as the administration shows it.
type role struct {
	Name   string   `json:"name"`
	Scopes []string `json:"scopes"`
}

// roles returns the roles that give scopes.
func (a *admin) roles(ctx context.Context) ([]role, error) {
	var list struct {
		Roles []role `json:"roles"`
	}
	err := a.call(ctx, http.MethodGet, "/roles", nil, &list)
	return list.Roles, err
}
