package main

import (
	"context"
	"errors"
	"os"

	"github.com/knell-auth/knell/internal/merkle"
)

type eventsHashesCmd struct {
	dataFlags     `embed:""`
	verifierFlags `embed:""`
	Checkpoint    string `required:"" type:"path" placeholder:"FILE" help:"The checkpoint up to which hashes are written."`
	Out           string `short:"o" required:"" type:"path" placeholder:"FILE" help:"The file: 32 bytes for each leaf."`
}

// Run writes the hashes. What is wrong with them is found by verify.
func (c *eventsHashesCmd) Run(ctx context.Context, t *terminal) error {
	key, err := c.verifier()
	if err != nil {
		return err
	}
	msg, err := os.ReadFile(c.Checkpoint)
	if err != nil {
		return usagef("--checkpoint: %w", err)
	}
	head, err := merkle.OpenCheckpoint(msg, key)
	if err != nil {
		return usagef("--checkpoint: %w", err)
	}
	f, err := os.Create(c.Out)
	if err != nil {
		return usagef("--out: %w", err)
	}
	err = c.with(ctx, t, openIt, func(a *admin) error {
		for n := uint64(0); n*merkle.Width < head.Size; n++ {
			width := min(merkle.Width, int(head.Size-n*merkle.Width))
			tile := merkle.Tile{Level: 0, N: n, Width: width}
			if err := copyFrom(ctx, a, "/transparency/tile/"+tile.Path(), f); err != nil {
				return err
			}
		}
		return nil
	})
	return errors.Join(err, f.Close())
}
