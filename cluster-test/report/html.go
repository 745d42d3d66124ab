package report

import (
	_ "embed" // for page.html
	"html/template"
	"io"

	"github.com/knell-auth/knell/cluster-test/load"
)

//go:embed page.html
var page string

var pageTemplate = template.Must(template.New("page").Parse(page))

// table is a table of the page. The first column holds names.
type table struct {
	Head []string
	Rows [][]string
}

// tile is a number that stands out.
type tile struct {
	Name, Value, Note string
	Bad               bool
}

// comparison is a line of the comparison with a former run.
type comparison struct {
	Name, Text, Then, Now, Change, Judgement string
}

// HTML writes a result as one file that needs nothing else: no script, and pictures as SVG. before is a former run to
// compare with, or nil.
func HTML(w io.Writer, r *load.Result, verdicts []Verdict, before *load.Result) error {
	data := struct {
		Result                      *load.Result
		Began, Measured             string
		Tiles                       []tile
		Revocation                  []string
		Verdicts                    []Verdict
		Operations, Parts, Replicas table
		Faults                      table
		OperationChart, PartChart   template.HTML
		Timeline                    template.HTML
		Comparison                  []comparison
		Before                      string
		Differences                 []string
		Last                        table
	}{
		Result: r, Began: r.Began.Format("2006-01-02 15:04:05 MST"), Measured: seconds(r.Measured),
		Tiles: tiles(r), Revocation: revocation(r), Verdicts: verdicts,
		Operations: operationTable(r), Parts: partTable(r), Replicas: replicaTable(r), Last: lastTable(r), Faults: faultTable(r),
		OperationChart: operationChart(r), PartChart: partChart(r), Timeline: timeline(r),
	}
	if before != nil {
		data.Before = before.Began.Format("2006-01-02 15:04:05 MST")
		data.Differences = differences(before, r)
		for _, d := range Compare(before, r) {
			data.Comparison = append(data.Comparison, comparison{
				d.Metric.Name, d.Metric.Text, d.Metric.Format(d.Old), d.Metric.Format(d.New), d.change(), d.judgement(),
			})
		}
	}
	return pageTemplate.Execute(w, data)
}

// tiles are the numbers that a run is done for.
func tiles(r *load.Result) []tile {
	v := r.Revocation
	all := []tile{{"leaks", whole(v.Leaks), "of " + whole(v.Checks) + " checks after " + whole(v.Logouts) + " logouts", v.Leaks > 0}}
	if v.Logouts == 0 {
		all[0].Note = "no logout was checked"
	} else {
		all = append(all, tile{"logouts that leak", "≤ " + percent(v.Bound), trim(v.Confidence*100, 1) + " % confidence", v.Leaks > 0})
	}
	for _, k := range []string{"logout", "verify"} {
		if o := operationOf(r, k); o != nil && o.Latency.Count > 0 {
			all = append(all, tile{k + ", 99 %", milliseconds(o.Latency.P99MS), "median " + milliseconds(o.Latency.P50MS) + ", slowest " + milliseconds(o.Latency.MaxMS), false})
		}
	}
	var wrong int64
	var refusing, silent float64
	for _, x := range r.Replicas {
		wrong += x.WrongRefusals
		refusing, silent = max(refusing, x.Refusing), max(silent, x.Silent)
	}
	return append(all,
		tile{"unavailable", seconds(refusing + silent), "worst replica: 503 " + seconds(refusing) + ", silent " + seconds(silent), false},
		tile{"wrongly refused", whole(wrong + r.FalseAlarms), "good tokens " + whole(wrong) + ", refreshes " + whole(r.FalseAlarms), wrong+r.FalseAlarms > 0})
}

func operationTable(r *load.Result) table {
	t := table{Head: []string{"", "due", "ok", "refused", "unavail.", "unknown", "unexp.", "unsent", "no session", "retried", "p50", "p90", "p99", "p99.9", "slowest"}}
	for _, o := range r.Operations {
		t.Rows = append(t.Rows, append([]string{o.Kind, whole(o.Due), whole(o.OK), whole(o.Refused), whole(o.Unavailable), whole(o.Unknown),
			whole(o.Unexpected), whole(o.Unsent), whole(o.NoSession), whole(o.Retried)}, quantiles(o.Latency)...))
	}
	return t
}

func partTable(r *load.Result) (t table) {
	if r.Parts.Commit.Count == 0 {
		return t
	}
	t.Head = []string{"part of a logout", "p50", "p90", "p99", "p99.9", "slowest"}
	for _, c := range partCurves(r) {
		t.Rows = append(t.Rows, append([]string{c.name}, quantiles(c.of)...))
	}
	return t
}

func lastTable(r *load.Result) (t table) {
	t.Head = []string{"last to follow", "times", "median wait", "longest"}
	for _, l := range r.Parts.Last {
		t.Rows = append(t.Rows, []string{l.Name, whole(l.Count), milliseconds(l.P50MS), milliseconds(l.MaxMS)})
	}
	return t
}

func faultTable(r *load.Result) (t table) {
	t.Head = []string{"fault", "replica", "from", "ready again"}
	for _, f := range r.Faults {
		t.Rows = append(t.Rows, []string{f.Name, f.Replica, seconds(f.From), until(f)})
	}
	return t
}

func replicaTable(r *load.Result) table {
	t := table{Head: []string{"", "checks", "leaks", "last accept", "first refusal", "verify p50", "p99", "503", "silent", "wrong 401"}}
	if r.Stream {
		t.Head = append(t.Head, "lag p99", "lag max", "behind", "gaps")
	}
	for _, v := range r.Replicas {
		row := replicaRow(r, v)
		t.Rows = append(t.Rows, row[:len(row)-1]) // the URL is in the list below
	}
	return t
}

func operationChart(r *load.Result) template.HTML {
	var curves []curve
	for _, k := range []string{"logout", "login", "refresh", "verify"} {
		c := curve{name: k}
		if o := operationOf(r, k); o != nil {
			c.of = o.Latency
		}
		curves = append(curves, c)
	}
	return curveChart("Latency by percentile of logout, login, refresh and verify", curves)
}

func partCurves(r *load.Result) []curve {
	return []curve{{"commit", r.Parts.Commit}, {"wait", r.Parts.Wait}, {"rest", r.Parts.Rest}}
}

func partChart(r *load.Result) template.HTML {
	return curveChart("Latency by percentile of the parts of a logout", partCurves(r))
}
