package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/knell-auth/knell/cluster-test/load"
)

// Threshold is a condition under which a run has failed.
type Threshold struct {
	Metric Metric
	Op     string
	Value  float64 // in the metric's unit
	text   string
}

// String returns the condition as it was written.
func (t Threshold) String() string { return t.text }

// operator says for which order of measured and given value a condition is met.
type operator struct {
	text string
	met  func(order int) bool
}

// operators, the longer ones first.
var operators = []operator{
	{">=", func(o int) bool { return o >= 0 }},
	{"<=", func(o int) bool { return o <= 0 }},
	{"==", func(o int) bool { return o == 0 }},
	{"!=", func(o int) bool { return o != 0 }},
	{">", func(o int) bool { return o > 0 }},
	{"<", func(o int) bool { return o < 0 }},
}

// ParseThresholds reads conditions such as "leaks>0, logout_p99>5ms". The grammar:
//
//	conditions = condition { "," condition }
//	condition  = metric ( ">" | ">=" | "<" | "<=" | "==" | "!=" ) value
//	value      = number            for a metric that counts
//	           | number "%"        or a number from 0 to 1, for a share
//	           | number [ "/s" ]   for a rate
//	           | duration          such as 5ms or 1.5s, for a time
//
// Spaces mean nothing.
func ParseThresholds(text string) (all []Threshold, err error) {
	for part := range strings.SplitSeq(text, ",") {
		t, err := parseThreshold(strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, nil
}

func parseThreshold(text string) (Threshold, error) {
	for i := range text {
		for _, op := range operators {
			if !strings.HasPrefix(text[i:], op.text) {
				continue
			}
			t := Threshold{Op: op.text, text: text}
			name := strings.TrimSpace(text[:i])
			var known bool
			if t.Metric, known = FindMetric(name); !known {
				return t, fmt.Errorf("%q: there is no metric %q%s", text, name, suggestion(name))
			}
			var err error
			if t.Value, err = t.Metric.parse(strings.TrimSpace(text[i+len(op.text):])); err != nil {
				return t, fmt.Errorf("%q: %w", text, err)
			}
			return t, nil
		}
	}
	return Threshold{}, fmt.Errorf("%q is no condition: want a metric, one of > >= < <= == !=, and a value, such as leaks>0", text)
}

// parse reads a value in the unit of m.
func (m Metric) parse(text string) (v float64, err error) {
	want := "a number"
	switch m.Unit {
	case Milliseconds, Seconds:
		want = "a time such as 5ms"
		var d time.Duration
		d, err = time.ParseDuration(text)
		v = d.Seconds()
		if m.Unit == Milliseconds {
			v = float64(d) / float64(time.Millisecond)
		}
	case Share:
		want = "a share such as 0.1% or 0.001"
		digits, hundredths := strings.CutSuffix(text, "%")
		v, err = strconv.ParseFloat(strings.TrimSpace(digits), 64)
		if hundredths {
			v /= 100
		}
	case PerSecond:
		want = "a rate such as 20 or 20/s"
		v, err = strconv.ParseFloat(strings.TrimSuffix(text, "/s"), 64)
	default:
		v, err = strconv.ParseFloat(text, 64)
	}
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, fmt.Errorf("%s takes %s, not %q", m.Name, want, text)
	}
	return v, nil
}

// suggestion names metrics that look like name.
func suggestion(name string) string {
	var near []string
	stem, _, _ := strings.Cut(name, "_")
	for _, m := range Metrics {
		if stem != "" && strings.HasPrefix(m.Name, stem) {
			near = append(near, m.Name)
		}
	}
	if len(near) == 0 {
		for _, m := range Metrics {
			if strings.Contains(m.Name, "_p99") && !strings.Contains(m.Name, "_p999") || !strings.Contains(m.Name, "_") {
				near = append(near, m.Name)
			}
		}
	}
	return "; there are, among others, " + strings.Join(near, ", ")
}

// Verdict is what came of a threshold.
type Verdict struct {
	Threshold
	Was        float64
	Unmeasured bool // nothing was measured that could be compared: the run does not show what it should
	Met        bool
}

// String says what came of it.
func (v Verdict) String() string {
	switch {
	case v.Unmeasured:
		return fmt.Sprintf("%s can't be judged: the run did not measure %s", v.Threshold, v.Metric.Name)
	case v.Met:
		return fmt.Sprintf("%s is met: %s", v.Threshold, v.Metric.Format(v.Was))
	}
	return fmt.Sprintf("%s is not met: %s", v.Threshold, v.Metric.Format(v.Was))
}

// Judge compares a result with thresholds. failed is true when one is met or cannot be judged.
func Judge(r *load.Result, thresholds []Threshold) (all []Verdict, failed bool) {
	for _, t := range thresholds {
		was, measured := t.Metric.Value(r)
		v := Verdict{Threshold: t, Was: was, Unmeasured: !measured}
		i := slices.IndexFunc(operators, func(o operator) bool { return o.text == t.Op })
		v.Met = measured && operators[i].met(cmp.Compare(was, t.Value))
		failed = failed || v.Met || v.Unmeasured
		all = append(all, v)
	}
	return all, failed
}
