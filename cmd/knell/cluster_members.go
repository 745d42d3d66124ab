package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"syscall"

	"github.com/knell-auth/knell/internal/natsd"
	"github.com/knell-auth/knell/internal/restore"
)

// clusterAdoptCmd makes a cluster of a standalone store.
type clusterAdoptCmd struct {
	memberFlags `embed:""`
	Source      string `arg:"" type:"existingdir" help:"Data directory of the standalone store. It is marked as moved, and no replica starts on it any more."`
	Data        string `required:"" type:"path" placeholder:"DIR" help:"Directory in which those of the cluster's replicas are made."`
	Quiet       bool   `short:"q" help:"Show no progress."`
}

// Run makes the directories.
func (c *clusterAdoptCmd) Run(ctx context.Context, t *terminal) error {
	ctx, release := untilSignal(ctx, nil, os.Interrupt, syscall.SIGTERM)
	defer release()
	target, err := c.target(c.Data, "")
	if err == nil {
		err = refuseDevData(c.Source)
	}
	if err != nil {
		return err
	}
	bar := newProgressBar(t, c.Quiet)
	err = restore.Adopt(ctx, c.Source, version(), target, bar.update)
	bar.clear()
	switch {
	case errors.Is(err, natsd.ErrInUse):
		return usagef("%w: stop the replica first", err)
	case errors.Is(err, natsd.ErrNotEmpty):
		return usagef("--data %s: %w; nothing was moved", c.Data, err)
	case err != nil && ctx.Err() != nil:
		return errors.New("interrupted; the same command begins again")
	case err != nil:
		return err
	}
	_, err = fmt.Fprintf(t.out, "moved the log of %s; made %s in %s: take each to its machine, and start all\n", c.Source, strings.Join(c.Members, ", "), c.Data)
	return err
}

// clusterRemoveCmd removes a replica.
type clusterRemoveCmd struct {
	dataFlags `embed:""`
	Replica   string `arg:"" help:"Name of the replica. It must not be running, and its data directory must not be used again."`
}

// Run removes the replica.
func (c *clusterRemoveCmd) Run(ctx context.Context, t *terminal) error {
	if err := firstError(unless(namePattern.MatchString(c.Replica), "%q: want %s", c.Replica, nameRule)); err != nil {
		return err
	}
	err := c.with(ctx, t, awaitServe, func(a *admin) error {
		return a.call(ctx, http.MethodPost, "/members/"+c.Replica+"/remove", nil, nil)
	})
	if err == nil {
		_, err = fmt.Fprintf(t.out, "removed %s\n", c.Replica)
	}
	return err
}
