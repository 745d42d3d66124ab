// Command perf measures what a check of a credential costs over HTTP, beside what it is compared with: an empty handler,
// and what people use today. It prints one table, and fails when a requirement is not reached. Linux only.
//
//	go run ./cluster-test/perf [flags]
//
// Each service is a process of its own on one processor, the load comes from another one. Rows are measured in turn with the empty
// handler, in short slices, and compared within their pair: what else the machine does meets both. docs/performance.md has a run, and says how to read it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"time"

	"github.com/knell-auth/knell/cluster-test/redisd"
)

// Exit codes.
const (
	exitOK = iota
	exitFailed
	exitUsage
)

func main() {
	if code, ok := child(os.Args, os.Stdin, os.Stdout, os.Stderr); ok {
		os.Exit(code)
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// settings are those of a run. What is required has a flag each; 0 asks for nothing.
type settings struct {
	summary    summary
	rounds     int
	slice      time.Duration
	conns      int
	tokens     int
	serverCPU  int
	loadCPU    int
	floodTime  time.Duration
	floodTimes float64 // of what the machine can hash

	minOne, minMany, minRedis, minIntrospect, maxFlood float64
}

func parse(args []string, stderr io.Writer) (settings, error) {
	var s settings
	set := flag.NewFlagSet("perf", flag.ContinueOnError)
	set.SetOutput(stderr)
	set.IntVar(&s.rounds, "rounds", 9, "how often each row is measured")
	set.BoolVar(&s.summary.shared, "shared", false, "the machine has other work: take the best slices, and judge by processor time")
	set.DurationVar(&s.slice, "slice", 500*time.Millisecond, "length of one measurement")
	set.IntVar(&s.conns, "connections", 64, "connections of the load")
	set.IntVar(&s.tokens, "tokens", 10_000, "tokens that are sent in turn where it is not one")
	set.IntVar(&s.serverCPU, "server-cpu", 0, "processor of the services")
	set.IntVar(&s.loadCPU, "load-cpu", 1, "processor of the load")
	set.DurationVar(&s.floodTime, "flood", 5*time.Second, "length of one measurement under a flood of logins; 0: none")
	set.Float64Var(&s.floodTimes, "flood-times", 10, "logins in the flood, as a multiple of what the machine can hash")
	set.Float64Var(&s.minOne, "min-verify", 0.90, "required of /verify with one token: throughput, as a share of an empty chi handler's")
	set.Float64Var(&s.minMany, "min-verify-many", 0.85, "the same for many tokens in turn")
	set.Float64Var(&s.minRedis, "min-redis", 5, "required of /verify with one token: throughput, in multiples of golang-jwt and a Redis GET")
	set.Float64Var(&s.minIntrospect, "min-introspect", 20_000, "required of introspection: requests a second")
	set.Float64Var(&s.maxFlood, "max-flood", 2, "required under a flood of logins: p99 of /verify, in multiples of its idle value")
	if err := set.Parse(args); err != nil {
		return s, err
	}
	switch {
	case set.NArg() > 0:
		return s, fmt.Errorf("unknown argument %q", set.Arg(0))
	case s.rounds < 1 || s.slice <= 0 || s.conns < 1 || s.tokens < 1 || s.floodTime < 0 || s.floodTimes <= 0:
		return s, errors.New("-rounds, -slice, -connections, -tokens and -flood-times must be positive")
	case s.serverCPU == s.loadCPU || min(s.serverCPU, s.loadCPU) < 0 || max(s.serverCPU, s.loadCPU) >= runtime.NumCPU():
		return s, fmt.Errorf("-server-cpu %d, -load-cpu %d: want two of the %d processors", s.serverCPU, s.loadCPU, runtime.NumCPU())
	}
	return s, nil
}

func run(args []string, stdout, stderr io.Writer) int {
	s, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	if err != nil {
		fmt.Fprintln(stderr, "perf:", err)
		return exitUsage
	}
	ctx, release := signal.NotifyContext(context.Background(), os.Interrupt)
	defer release()
	missed, err := measureAll(ctx, s, stdout, stderr)
	if err != nil {
		fmt.Fprintln(stderr, "perf:", err)
		return exitFailed
	}
	if missed > 0 {
		return exitFailed
	}
	return exitOK
}

// measureAll measures everything, prints the table and returns how many requirements were missed.
func measureAll(ctx context.Context, s settings, stdout, stderr io.Writer) (missed int, err error) {
	dir, err := os.MkdirTemp("", "knell-perf-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	began := time.Now()
	say := func(format string, args ...any) {
		fmt.Fprintf(stderr, "%4.0f s  "+format+"\n", append([]any{time.Since(began).Seconds()}, args...)...)
	}
	where := environment(ctx)
	rows, err := measureRows(ctx, s, dir, say)
	if err != nil {
		return 0, err
	}
	var fl *floodResult
	if s.floodTime > 0 {
		if fl, err = measureFlood(ctx, s, dir, say); err != nil {
			return 0, err
		}
	}
	fmt.Fprintln(stdout, where)
	table(stdout, s.summary, rows)
	fl.print(stdout, s.summary)
	for _, r := range requirements(s, rows, fl) {
		fmt.Fprintln(stdout, r)
		if !r.reached() {
			missed++
		}
	}
	return missed, nil
}

// measureRows starts the services and measures all rows in turn.
func measureRows(ctx context.Context, s settings, dir string, say func(string, ...any)) ([]*row, error) {
	say("starting the services; %d sessions of one user", s.tokens)
	f := &fleet{ctx: ctx, dir: dir, cpu: s.serverCPU}
	defer f.close()
	rows, err := f.rows(s)
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		if err := r.warm(ctx, s); err != nil {
			return nil, fmt.Errorf("%s: %w", r.name, err)
		}
	}
	for round := range s.rounds {
		say("round %d of %d", round+1, s.rounds)
		for _, r := range rows {
			if err := r.measure(ctx, s, round); err != nil {
				return nil, fmt.Errorf("%s: %w", r.name, err)
			}
		}
	}
	return rows, nil
}

// environment says where the measurements are made.
func environment(ctx context.Context) string {
	return fmt.Sprintf("%s, %s, %d processors, %s/%s, redis-server %s, load averages before: %s\n",
		time.Now().UTC().Format("2006-01-02 15:04 UTC"), runtime.Version(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH,
		redisd.Version(ctx), loadAverages())
}

func loadAverages() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil || len(text) < 14 {
		return "not known"
	}
	return string(text[:14])
}
