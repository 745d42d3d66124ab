package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/knell-auth/knell/internal/backup"
	"github.com/knell-auth/knell/internal/natsd"
	"github.com/knell-auth/knell/internal/restore"
)

// memberFlags say of which replicas a cluster that is made consists.
type memberFlags struct {
	Members     []string `placeholder:"NAME" help:"Names of the replicas of the cluster, such as r1,r2,r3: the directories are made below --data, under these names."`
	ClusterName string   `env:"KNELL_CLUSTER_NAME" default:"knell" help:"Name of the cluster, as for serve."`
	Replicas    int      `env:"KNELL_REPLICAS" default:"3" help:"Copies of the cluster's log, as for serve: 3 or 5."`
	LogMaxBytes size     `env:"KNELL_LOG_MAX_BYTES" default:"${logMaxBytes}" help:"Limit of the log, as for serve."`
}

// target returns what is made in a directory: of one replica alone if it has a name.
func (f *memberFlags) target(dir, alone string) (t restore.Target, err error) {
	t = restore.Target{Dir: dir, Name: alone, LogMaxBytes: int64(f.LogMaxBytes), Logger: slog.New(slog.DiscardHandler)}
	if alone != "" {
		return t, firstError(unless(namePattern.MatchString(alone), "--name %q: want %s", alone, nameRule))
	}
	t.Members, t.Cluster, t.Copies = f.Members, f.ClusterName, f.Replicas
	for i, name := range t.Members {
		if err == nil {
			err = firstError(unless(namePattern.MatchString(name), "--members %q: want %s", name, nameRule),
				unless(!slices.Contains(t.Members[:i], name), "--members: %s is there twice", name))
		}
	}
	if err != nil {
		return t, err
	}
	return t, firstError(
		unless(namePattern.MatchString(t.Cluster), "--cluster-name %q: want %s", t.Cluster, nameRule),
		unless(len(t.Members) >= 3, "--members: a cluster has three replicas at least"),
		unless(t.Copies == 3 || t.Copies == 5, "--replicas %d: want 3 or 5", t.Copies),
		unless(t.Copies <= len(t.Members), "--replicas %d: there are %d --members", t.Copies, len(t.Members)),
	)
}

// restoreCmd makes a log of a backup.
type restoreCmd struct {
	memberFlags      `embed:""`
	File             string `arg:"" type:"existingfile" help:"The backup."`
	Data             string `required:"" type:"path" placeholder:"DIR" help:"Data directory to be made; with --members the directory in which those of the cluster are made. What is made has to be empty or not there."`
	Name             string `env:"KNELL_NAME" default:"${standalone}" help:"Name of the replica, without --members."`
	TrustCredentials bool   `help:"Let passwords, client secrets, public clients, API keys, grants and webhooks be as they were when the backup was made. Whatever was revoked or changed since is good again. Sessions and tokens end all the same."`
	Quiet            bool   `short:"q" help:"Show no progress."`
}

// Run makes the directory.
func (c *restoreCmd) Run(ctx context.Context, t *terminal) error {
	ctx, release := untilSignal(ctx, nil, os.Interrupt, syscall.SIGTERM)
	defer release()
	name := c.Name
	if len(c.Members) > 0 {
		name = ""
	}
	target, err := c.target(c.Data, name)
	if err != nil {
		return err
	}
	bar := newProgressBar(t, c.Quiet)
	done, err := restore.Restore(ctx, c.File, target, c.TrustCredentials, bar.update)
	bar.clear()
	switch {
	case errors.Is(err, backup.ErrDamaged):
		return fmt.Errorf("%s: %w; nothing was written", c.File, err)
	case errors.Is(err, natsd.ErrNotEmpty):
		return usagef("--data %s: %w; nothing was restored", c.Data, err)
	case err != nil && ctx.Err() != nil:
		return errors.New("interrupted; the same command begins again")
	case err != nil:
		return err
	}
	fmt.Fprintf(t.out, "restored the log up to %d, as it was on %s\n", done.Last, done.LogTime.Format("2006-01-02 15:04:05 MST"))
	if len(c.Members) > 0 {
		fmt.Fprintf(t.out, "made %s in %s: take each to its machine, and start all\n", strings.Join(c.Members, ", "), c.Data)
	}
	if !c.TrustCredentials {
		fmt.Fprintln(t.out, "passwords, client secrets and API keys wait for new ones, public clients to be enabled; knell user passwd NAME --data DIR lets an administrator in")
	}
	return nil
}
