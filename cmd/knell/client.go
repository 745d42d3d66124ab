package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"
)

// clientCmd administers OAuth clients.
type clientCmd struct {
	Create       clientCreateCmd  `cmd:"" help:"Create an OAuth client."`
	List         clientListCmd    `cmd:"" help:"List OAuth clients."`
	Show         clientShowCmd    `cmd:"" help:"Show all about an OAuth client but its secret, in JSON."`
	Update       clientUpdateCmd  `cmd:"" help:"Change name, scopes or redirect URIs; returns when no replica goes by the old ones any more."`
	RotateSecret clientRotateCmd  `cmd:"" help:"Give a client a new secret; the old one is good for a while."`
	Disable      clientDisableCmd `cmd:"" help:"Disable a client and end all that it has; returns when no replica accepts it any more."`
	Enable       clientEnableCmd  `cmd:"" help:"Enable a disabled client. Old sessions stay ended."`
	Delete       clientDeleteCmd  `cmd:"" help:"Delete a client and end all that it has; returns when no replica accepts it any more."`
	Import       clientImportCmd  `cmd:"" help:"Create clients from a file."`
}

// oauthClient is a client as local administration shows it.
type oauthClient struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Scopes    []string   `json:"scopes"`
	Public    bool       `json:"public"`
	Redirects []string   `json:"redirect_uris"`
	Disabled  bool       `json:"disabled"`
	Created   time.Time  `json:"created"`
	OldSecret *time.Time `json:"old_secret_expires,omitempty"`
	Secret    string     `json:"secret,omitempty"` // in the answer to what made it, and in no other
}

// newClient is what a client is created from.
type newClient struct {
	ID           string   `json:"id"`
	Name         string   `json:"name,omitempty"`
	Secret       string   `json:"secret,omitempty"`
	Hash         string   `json:"hash,omitempty"`
	Confidential bool     `json:"confidential,omitempty"`
	Scopes       []string `json:"scopes,omitempty"`
	Redirects    []string `json:"redirect_uris,omitempty"`
}

// clientPath returns the path of a client.
func clientPath(id string) string { return "/clients/" + url.PathEscape(id) }

type clientCreateCmd struct {
	dataFlags    `embed:""`
	Client       string   `arg:"" help:"Client id."`
	ClientName   string   `placeholder:"NAME" help:"What people see when they log in through it. Default: its id."`
	Redirects    []string `name:"redirect-uri" sep:"none" placeholder:"URI" help:"Where it may be answered; compared as it is, but for the port on 127.0.0.1 and [::1]. Repeat it for more."`
	Scopes       []string `name:"scope" placeholder:"SCOPE" help:"Scopes that it may ask for."`
	Confidential bool     `help:"It keeps a secret, which is made and printed once. Default: a public client, such as a program on a user's machine."`
	SecretFile   string   `type:"path" placeholder:"FILE" help:"It keeps a secret, the first line of this file."`
}

// Run creates the client.
func (c *clientCreateCmd) Run(ctx context.Context, t *terminal) error {
	nc := newClient{ID: c.Client, Name: c.ClientName, Scopes: c.Scopes, Redirects: c.Redirects, Confidential: c.Confidential}
	if c.SecretFile != "" {
		var err error
		if nc.Secret, err = secretFrom(c.SecretFile); err != nil {
			return err
		}
	}
	return c.with(ctx, t, openIt, func(a *admin) error {
		var made oauthClient
		if err := a.call(ctx, http.MethodPost, "/clients", nc, &made); err != nil {
			return fmt.Errorf("creating %q: %w", c.Client, err)
		}
		return printSecret(t, "created client "+made.ID, made.Secret)
	})
}

// secretFrom returns the first line of a file.
func secretFrom(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", usagef("--secret-file: %w", err)
	}
	defer f.Close()
	return firstLine(f, file)
}

// printSecret says what was done and, on a line of its own, the secret that was made, if one was.
func printSecret(t *terminal, done, secret string) error {
	if secret != "" {
		done += "; its secret, which is not shown again:\n" + secret
	}
	_, err := fmt.Fprintln(t.out, done)
	return err
}

type clientListCmd struct {
	dataFlags `embed:""`
	JSON      bool `name:"json" help:"Print JSON."`
}

// Run prints the clients.
func (c *clientListCmd) Run(ctx context.Context, t *terminal) error {
	var list struct {
		Clients []oauthClient `json:"clients"`
	}
	err := c.with(ctx, t, openIt, func(a *admin) error { return a.call(ctx, http.MethodGet, "/clients", nil, &list) })
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(t, list.Clients)
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tSTATE\tKIND\tSCOPES\tREDIRECT URIS\tNAME")
	for _, o := range list.Clients {
		state, kind := "active", "confidential"
		if o.Disabled {
			state = "disabled"
		}
		if o.Public {
			kind = "public"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", o.ID, state, kind, strings.Join(o.Scopes, ","), strings.Join(o.Redirects, ","), o.Name)
	}
	return w.Flush()
}

func printJSON(t *terminal, v any) error {
	e := json.NewEncoder(t.out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// clientFlags name the client that a command is about.
type clientFlags struct {
	dataFlags `embed:""`
	Client    string `arg:"" help:"Client id."`
}

// do makes one request about the client and says what was done.
func (f *clientFlags) do(ctx context.Context, t *terminal, method, command, done string) error {
	err := f.with(ctx, t, openIt, func(a *admin) error { return a.call(ctx, method, clientPath(f.Client)+command, nil, nil) })
	if err == nil {
		_, err = fmt.Fprintf(t.out, "%s %s\n", done, f.Client)
	}
	return err
}

type clientShowCmd struct {
	clientFlags `embed:""`
}

// Run prints the client.
func (c *clientShowCmd) Run(ctx context.Context, t *terminal) error {
	return c.with(ctx, t, openIt, func(a *admin) error {
		var shown oauthClient
		if err := a.call(ctx, http.MethodGet, clientPath(c.Client), nil, &shown); err != nil {
			return err
		}
		return printJSON(t, shown)
	})
}

// clientUpdateCmd replaces what is given. That a list is emptied has to be said.
type clientUpdateCmd struct {
	clientFlags `embed:""`
	ClientName  *string `placeholder:"NAME" help:"What people see when they log in through it."`
	Redirects   listing `name:"redirect-uri" sep:"none" placeholder:"URI" help:"The redirect URIs from now on; --redirect-uri= for none. Default: as they are."`
	Scopes      listing `name:"scope" placeholder:"SCOPE" help:"The scopes from now on; --scope= for none. Default: as they are."`
}

// Run changes the client.
func (c *clientUpdateCmd) Run(ctx context.Context, t *terminal) error {
	change := map[string]any{}
	if c.ClientName != nil {
		change["name"] = *c.ClientName
	}
	if c.Redirects != nil {
		change["redirect_uris"] = given(c.Redirects)
	}
	if c.Scopes != nil {
		change["scopes"] = given(c.Scopes)
	}
	if len(change) == 0 {
		return usagef("give --client-name, --redirect-uri, --scope or several of them")
	}
	return c.with(ctx, t, openIt, func(a *admin) error {
		if err := a.call(ctx, http.MethodPatch, clientPath(c.Client), change, nil); err != nil {
			return err
		}
		_, err := fmt.Fprintf(t.out, "changed client %s\n", c.Client)
		return err
	})
}

// given returns a list from the command line, in which one empty item stands for none.
func given(list []string) []string {
	if len(list) == 0 || len(list) == 1 && list[0] == "" {
		return []string{}
	}
	return list
}

type clientRotateCmd struct {
	clientFlags `embed:""`
	Overlap     time.Duration `default:"24h" help:"How long the old secret is good, at most 720h; 0: no replica accepts it any more when the command returns."`
	SecretFile  string        `type:"path" placeholder:"FILE" help:"File whose first line is the new secret. Default: one is made and printed once."`
}

// Run gives the client a new secret.
func (c *clientRotateCmd) Run(ctx context.Context, t *terminal) error {
	if c.Overlap < 0 || c.Overlap%time.Second != 0 {
		return usagef("--overlap %v: want whole seconds, 0 or more", c.Overlap)
	}
	in := map[string]any{"overlap_seconds": int64(c.Overlap / time.Second)}
	if c.SecretFile != "" {
		secret, err := secretFrom(c.SecretFile)
		if err != nil {
			return err
		}
		in["secret"] = secret
	}
	return c.with(ctx, t, openIt, func(a *admin) error {
		var rotated oauthClient
		if err := a.call(ctx, http.MethodPost, clientPath(c.Client)+"/secret", in, &rotated); err != nil {
			return err
		}
		return printSecret(t, "changed the secret of "+c.Client, rotated.Secret)
	})
}

type clientDisableCmd struct {
	clientFlags `embed:""`
}

// Run disables the client.
func (c *clientDisableCmd) Run(ctx context.Context, t *terminal) error {
	return c.do(ctx, t, http.MethodPost, "/disable", "disabled")
}

type clientEnableCmd struct {
	clientFlags `embed:""`
}

// Run enables the client.
func (c *clientEnableCmd) Run(ctx context.Context, t *terminal) error {
	return c.do(ctx, t, http.MethodPost, "/enable", "enabled")
}

type clientDeleteCmd struct {
	clientFlags `embed:""`
}

// Run deletes the client.
func (c *clientDeleteCmd) Run(ctx context.Context, t *terminal) error {
	return c.do(ctx, t, http.MethodDelete, "", "deleted")
}
