package main

import (
	"context"
	"fmt"
	"net/http"
)

// revokeCmd ends what is named.
type revokeCmd struct {
	dataFlags `embed:""`
	Kind      string `arg:"" enum:"session,user,client,signing-key,everything" help:"What is to be ended: the sessions of a user or of a client, one session, all tokens that a key signed, or everything. Accounts and clients stay."`
	Which     string `arg:"" optional:"" help:"Id of the session, name of the user, id of the client, or kid of the key."`
	Reason    string `placeholder:"TEXT" help:"Why; it is written down in the event. Required unless --dry-run is given."`
	DryRun    bool   `help:"Say how many sessions would end, and end none."`
}

// Run revokes, and returns when no replica accepts what was ended any more.
func (c *revokeCmd) Run(ctx context.Context, t *terminal) error {
	switch {
	case (c.Kind == "everything") != (c.Which == ""):
		if c.Which == "" {
			return usagef("which %s?", c.Kind)
		}
		return usagef("everything has no name: what is %q?", c.Which)
	case c.Reason == "" && !c.DryRun:
		return usagef("--reason is required: it is written down with the revocation")
	}
	return c.with(ctx, t, openIt, func(a *admin) error {
		in := map[string]any{"dry_run": c.DryRun}
		if c.Reason != "" {
			in["reason"] = c.Reason
		}
		switch c.Kind {
		case "everything":
			in["everything"] = true
		case "user":
			u, err := a.find(ctx, c.Which)
			if err != nil {
				return err
			}
			in["user"] = u.ID
		case "signing-key":
			in["signing_key"] = c.Which
		default:
			in[c.Kind] = c.Which
		}
		var dry struct {
			Sessions int `json:"sessions"`
		}
		if !c.DryRun {
			if err := a.call(ctx, http.MethodPost, "/revocations", in, nil); err != nil {
				return err
			}
			_, err := fmt.Fprintln(t.out, "revoked: no replica accepts it any more")
			return err
		}
		if err := a.call(ctx, http.MethodPost, "/revocations", in, &dry); err != nil {
			return err
		}
		_, err := fmt.Fprintf(t.out, "%d sessions would end; nothing was changed\n", dry.Sessions)
		return err
	})
}
