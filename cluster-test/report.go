package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/knell-auth/knell/cluster-test/check"
	"github.com/knell-auth/knell/cluster-test/scenario"
)

// shown is how many violations of each claim are printed for a scenario. All of them follow from its history file.
const shown = 5

// report prints what came of one scenario.
func report(w io.Writer, r scenario.Result) {
	switch {
	case r.Skipped != "":
		fmt.Fprintf(w, "  SKIPPED: %s\n", r.Skipped)
		return
	case r.Expected && !r.Failed():
		fmt.Fprintf(w, "  found as expected after %v: %d violations of %s, such as: %s\n", r.Seen.Round(100*time.Millisecond),
			check.Count(r.Violations, r.Breaks), r.Breaks, first(r.Violations, r.Breaks))
		return
	case r.Expected:
		fmt.Fprintf(w, "  FAILED: no violation of %s was found, though a mechanism is missing\n", r.Breaks)
	}
	count := map[check.Claim]int{}
	for _, v := range r.Violations {
		if count[v.Claim]++; count[v.Claim] <= shown {
			fmt.Fprintf(w, "  VIOLATION %s\n", v)
		}
	}
	for claim, n := range count {
		if n > shown {
			fmt.Fprintf(w, "  ... and %d more of %s\n", n-shown, claim)
		}
	}
	if r.Err != nil {
		fmt.Fprintf(w, "  ERROR %s\n", strings.ReplaceAll(r.Err.Error(), "\n", "\n    "))
	}
	if r.Dir != "" {
		fmt.Fprintf(w, "  data, logs and history are in %s\n", r.Dir)
	}
}

// first returns the violation of claim that was there to be seen first.
func first(vs []check.Violation, claim check.Claim) string {
	var at time.Duration
	text := "none"
	for _, v := range vs {
		if v.Claim == claim && len(v.Ops) > 0 && (text == "none" || v.Ops[len(v.Ops)-1].End < at) {
			at, text = v.Ops[len(v.Ops)-1].End, v.String()
		}
	}
	return text
}

// table prints one line a scenario.
func table(w io.Writer, results []scenario.Result) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "scenario\tseed\tverdict\tops\tlogouts\tC1\tC2\tC3\tC4\tother\tunavailable\tslowest logout\ttook")
	for _, r := range results {
		fmt.Fprintf(t, "%s\t%d\t%s\t%d\t%d\t", r.Scenario, r.Seed, verdict(r), r.Coverage.Ops, r.Coverage.Logouts)
		other := len(r.Violations)
		for _, claim := range []check.Claim{check.C1, check.C2, check.C3, check.C4} {
			n := check.Count(r.Violations, claim)
			other -= n
			fmt.Fprintf(t, "%d\t", n)
		}
		fmt.Fprintf(t, "%d\t%v\t%v\t%v\n", other, r.Unavailable.Round(10*time.Millisecond), r.Logout.Round(100*time.Microsecond),
			r.Took.Round(100*time.Millisecond))
	}
	t.Flush()
}

func verdict(r scenario.Result) string {
	switch {
	case r.Skipped != "":
		return "skipped"
	case r.Failed():
		return "FAILED"
	case r.Expected:
		return "caught"
	}
	return "ok"
}
