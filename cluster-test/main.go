// Command cluster-test runs real replicas of Knell under faults and proves from what their clients saw that Knell keeps its
// claims. README.md beside it says what each scenario proves.
//
//	go run ./cluster-test [flags] [scenario...]
//	go run ./cluster-test -rivals [flags] [name...]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/knell-auth/knell/cluster-test/check"
	"github.com/knell-auth/knell/cluster-test/cluster"
	"github.com/knell-auth/knell/cluster-test/history"
	"github.com/knell-auth/knell/cluster-test/reader"
	"github.com/knell-auth/knell/cluster-test/rival"
	"github.com/knell-auth/knell/cluster-test/scenario"
)

// Exit codes.
const (
	exitOK = iota
	exitFailed
	exitUsage
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == rival.Command { // how a comparison starts its replicas
		os.Exit(rival.Main(os.Stdin, os.Stdout, os.Stderr))
	}
	if len(os.Args) > 1 && os.Args[1] == reader.Command { // how a scenario starts a reader of events
		os.Exit(reader.Main(os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// flags are the settings of a run.
type flags struct {
	short, keep, list, expect, noSandbox bool
	failover, busy                       int
	fixed, external, rivals              bool
	duration, lease                      time.Duration
	seed                                 uint64
	dir, mutation, file                  string
	json                                 string
	scenarios                            []string // with rivals: what to compare
	binaries
}

// binaries are the paths of the builds of knell: the one under test, the one that can be broken, and the next version.
type binaries struct{ binary, broken, next string }

func parse(args []string, stderr io.Writer) (flags, error) {
	var f flags
	set := flag.NewFlagSet("cluster-test", flag.ContinueOnError)
	set.SetOutput(stderr)
	set.BoolVar(&f.short, "short", false, "run each scenario in its short form, as CI does")
	set.DurationVar(&f.duration, "for", 0, "repeat the scenarios, each time with another seed, until this time is over")
	set.Uint64Var(&f.seed, "seed", 1, "seed of the faults' and clients' choices")
	set.Func("scenario", "run this scenario; may be repeated (default: all)", func(s string) error {
		f.scenarios = append(f.scenarios, s)
		return nil
	})
	set.BoolVar(&f.list, "list", false, "list the scenarios and end")
	set.BoolVar(&f.keep, "keep", false, "keep data, logs and histories of scenarios that pass, too")
	set.StringVar(&f.dir, "dir", "", "directory for data, logs and histories (default: a temporary one)")
	set.StringVar(&f.binary, "binary", "", "knell to test (default: build it)")
	set.StringVar(&f.broken, "broken-binary", "", "knell built with -tags knell_break (default: build it when a scenario needs it)")
	set.StringVar(&f.next, "next-binary", "", "knell built with -tags knell_break,knell_next (default: build it when a scenario needs it)")
	set.StringVar(&f.mutation, "break", "", "mechanism to leave out in every scenario, by its name in internal/fence")
	set.BoolVar(&f.expect, "expect-violation", false, "succeed only when every scenario finds a violation of C1, or of the claim that it names")
	set.DurationVar(&f.lease, "lease", 5*time.Second, "lease of the replicas; this is their own default")
	set.BoolVar(&f.noSandbox, "no-sandbox", false, "do not make namespaces; scenarios that need them are skipped")
	set.StringVar(&f.file, "check", "", "judge this history file and end")
	set.IntVar(&f.failover, "failover", 0, "measure what so many kills and pauses of the log's leader cost, print a table and end")
	set.IntVar(&f.busy, "busy", 0, "with -failover: goroutines that keep the machine busy")
	set.BoolVar(&f.fixed, "fixed-timers", false, "with -failover: leave nats-server's own election timers; needs -lease 12s or more")
	set.BoolVar(&f.external, "external", false, "the log is on three nats-servers: scenarios that can do so run there; with -failover it needs -lease 12s or more")
	set.BoolVar(&f.rivals, "rivals", false, "instead of scenarios, compare Knell with what people use today: a table on stdout")
	set.StringVar(&f.json, "json", "", "with -rivals: write everything that was measured to this file, as JSON")
	if err := set.Parse(args); err != nil {
		return f, err
	}
	f.scenarios = append(f.scenarios, set.Args()...)
	if f.json != "" && !f.rivals {
		return f, errors.New("-json: only with -rivals")
	}
	if f.rivals {
		if err := checkRivals(set); err != nil {
			return f, err
		}
	}
	if f.lease < time.Second {
		return f, fmt.Errorf("-lease %v: want at least 1s", f.lease)
	}
	return f, nil
}

func run(args []string, stdout, stderr io.Writer) int {
	f, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	if err != nil {
		fmt.Fprintln(stderr, "cluster-test:", err)
		return exitUsage
	}
	if f.rivals {
		return runRivals(f, args, stdout, stderr)
	}
	scenarios, unknown := scenario.Find(f.scenarios, f.short && !f.list)
	switch {
	case unknown != "":
		fmt.Fprintf(stderr, "cluster-test: no scenario is named %q; -list shows them\n", unknown)
		return exitUsage
	case f.list:
		for _, s := range scenarios {
			fmt.Fprintf(stdout, "%-22s %s\n", s.Name, s.Proves)
		}
		return exitOK
	case f.failover > 0:
		return failovers(f, stdout, stderr)
	case f.file != "":
		return judge(f.file, stdout, stderr)
	}
	code, err := perform(f, args, scenarios, stdout, func(ctx context.Context, f flags) (int, error) {
		return runAll(ctx, f, scenarios, stdout)
	})
	if err != nil {
		fmt.Fprintln(stderr, "cluster-test:", err)
	}
	return code
}

// perform builds what is missing for the scenarios, goes into a sandbox, and does the work there. What it says goes to out.
func perform(
	f flags, args []string, scenarios []scenario.Scenario, out io.Writer, work func(context.Context, flags) (int, error),
) (int, error) {
	ctx, release := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer release()
	if cluster.Sandboxed() {
		if err := cluster.PrepareSandbox(); err != nil {
			return exitFailed, err
		}
		return work(ctx, f)
	}
	if f.dir == "" {
		dir, err := os.MkdirTemp("", "knell-cluster-test-")
		if err != nil {
			return exitFailed, err
		}
		f.dir = dir
		defer os.Remove(dir) // stays when something in it was kept
	}
	built, err := build(ctx, &f, scenarios)
	defer func() {
		for _, path := range built {
			os.Remove(path)
		}
	}()
	if err != nil {
		return exitFailed, err
	}
	if f.noSandbox {
		return work(ctx, f)
	}
	// What is known by now goes first: a flag that was given wins, and it has the same value.
	inside := append([]string{"-dir", f.dir, "-binary", f.binary, "-broken-binary", f.broken, "-next-binary", f.next}, args...)
	code, err := cluster.EnterSandbox(inside)
	if err != nil {
		fmt.Fprintf(out, "no sandbox (%v): scenarios that need one are skipped\n", err)
		return work(ctx, f)
	}
	return code, nil
}

// build compiles what was not given and returns what it made.
func build(ctx context.Context, f *flags, scenarios []scenario.Scenario) (built []string, err error) {
	compile := cluster.Build
	if f.short && !f.rivals && f.failover == 0 { // nothing is measured
		compile = cluster.BuildShort
	}
	if f.binary == "" && f.mutation == "" {
		if f.binary, err = compile(ctx, f.dir, ""); err != nil {
			return built, err
		}
		built = append(built, f.binary)
	}
	broken := slices.ContainsFunc(scenarios, scenario.Scenario.Broken)
	if f.broken == "" && (broken || f.mutation != "") {
		if f.broken, err = compile(ctx, f.dir, "knell_break"); err != nil {
			return built, err
		}
		built = append(built, f.broken)
	}
	if f.next == "" && slices.ContainsFunc(scenarios, func(s scenario.Scenario) bool { return s.Upgrades }) {
		if f.next, err = compile(ctx, f.dir, "knell_break,knell_next"); err != nil {
			return built, err
		}
		built = append(built, f.next)
	}
	return built, nil
}

// runAll runs the scenarios once, or again and again for the time that was asked for, and prints the table.
func runAll(ctx context.Context, f flags, scenarios []scenario.Scenario, stdout io.Writer) (int, error) {
	set := scenario.Settings{
		Binary: f.binary, Broken: f.broken, Next: f.next, Dir: f.dir, Keep: f.keep, Long: !f.short, Seed: f.seed, Lease: f.lease,
		ExpectViolation: f.expect, Break: f.mutation, External: f.external,
		Logf: func(format string, args ...any) { fmt.Fprintf(stdout, "  "+format+"\n", args...) },
	}
	begin := time.Now()
	var results []scenario.Result
	for round := 0; round == 0 || time.Since(begin) < f.duration; round++ {
		for _, s := range scenarios {
			fmt.Fprintf(stdout, "%s (seed %d): %s\n", s.Name, set.Seed, s.Proves)
			r := scenario.Run(ctx, s, set)
			report(stdout, r)
			results = append(results, r)
			if ctx.Err() != nil || (f.duration > 0 && time.Since(begin) > f.duration) {
				break
			}
		}
		if ctx.Err() != nil {
			break
		}
		set.Seed++
	}
	fmt.Fprintln(stdout)
	table(stdout, results)
	if ctx.Err() != nil {
		return exitFailed, errors.New("interrupted")
	}
	if slices.ContainsFunc(results, scenario.Result.Failed) {
		return exitFailed, nil
	}
	return exitOK, nil
}

// judge checks a history that was written before, and the logs that lie beside it.
func judge(path string, stdout, stderr io.Writer) int {
	file, err := os.Open(path)
	if err != nil {
		fmt.Fprintln(stderr, "cluster-test:", err)
		return exitUsage
	}
	defer file.Close()
	h, err := history.Read(file)
	if err != nil {
		fmt.Fprintln(stderr, "cluster-test:", err)
		return exitUsage
	}
	logs, err := history.ReadLogs(filepath.Dir(path))
	if err != nil {
		fmt.Fprintln(stderr, "cluster-test:", err)
		return exitUsage
	}
	found, undecided := scenario.Judge(h, logs, check.Options{Outage: true, Slack: time.Hour}, scenario.LinearLimit)
	for _, v := range found {
		fmt.Fprintln(stdout, v)
	}
	if undecided != nil {
		fmt.Fprintln(stdout, undecided)
	}
	fmt.Fprintf(stdout, "%d operations, logs of %d replicas, %d violations (availability not judged)\n", len(h.Ops), len(logs), len(found))
	if len(found) > 0 || undecided != nil {
		return exitFailed
	}
	return exitOK
}
