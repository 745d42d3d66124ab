package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/knell-auth/knell/cluster-test/cluster"
	"github.com/knell-auth/knell/cluster-test/compare"
)

// withRivals are the flags that mean something beside -rivals.
var withRivals = []string{"rivals", "json", "binary", "broken-binary", "next-binary", "dir", "keep", "lease", "no-sandbox", "list"}

// checkRivals returns an error when a flag was given that means nothing beside -rivals.
func checkRivals(set *flag.FlagSet) (err error) {
	set.Visit(func(f *flag.Flag) {
		if !slices.Contains(withRivals, f.Name) {
			err = fmt.Errorf("-%s means nothing with -rivals", f.Name)
		}
	})
	return err
}

// runRivals is the whole program with -rivals.
func runRivals(f flags, args []string, stdout, stderr io.Writer) int {
	err := compare.Check(f.scenarios)
	if err != nil {
		fmt.Fprintln(stderr, "cluster-test:", err)
		return exitUsage
	}
	if f.list {
		fmt.Fprintln(stdout, strings.Join(compare.Names(), "\n"))
		return exitOK
	}
	code, err := perform(f, args, nil, stderr, func(ctx context.Context, f flags) (int, error) {
		return compareRivals(ctx, f, stdout, stderr)
	})
	if err != nil {
		fmt.Fprintln(stderr, "cluster-test:", err)
	}
	return code
}

// compareRivals measures Knell beside what people use today, prints the table, and writes the file that was asked for.
func compareRivals(ctx context.Context, f flags, stdout, stderr io.Writer) (code int, err error) {
	var file *os.File
	if f.json != "" { // before the measurements, which take minutes
		if file, err = os.Create(f.json); err != nil {
			return exitUsage, err
		}
		defer func() { err = errors.Join(err, file.Close()) }()
	}
	program, err := os.Executable()
	if err != nil {
		return exitFailed, err
	}
	dir, err := os.MkdirTemp(f.dir, "rivals-")
	if err != nil {
		return exitFailed, err
	}
	begin := time.Now()
	report, err := compare.Run(ctx, compare.Settings{
		Program: program, Knell: f.binary, Dir: dir, Names: f.scenarios, Lease: f.lease, Namespaces: cluster.Sandboxed(),
		Logf: func(format string, args ...any) {
			fmt.Fprintf(stderr, "%4.0f s  "+format+"\n", append([]any{time.Since(begin).Seconds()}, args...)...)
		},
	})
	if err != nil {
		return exitFailed, fmt.Errorf("%w (data and logs are in %s)", err, dir)
	}
	if !f.keep {
		defer os.RemoveAll(dir)
	}
	err = report.Markdown(stdout)
	if file != nil {
		err = errors.Join(err, report.JSON(file))
	}
	if err != nil {
		return exitFailed, err
	}
	return exitOK, nil
}
