package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"
)

// apiKeyCmd administers API keys.
type apiKeyCmd struct {
	Create apiKeyCreateCmd `cmd:"" help:"Make an API key for a user and print it: it is shown this once."`
	List   apiKeyListCmd   `cmd:"" help:"List a user's API keys."`
	Rotate apiKeyRotateCmd `cmd:"" help:"Give an API key a new secret and print it: it is shown this once."`
	Revoke apiKeyRevokeCmd `cmd:"" help:"End an API key; returns when no replica accepts it any more."`
}

// apiKey is an API key as local administration shows it.
type apiKey struct {
	ID       string     `json:"id"`
	Name     string     `json:"name"`
	Scopes   []string   `json:"scopes"`
	Created  time.Time  `json:"created"`
	Expires  *time.Time `json:"expires"`
	LastUsed *time.Time `json:"last_used"`
	Key      string     `json:"key,omitempty"`
}

// keys calls the administration of the user's API keys.
func (f *userFlags) keys(ctx context.Context, t *terminal, method, path string, in, out any) error {
	return f.with(ctx, t, openIt, func(a *admin) error {
		u, err := a.find(ctx, f.User)
		if err != nil {
			return err
		}
		return a.call(ctx, method, "/users/"+u.ID+"/api-keys"+path, in, out)
	})
}

type apiKeyCreateCmd struct {
	userFlags `embed:""`
	Purpose   string        `arg:"" optional:"" help:"What the key is for: its name."`
	Scopes    []string      `name:"scope" placeholder:"SCOPE" help:"What the key may do, as far as its owner may. Default: nothing but say who its owner is."`
	Expires   time.Duration `default:"2160h" help:"How long the key lives; 0: until it is revoked."`
	Out       string        `type:"path" placeholder:"FILE" help:"Write the key to this new file, which only you can read. Default: standard output."`
}

// Run makes the key.
func (c *apiKeyCreateCmd) Run(ctx context.Context, t *terminal) error {
	if c.Expires < 0 || c.Expires%time.Second != 0 {
		return usagef("--expires %v: want whole seconds", c.Expires)
	}
	out, err := newSecretFile(c.Out)
	if err != nil {
		return err
	}
	var k apiKey
	in := map[string]any{"name": c.Purpose, "scopes": append([]string{}, c.Scopes...), "expires_in": c.Expires / time.Second}
	if err := c.keys(ctx, t, http.MethodPost, "", in, &k); err != nil {
		out.discard()
		return fmt.Errorf("creating an API key for %q: %w", c.User, err)
	}
	if c.Out == "" {
		return k.show(t)
	}
	fmt.Fprintf(t.out, "API key %s is in %s\n", k.ID, c.Out)
	return out.write(t, []byte(k.Key))
}

// show prints a key with its text, which alone goes to standard output.
func (k *apiKey) show(t *terminal) error {
	fmt.Fprintf(t.err, "API key %s; keep what follows, it cannot be shown again:\n", k.ID)
	_, err := fmt.Fprintln(t.out, k.Key)
	return err
}

type apiKeyListCmd struct {
	userFlags `embed:""`
	JSON      bool `name:"json" help:"Print JSON."`
}

// Run prints the keys.
func (c *apiKeyListCmd) Run(ctx context.Context, t *terminal) error {
	var list struct {
		Keys []apiKey `json:"api_keys"`
	}
	if err := c.keys(ctx, t, http.MethodGet, "", nil, &list); err != nil {
		return err
	}
	if c.JSON {
		e := json.NewEncoder(t.out)
		e.SetIndent("", "  ")
		return e.Encode(list.Keys)
	}
	day := func(at *time.Time, none string) string {
		if at == nil {
			return none
		}
		return at.Format("2006-01-02")
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tNAME\tSCOPES\tCREATED\tEXPIRES\tLAST USED")
	for _, k := range list.Keys {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.Name, strings.Join(k.Scopes, ","), day(&k.Created, ""), day(k.Expires, "never"),
			day(k.LastUsed, "not yet"))
	}
	return w.Flush()
}

// apiKeyFlags name the key that a command is about.
type apiKeyFlags struct {
	userFlags `embed:""`
	Key       string `arg:"" help:"Id of the key: the 26 characters behind knl_."`
}

type apiKeyRotateCmd struct {
	apiKeyFlags `embed:""`
	Overlap     time.Duration `default:"0s" help:"How long the old secret stays good; 0: it is not when this returns."`
}

// Run rotates the key.
func (c *apiKeyRotateCmd) Run(ctx context.Context, t *terminal) error {
	if c.Overlap < 0 || c.Overlap%time.Second != 0 {
		return usagef("--overlap %v: want whole seconds", c.Overlap)
	}
	var k apiKey
	in := map[string]any{"overlap": c.Overlap / time.Second}
	if err := c.keys(ctx, t, http.MethodPost, "/"+c.Key+"/rotate", in, &k); err != nil {
		return err
	}
	return k.show(t)
}

type apiKeyRevokeCmd struct {
	apiKeyFlags `embed:""`
}

// Run revokes the key.
func (c *apiKeyRevokeCmd) Run(ctx context.Context, t *terminal) error {
	err := c.keys(ctx, t, http.MethodDelete, "/"+c.Key, nil, nil)
	if err == nil {
		_, err = fmt.Fprintf(t.out, "revoked API key %s of %s\n", c.Key, c.User)
	}
	return err
}
