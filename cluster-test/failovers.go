package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/knell-auth/knell/cluster-test/cluster"
	"github.com/knell-auth/knell/cluster-test/failover"
)

// failovers measures what the loss of the log's leader costs and prints the table.
func failovers(f flags, stdout, stderr io.Writer) int {
	ctx, release := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer release()
	rows, err := measureFailovers(ctx, f, stdout)
	fmt.Fprintf(stdout, "\n%s", failover.Table(rows))
	if err != nil {
		fmt.Fprintln(stderr, "cluster-test:", err)
		return exitFailed
	}
	return exitOK
}

func measureFailovers(ctx context.Context, f flags, stdout io.Writer) (rows []failover.Row, err error) {
	dir, err := os.MkdirTemp(f.dir, "knell-failover-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if f.binary == "" {
		if f.binary, err = cluster.Build(ctx, dir, ""); err != nil {
			return nil, err
		}
	}
	cfg := failover.Config{
		Cluster: cluster.Config{Binary: f.binary, Dir: dir}, Mode: "embedded", Lease: f.lease, Faults: f.failover, Busy: f.busy,
		Logf: func(format string, args ...any) { fmt.Fprintf(stdout, format+"\n", args...) },
	}
	switch {
	case f.external:
		cfg.Mode, cfg.Cluster.External = "external", true
	case f.fixed:
		cfg.Mode, cfg.Cluster.Arguments = "embedded, nats-server's timers", []string{"--fixed-timers"}
	}
	return failover.Measure(ctx, cfg)
}
