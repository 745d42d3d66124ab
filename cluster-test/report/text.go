package report

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/knell-auth/knell/cluster-test/load"
)

// Text writes a result for people. before is a former run to compare with, or nil.
func Text(w io.Writer, r *load.Result, verdicts []Verdict, before *load.Result) error {
	b := &strings.Builder{}
	fmt.Fprintf(b, "knell bench, %s, %s measured%s\n", r.Began.Format("2006-01-02 15:04:05 MST"), seconds(r.Measured), interrupted(r))
	section(b, "Environment", func(row rowWriter) {
		for _, f := range r.Environment {
			row(f.Name, f.Value)
		}
	})
	section(b, "Operations: latency from the instant that each was due", func(row rowWriter) {
		row("", "DUE", "OK", "REFUSED", "UNAVAILABLE", "UNKNOWN", "UNEXPECTED", "UNSENT", "NO SESSION", "RETRIED", "P50", "P90", "P99", "P99.9", "SLOWEST")
		for _, o := range r.Operations {
			row(append([]string{o.Kind, whole(o.Due), whole(o.OK), whole(o.Refused), whole(o.Unavailable), whole(o.Unknown),
				whole(o.Unexpected), whole(o.Unsent), whole(o.NoSession), whole(o.Retried)}, quantiles(o.Latency)...)...)
		}
	})
	if r.Parts.Commit.Count > 0 {
		section(b, "Where logouts spent their time", func(row rowWriter) {
			row("", "P50", "P90", "P99", "P99.9", "SLOWEST")
			row(append([]string{"commit"}, quantiles(r.Parts.Commit)...)...)
			row(append([]string{"wait for the others"}, quantiles(r.Parts.Wait)...)...)
			row(append([]string{"the rest"}, quantiles(r.Parts.Rest)...)...)
		})
		for _, l := range r.Parts.Last {
			fmt.Fprintf(b, "  last to follow: %s, %s times, median wait %s, longest %s\n", l.Name, whole(l.Count), milliseconds(l.P50MS), milliseconds(l.MaxMS))
		}
	}
	fmt.Fprintf(b, "\nAfter the logouts\n")
	for _, line := range revocation(r) {
		fmt.Fprintf(b, "  %s\n", line)
	}
	section(b, "Replicas", func(row rowWriter) {
		row(replicaHead(r)...)
		for _, v := range r.Replicas {
			row(replicaRow(r, v)...)
		}
	})
	if len(r.Faults) > 0 {
		section(b, "Faults", func(row rowWriter) {
			row("", "REPLICA", "FROM", "READY AGAIN")
			for _, f := range r.Faults {
				row(f.Name, f.Replica, seconds(f.From), until(f))
			}
		})
	}
	writeComparison(b, r, before)
	if len(verdicts) > 0 {
		fmt.Fprintf(b, "\nThresholds\n")
		for _, v := range verdicts {
			fmt.Fprintf(b, "  %s\n", v)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// rowWriter writes one row of a table.
type rowWriter func(cells ...string)

func section(b *strings.Builder, title string, fill func(rowWriter)) {
	fmt.Fprintf(b, "\n%s\n", title)
	var table strings.Builder
	t := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fill(func(cells ...string) { fmt.Fprintf(t, "  %s\n", strings.Join(cells, "\t")) })
	t.Flush() // a strings.Builder takes everything
	for line := range strings.Lines(table.String()) {
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
}

func writeComparison(b *strings.Builder, r, before *load.Result) {
	if before == nil {
		return
	}
	section(b, "Compared with the run of "+before.Began.Format("2006-01-02 15:04:05 MST"), func(row rowWriter) {
		row("", "THEN", "NOW", "CHANGE")
		for _, d := range Compare(before, r) {
			row(d.Metric.Name, d.Metric.Format(d.Old), d.Metric.Format(d.New), strings.TrimSpace(d.change()+" "+d.judgement()))
		}
	})
	for _, f := range differences(before, r) {
		fmt.Fprintf(b, "  not the same: %s\n", f)
	}
}

// differences names what is not the same in the environments of two runs.
func differences(before, now *load.Result) (all []string) {
	old := map[string]string{}
	for _, f := range before.Environment {
		old[f.Name] = f.Value
	}
	for _, f := range now.Environment {
		if was, ok := old[f.Name]; !ok || was != f.Value {
			if !ok {
				was = "not said"
			}
			all = append(all, fmt.Sprintf("%s was %s, is %s", f.Name, was, f.Value))
		}
	}
	return all
}

func interrupted(r *load.Result) string {
	if r.Interrupted {
		return ", interrupted"
	}
	return ""
}

// quantiles returns the cells of a distribution.
func quantiles(d load.Distribution) []string {
	if d.Count == 0 {
		return []string{"-", "-", "-", "-", "-"}
	}
	return []string{milliseconds(d.P50MS), milliseconds(d.P90MS), milliseconds(d.P99MS), milliseconds(d.P999MS), milliseconds(d.MaxMS)}
}

// revocation says in sentences what the checks after logouts saw.
func revocation(r *load.Result) []string {
	v := r.Revocation
	if v.Logouts == 0 {
		return []string{"no logout was checked: nothing is shown about leaks"}
	}
	lines := []string{
		fmt.Sprintf("%s logouts, %s checks sent after their return and answered, %s of these accepted: %s.", whole(v.Logouts),
			whole(v.Checks), whole(v.Leaks), leakVerdict(v)),
		fmt.Sprintf("At most %s of logouts leak under this load, with %g %% confidence.", percent(v.Bound), v.Confidence*100),
	}
	if v.Unanswered > 0 || v.Unsent > 0 {
		lines = append(lines, fmt.Sprintf("%s checks got 503 or no answer, %s could not be sent: they show nothing.", whole(v.Unanswered), whole(v.Unsent)))
	}
	if r.FalseAlarms > 0 || r.Doubtful > 0 {
		lines = append(lines, fmt.Sprintf("%s good refresh tokens were refused, and %s after an attempt that was not answered.", whole(r.FalseAlarms), whole(r.Doubtful)))
	}
	if r.Expired > 0 {
		lines = append(lines, fmt.Sprintf("%s sessions were thrown away because their access token was about to expire.", whole(r.Expired)))
	}
	return lines
}

func leakVerdict(v load.Revocation) string {
	if v.Leaks == 0 {
		return "no leak"
	}
	return "LEAKS after " + whole(v.Leaking) + " logouts"
}

func replicaHead(r *load.Result) []string {
	head := []string{"", "CHECKS", "LEAKS", "LAST ACCEPT", "FIRST REFUSAL", "VERIFY P50", "P99", "503", "SILENT", "WRONG 401"}
	if r.Stream {
		head = append(head, "LAG P99", "LAG MAX", "BEHIND", "GAPS")
	}
	return append(head, "URL")
}

func replicaRow(r *load.Result, v load.ReplicaView) []string {
	row := []string{v.Name, whole(v.Checks), whole(v.Leaks), instant(v.LastAccept), instant(v.FirstRefusal)}
	if v.Verify.Count > 0 {
		row = append(row, milliseconds(v.Verify.P50MS), milliseconds(v.Verify.P99MS))
	} else {
		row = append(row, "-", "-")
	}
	row = append(row, seconds(v.Refusing), seconds(v.Silent), whole(v.WrongRefusals))
	if r.Stream {
		row = append(row, whole(v.LagP99), whole(v.LagMax), seconds(v.Behind), whole(v.Gaps))
	}
	return append(row, v.URL)
}

// instant writes median and latest of some instants relative to the return of a logout.
func instant(s load.Spread) string {
	if s.Count == 0 {
		return "-"
	}
	return signed(s.P50MS) + " / " + signed(s.MaxMS)
}

// signed writes a time with its sign.
func signed(ms float64) string {
	if ms > 0 {
		return "+" + milliseconds(ms)
	}
	return milliseconds(ms)
}

func until(f load.Fault) string {
	if f.To == 0 {
		return "never"
	}
	return seconds(f.To)
}
