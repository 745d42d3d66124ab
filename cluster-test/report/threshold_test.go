package report

import (
	"math"
	"slices"
	"strings"
	"testing"
)

func TestParseThresholds(t *testing.T) {
	for text, want := range map[string][]Threshold{
		"leaks>0":                       {{Metric: Metric{Name: "leaks"}, Op: ">"}},
		" leaks >0 ,logout_p99 >= 5ms ": {{Metric: Metric{Name: "leaks"}, Op: ">"}, {Metric: Metric{Name: "logout_p99"}, Op: ">=", Value: 5}},
		"logout_max>1.5s":               {{Metric: Metric{Name: "logout_max"}, Op: ">", Value: 1500}},
		"refusing>500ms":                {{Metric: Metric{Name: "refusing"}, Op: ">", Value: 0.5}},
		"leak_bound>0.1%":               {{Metric: Metric{Name: "leak_bound"}, Op: ">", Value: 0.001}},
		"leak_bound>0.001":              {{Metric: Metric{Name: "leak_bound"}, Op: ">", Value: 0.001}},
		"verify_rate<190/s":             {{Metric: Metric{Name: "verify_rate"}, Op: "<", Value: 190}},
		"checks<=10":                    {{Metric: Metric{Name: "checks"}, Op: "<=", Value: 10}},
		"unsent!=0":                     {{Metric: Metric{Name: "unsent"}, Op: "!=", Value: 0}},
		"logouts==7":                    {{Metric: Metric{Name: "logouts"}, Op: "==", Value: 7}},
		"last_accept>-1ms":              {{Metric: Metric{Name: "last_accept"}, Op: ">", Value: -1}},
	} {
		got, err := ParseThresholds(text)
		same := func(a, b Threshold) bool {
			return a.Metric.Name == b.Metric.Name && a.Op == b.Op && math.Abs(a.Value-b.Value) < 1e-12
		}
		if err != nil || !slices.EqualFunc(got, want, same) {
			t.Errorf("%q: %v %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"":                "is no condition",
		"leaks":           "is no condition",
		"leaks>0,":        `"" is no condition`,
		"leaks=0":         "is no condition",
		">0":              `there is no metric ""`,
		"leeks>0":         `there is no metric "leeks"; there are, among others, `,
		"logout_p98>5ms":  `there is no metric "logout_p98"; there are, among others, logouts, logout_p50`,
		"leaks>many":      "leaks takes a number",
		"leaks>0ms":       "leaks takes a number",
		"leaks>":          "leaks takes a number",
		"leaks>>0":        "leaks takes a number",
		"leaks>NaN":       "leaks takes a number",
		"logout_p99>5":    "logout_p99 takes a time such as 5ms",
		"logout_p99>5%":   "logout_p99 takes a time",
		"leak_bound>5ms":  "leak_bound takes a share",
		"verify_rate>5ms": "verify_rate takes a rate",
	} {
		if got, err := ParseThresholds(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v %v, want %q", text, got, err, want)
		}
	}
}

func TestJudge(t *testing.T) {
	r := recorded(t, "run.json")
	for text, want := range map[string]bool{
		"leaks>0": false, "leaks>=0": true, "leaks==0": true, "leaks!=0": false, "leaks<1": true, "leaks<=0": true,
		"logout_max>1ms": true, "logout_max>1h": false, "leak_bound>50%": false, "leaks>0,logout_max>1ms": true,
	} {
		list, err := ParseThresholds(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, failed := Judge(r, list); failed != want {
			t.Errorf("%s: failed is %v", text, failed)
		}
	}
}

// What was not measured does not pass: a run without logouts shows nothing about leaks.
func TestUnmeasuredFails(t *testing.T) {
	r := recorded(t, "run.json")
	r.Revocation.Logouts, r.Operations, r.Stream = 0, nil, false
	for _, text := range []string{"leaks>0", "leak_bound>1%", "logout_p99>5ms", "refresh_failed>0", "gaps>0"} {
		list, err := ParseThresholds(text)
		if err != nil {
			t.Fatal(err)
		}
		verdicts, failed := Judge(r, list)
		if !failed || !strings.Contains(verdicts[0].String(), "can't be judged") {
			t.Errorf("%s: %v", text, verdicts)
		}
	}
}

// Every metric has a name of its own that the grammar can express, and a text.
func TestMetrics(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range Metrics {
		if seen[m.Name] || m.Text == "" || strings.ContainsAny(m.Name, " <>=!,") {
			t.Errorf("%q: %q", m.Name, m.Text)
		}
		seen[m.Name] = true
	}
}

func TestFormat(t *testing.T) {
	for _, c := range []struct {
		unit Unit
		v    float64
		want string
	}{
		{Count, 1234567, "1,234,567"}, {Count, 999, "999"}, {Count, -1000, "-1,000"},
		{Milliseconds, 0, "0"}, {Milliseconds, 0.012, "12 µs"}, {Milliseconds, 1.234, "1.23 ms"}, {Milliseconds, 56.78, "56.8 ms"},
		{Milliseconds, 12345, "12.35 s"}, {Milliseconds, -3.2, "-3.20 ms"},
		{Seconds, 0, "0 s"}, {Seconds, 1.25, "1.25 s"},
		{Share, 0, "0 %"}, {Share, 0.0123, "1.2 %"}, {Share, 0.000002996, "0.0003 %"}, {Share, 1, "100 %"}, {Share, 0.5, "50 %"},
		{PerSecond, 199.96, "200/s"},
	} {
		if got := (Metric{Unit: c.unit}).Format(c.v); got != c.want {
			t.Errorf("%v: %q, want %q", c.v, got, c.want)
		}
	}
}
