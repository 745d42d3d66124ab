package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/knell-auth/knell/cluster-test/load"
)

// ErrFormat says that a file is no result of a load test, or one of another version.
var ErrFormat = errors.New("not a result of this version's load test")

// WriteJSON writes a result.
func WriteJSON(w io.Writer, r *load.Result) error {
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(r)
}

// ReadFile reads a result that WriteJSON wrote.
func ReadFile(path string) (*load.Result, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var r load.Result
	if err := json.NewDecoder(f).Decode(&r); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", path, ErrFormat, err)
	}
	if r.Format != load.Format {
		return nil, fmt.Errorf("%s: %w: format %d, want %d", path, ErrFormat, r.Format, load.Format)
	}
	return &r, nil
}

// Delta is a metric of two runs.
type Delta struct {
	Metric   Metric
	Old, New float64
}

// Compare returns the metrics that both runs measured and at least one of them with another value than zero.
func Compare(before, now *load.Result) (all []Delta) {
	for _, m := range Metrics {
		a, measured := m.Value(before)
		b, too := m.Value(now)
		if measured && too && (a != 0 || b != 0) {
			all = append(all, Delta{m, a, b})
		}
	}
	return all
}

// Worse reports whether the change is one for the worse, however small.
func (d Delta) Worse() bool { return d.New != d.Old && (d.New < d.Old) == (d.Metric.Better == More) }

// Notable reports whether the change is larger than a tenth: runs differ by less for no reason.
func (d Delta) Notable() bool {
	return d.Metric.Better != Neither && math.Abs(d.New-d.Old) > math.Abs(d.Old)/10
}

// change writes a change as people read it: as a share of what it was, or as a difference where that would say nothing.
func (d Delta) change() string {
	switch {
	case d.New == d.Old:
		return "same"
	case d.Old <= 0 || d.New < 0:
		sign := ""
		if d.New > d.Old {
			sign = "+"
		}
		return sign + d.Metric.Format(d.New-d.Old)
	case d.New >= 3*d.Old:
		return fmt.Sprintf("%.3g x", d.New/d.Old)
	}
	return fmt.Sprintf("%+.0f %%", (d.New-d.Old)/d.Old*100)
}

// judgement says in a word whether a change matters.
func (d Delta) judgement() string {
	switch {
	case !d.Notable():
		return ""
	case d.Worse():
		return "worse"
	}
	return "better"
}
