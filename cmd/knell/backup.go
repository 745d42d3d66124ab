package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/knell-auth/knell/internal/backup"
	"github.com/knell-auth/knell/internal/durable"
	"github.com/knell-auth/knell/internal/restore"
	"github.com/knell-auth/knell/node"
)

// backupCmd makes backups and looks at them.
type backupCmd struct {
	Create backupCreateCmd `cmd:"" default:"withargs" help:"Write everything that the log can be made again from to one file, while the replica runs. This is what knell backup does by itself."`
	Verify backupVerifyCmd `cmd:"" help:"Check a backup without restoring it, and say what is in it."`
}

// backupCreateCmd writes a backup.
type backupCreateCmd struct {
	dataFlags `embed:""`
	Out       string `short:"o" required:"" placeholder:"FILE" help:"The file, which gets its name when it is whole; - for standard output. It has password hashes in it: only you may read it."`
	Quiet     bool   `short:"q" help:"Show no progress."`
}

// Run writes the backup.
func (c *backupCreateCmd) Run(ctx context.Context, t *terminal) error {
	ctx, release := untilSignal(ctx, nil, os.Interrupt, syscall.SIGTERM)
	defer release()
	if c.Out == "-" {
		if f, ok := t.out.(*os.File); ok && isTerminal(f) {
			return usagef("--out -: a backup is nothing for a terminal")
		}
		return c.with(ctx, t, openIt, func(a *admin) error { return c.copy(ctx, t, a, t.out) })
	}
	if _, err := os.Lstat(c.Out); !errors.Is(err, fs.ErrNotExist) {
		return usagef("--out %s: it is there already", c.Out)
	}
	f, err := os.CreateTemp(filepath.Dir(c.Out), "."+filepath.Base(c.Out)+".*") // with mode 0600
	if err != nil {
		return usagef("--out %s: %w", c.Out, err)
	}
	defer os.Remove(f.Name()) // fails after the renaming, as it should
	defer f.Close()
	if err := c.with(ctx, t, openIt, func(a *admin) error { return c.copy(ctx, t, a, f) }); err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil {
		err = backup.Check(f, info.Size())
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = durable.Rename(f.Name(), c.Out)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c.Out, err)
	}
	_, err = fmt.Fprintf(t.err, "knell: %s in %s\n", bytesText(info.Size()), c.Out)
	return err
}

// copy writes what the replica answers.
func (c *backupCreateCmd) copy(ctx context.Context, t *terminal, a *admin, to io.Writer) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.base+"/backup", nil)
	if err != nil {
		return err
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return fmt.Errorf("asking the replica: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		if err != nil {
			return fmt.Errorf("the replica broke off: %w", err)
		}
		return refusal(resp, answer)
	}
	bar := newProgressBar(t, c.Quiet)
	defer bar.clear()
	var size int64
	for {
		n, err := io.CopyN(to, resp.Body, 256<<10)
		size += n
		bar.count("backup: " + bytesText(size))
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case ctx.Err() != nil:
			return errors.New("interrupted; there is no backup")
		case err != nil:
			return fmt.Errorf("there is no backup: the replica broke off, or nothing can be written: %w", err)
		}
	}
}

// backupVerifyCmd looks at a backup.
type backupVerifyCmd struct {
	File string `arg:"" type:"existingfile" help:"The backup."`
}

// Run prints what is in the backup.
func (c *backupVerifyCmd) Run(ctx context.Context, t *terminal) error {
	ctx, release := untilSignal(ctx, nil, os.Interrupt, syscall.SIGTERM)
	defer release()
	f, err := os.Open(c.File)
	if err != nil {
		return usageError{err}
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	b, err := restore.Check(ctx, f, info.Size())
	if err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	return printBackup(t, b)
}

func printBackup(t *terminal, b node.BackupInfo) error {
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "made\t%s by %s, knell %s\n", b.Created.Format(time.RFC3339), b.Node, b.Version)
	fmt.Fprintf(w, "messages\t%d to %d\nlog time\t%s\nepoch\t%s\nlevel\t%d\n", b.First, b.Last, b.LogTime.Format(time.RFC3339), b.Epoch, b.Level)
	fmt.Fprintf(w, "digest\t%s\ntree\t%d leaves, root %s\n", b.Digest, b.Leaves, b.Root)
	fmt.Fprintf(w, "users\t%d\nclients\t%d\nAPI keys\t%d\nsessions\t%d\nwebhooks\t%d\ngrants\t%d\n",
		b.Users, b.Clients, b.APIKeys, b.Sessions, b.Webhooks, b.Grants)
	fmt.Fprintf(w, "snapshots\t%d\ntiles\t%d\n", b.Snapshots, b.Tiles)
	return w.Flush()
}
