package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	randv2 "math/rand/v2"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/knell-auth/knell/cluster-test/cluster"
	"github.com/knell-auth/knell/cluster-test/fault"
	"github.com/knell-auth/knell/cluster-test/history"
	"github.com/knell-auth/knell/cluster-test/load"
	"github.com/knell-auth/knell/cluster-test/report"
)

// benchStartTimeout bounds the start of a cluster of one's own.
const benchStartTimeout = 60 * time.Second

// Run measures and reports. A signal ends the load early: what was measured until then is reported.
func (c *benchCmd) Run(ctx context.Context, t *terminal) error {
	if c.Report.Metrics {
		return printMetrics(t.out)
	}
	p, err := c.plan()
	if err != nil {
		return err
	}
	if p.faults.Uses(fault.PlanCut) && !cluster.Sandboxed() {
		// The cluster gets network namespaces, which need a process that was started in one.
		code, err := cluster.EnterSandbox(os.Args[1:])
		if err != nil {
			return usagef("--fault cut needs network namespaces (Linux; root or user namespaces; iproute2 and util-linux): %w", err)
		}
		if code != 0 {
			return exitCode(code)
		}
		return nil
	}
	ctx, release := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer release()
	if !cluster.Sandboxed() { // there, one Ctrl-C comes twice
		context.AfterFunc(ctx, release)
	}
	show := c.progress(t)
	p.cfg.Progress = show.update
	p.cfg.Recorder = history.NewRecorder()
	r, err := c.measure(ctx, &p, show)
	show.clear()
	switch {
	case r == nil && ctx.Err() != nil: // what went wrong is a consequence
		return errors.New("interrupted before the load began")
	case r == nil:
		return err
	}
	r.Environment = c.environment(&p)
	verdicts, failed := report.Judge(r, p.thresholds)
	if err := errors.Join(err, c.write(t, r, verdicts, p.before)); err != nil {
		return err
	}
	switch {
	case failed:
		return errors.New("a threshold of --fail-if is met, or can't be judged")
	case r.Interrupted:
		return errors.New("interrupted")
	}
	return nil
}

// measure sends the load to the targets or to a cluster that it starts. A result may come with an error: of faults.
func (c *benchCmd) measure(ctx context.Context, p *benchPlan, show *benchProgress) (r *load.Result, err error) {
	if len(p.cfg.Replicas) > 0 {
		return load.Run(ctx, p.cfg)
	}
	dir, err := os.MkdirTemp(c.Own.Dir, "knell-bench-")
	if err != nil {
		return nil, usagef("--dir: %w", err)
	}
	own, err := c.start(ctx, p, dir, show)
	if err == nil {
		in := &fault.Injector{
			Cluster: own, Recorder: p.cfg.Recorder, Rand: randv2.New(randv2.NewPCG(c.Load.Seed, 1)), Logf: show.printf,
		}
		if !p.faults.Empty() {
			p.cfg.Beside = func(loading context.Context) error { return in.Follow(loading, ctx, p.faults, c.Load.For) }
		}
		r, err = load.Run(ctx, p.cfg)
	}
	if own != nil {
		err = errors.Join(err, own.Close())
	}
	if c.Own.Keep {
		show.printf("data and logs are in %s", dir)
		return r, err
	}
	return r, errors.Join(err, os.RemoveAll(dir))
}

// start starts a cluster with a user or a client.
func (c *benchCmd) start(ctx context.Context, p *benchPlan, dir string, show *benchProgress) (*cluster.Cluster, error) {
	cfg := cluster.Config{
		Binary: c.Own.Binary, Dir: dir, Replicas: c.Own.replicas(), Lease: c.Own.lease(), Namespaces: p.faults.Uses(fault.PlanCut),
	}
	if !p.faults.UsesLeader() { // who leads is known from debug lines only
		cfg.Arguments = []string{"--log-level", "info"}
	}
	if cfg.Binary == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		cfg.Binary = self
	}
	show.printf("starting %d replicas", cfg.Replicas)
	own, err := cluster.New(cfg)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, benchStartTimeout)
	defer cancel()
	if err := own.Start(ctx); err != nil {
		return own, err
	}
	for _, r := range own.Replicas {
		p.cfg.Replicas = append(p.cfg.Replicas, load.Replica{Name: r.Name, URL: r.URL})
	}
	return own, register(ctx, own, &p.cfg.Issuer)
}

// register makes the user or the client that the load logs in.
func register(ctx context.Context, own *cluster.Cluster, i *load.Issuer) error {
	who := load.Credentials{Name: "bench", Secret: rand.Text()}
	if !i.ClientCredentials {
		i.User = who
		return own.AddUser(ctx, who.Name, who.Secret)
	}
	i.Client = who
	a, err := online(ctx, own.Replicas[0].Data)
	if err != nil {
		return err
	}
	err = a.call(ctx, http.MethodPost, "/clients", map[string]any{"id": who.Name, "secret": who.Secret, "scopes": []string{"bench"}}, nil)
	return errors.Join(err, a.close())
}

// write writes all reports.
func (c *benchCmd) write(t *terminal, r *load.Result, verdicts []report.Verdict, before *load.Result) error {
	err := report.Text(t.out, r, verdicts, before)
	for _, f := range []struct {
		path  string
		write func(io.Writer) error
	}{
		{c.Report.JSON, func(w io.Writer) error { return report.WriteJSON(w, r) }},
		{c.Report.HTML, func(w io.Writer) error { return report.HTML(w, r, verdicts, before) }},
	} {
		if f.path != "" {
			err = errors.Join(err, writeFile(f.path, f.write))
		}
	}
	return err
}

func writeFile(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

// printMetrics lists what --fail-if knows.
func printMetrics(w io.Writer) error {
	units := map[report.Unit]string{
		report.Count: "number", report.Milliseconds: "time", report.Seconds: "time", report.Share: "share", report.PerSecond: "rate",
	}
	for _, m := range report.Metrics {
		if _, err := fmt.Fprintf(w, "%-22s %-8s %s\n", m.Name, units[m.Unit], m.Text); err != nil {
			return err
		}
	}
	return nil
}
