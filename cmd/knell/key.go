package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"text/tabwriter"
)

// keyCmd administers signing keys.
type keyCmd struct {
	List   keyListCmd   `cmd:"" help:"List the keys that replicas sign tokens with."`
	Revoke keyRevokeCmd `cmd:"" help:"Make all tokens of a replica's key invalid; returns when no replica accepts them any more. The replica makes a new key."`
}

type keyListCmd struct {
	dataFlags `embed:""`
	JSON      bool `name:"json" help:"Print JSON."`
}

// Run prints the keys.
func (c *keyListCmd) Run(ctx context.Context, t *terminal) error {
	var list struct {
		Keys []struct {
			ID      string `json:"kid"`
			Alg     string `json:"alg"`
			Node    string `json:"node"`
			Seq     uint64 `json:"sequence"`
			Live    bool   `json:"live"`
			Revoked bool   `json:"revoked"`
		} `json:"keys"`
	}
	err := c.with(ctx, t, openIt, func(a *admin) error { return a.call(ctx, http.MethodGet, "/keys", nil, &list) })
	if err != nil {
		return err
	}
	if c.JSON {
		e := json.NewEncoder(t.out)
		e.SetIndent("", "  ")
		return e.Encode(list.Keys)
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "KID\tALG\tREPLICA\tSTATE")
	for _, k := range list.Keys {
		state := "old"
		switch {
		case k.Revoked:
			state = "revoked"
		case k.Live:
			state = "live"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", k.ID, k.Alg, k.Node, state)
	}
	return w.Flush()
}

type keyRevokeCmd struct {
	dataFlags `embed:""`
	Key       string `arg:"" help:"The key's id (kid)."`
	Reason    string `help:"Why; it is written into the event."`
}

// Run revokes the key.
func (c *keyRevokeCmd) Run(ctx context.Context, t *terminal) error {
	path := "/keys/" + url.PathEscape(c.Key) + "/revoke"
	err := c.with(ctx, t, openIt, func(a *admin) error {
		return a.call(ctx, http.MethodPost, path, map[string]string{"reason": c.Reason}, nil)
	})
	if err == nil {
		_, err = fmt.Fprintf(t.out, "revoked %s\n", c.Key)
	}
	return err
}
