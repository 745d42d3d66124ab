// Package report shows what a load test measured: as text, as JSON and as one HTML file, alone or beside a former run, and
// judges it by thresholds.
//
// It owns the names of the metrics, the grammar of thresholds and the layout. It does not know how anything is measured
// (package load).
package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/knell-auth/knell/cluster-test/load"
)

// Unit says what the value of a metric counts.
type Unit int

// Units.
const (
	Count Unit = iota
	Milliseconds
	Seconds
	Share
	PerSecond
)

// Better says which change of a metric is one for the better.
type Better int

// Directions.
const (
	Less Better = iota
	More
	Neither // it says how much was done
)

// Metric is one number of a result.
type Metric struct {
	Name   string
	Text   string // for people
	Unit   Unit
	Better Better
	value  func(*load.Result) (float64, bool)
}

// Value returns the metric of a result; ok is false when the run did not measure it.
func (m Metric) Value(r *load.Result) (v float64, ok bool) { return m.value(r) }

// Metrics are all metrics in the order in which they are reported.
var Metrics = metrics()

// FindMetric returns the metric of a name.
func FindMetric(name string) (Metric, bool) {
	i := slices.IndexFunc(Metrics, func(m Metric) bool { return m.Name == name })
	if i < 0 {
		return Metric{}, false
	}
	return Metrics[i], true
}

func metrics() []Metric {
	all := revocationMetrics()
	for _, kind := range []string{"logout", "login", "verify", "refresh"} {
		operation := func(r *load.Result) *load.Operation { return operationOf(r, kind) }
		all = append(all, distributionMetrics(kind, kind, func(r *load.Result) load.Distribution {
			if o := operation(r); o != nil {
				return o.Latency
			}
			return load.Distribution{}
		})...)
		all = append(all,
			Metric{kind + "_rate", kind + "s answered a second", PerSecond, More, func(r *load.Result) (float64, bool) {
				o := operation(r)
				if o == nil || r.Measured <= 0 {
					return 0, false
				}
				return float64(o.Latency.Count) / r.Measured, true
			}},
			Metric{kind + "_failed", kind + "s without the answer that was due", Count, Less, func(r *load.Result) (float64, bool) {
				o := operation(r)
				if o == nil {
					return 0, false
				}
				n := o.Unavailable + o.Unknown + o.Unexpected
				if kind != "verify" { // there, a refusal may be right
					n += o.Refused
				}
				return float64(n), true
			}})
	}
	for _, p := range []struct {
		name, text string
		of         func(*load.Result) load.Distribution
	}{
		{"commit", "logout, until it is in the log", func(r *load.Result) load.Distribution { return r.Parts.Commit }},
		{"wait", "logout, wait for the other replicas", func(r *load.Result) load.Distribution { return r.Parts.Wait }},
		{"rest", "logout, the rest", func(r *load.Result) load.Distribution { return r.Parts.Rest }},
		{"late", "requests sent late by the load tester", func(r *load.Result) load.Distribution { return r.Lateness }},
	} {
		all = append(all, distributionMetrics(p.name, p.text, p.of)...)
	}
	return append(all, replicaMetrics()...)
}

// revocationMetrics need at least one logout that was checked: without one, nothing was shown.
func revocationMetrics() []Metric {
	of := func(name, text string, unit Unit, value func(load.Revocation) float64) Metric {
		better := Less
		if name == "checks" || name == "logouts" {
			better = Neither
		}
		return Metric{name, text, unit, better, func(r *load.Result) (float64, bool) {
			return value(r.Revocation), r.Revocation.Logouts > 0
		}}
	}
	instant := func(name, text string, at func(load.ReplicaView) load.Spread) Metric {
		return Metric{name, text, Milliseconds, Less, func(r *load.Result) (latest float64, ok bool) {
			latest = math.Inf(-1)
			for _, v := range r.Replicas {
				if s := at(v); s.Count > 0 {
					latest, ok = max(latest, s.MaxMS), true
				}
			}
			if !ok {
				latest = 0
			}
			return latest, ok
		}}
	}
	return []Metric{
		of("leaks", "checks sent after the logout returned, and accepted", Count, func(r load.Revocation) float64 { return float64(r.Leaks) }),
		of("leaking_logouts", "logouts after which some check was accepted", Count, func(r load.Revocation) float64 { return float64(r.Leaking) }),
		of("leak_bound", "upper bound on the share of logouts that leak", Share, func(r load.Revocation) float64 { return r.Bound }),
		of("logouts", "logouts that were checked", Count, func(r load.Revocation) float64 { return float64(r.Logouts) }),
		of("checks", "checks sent after the return and answered", Count, func(r load.Revocation) float64 { return float64(r.Checks) }),
		instant("last_accept", "latest accept of a traced logout after its return", func(v load.ReplicaView) load.Spread { return v.LastAccept }),
		instant("first_refusal", "latest first refusal of a traced logout after its return", func(v load.ReplicaView) load.Spread { return v.FirstRefusal }),
	}
}

func distributionMetrics(name, text string, of func(*load.Result) load.Distribution) []Metric {
	var all []Metric
	for _, q := range []struct {
		name, text string
		at         func(load.Distribution) float64
	}{
		{"p50", "median", func(d load.Distribution) float64 { return d.P50MS }},
		{"p90", "90 %", func(d load.Distribution) float64 { return d.P90MS }},
		{"p99", "99 %", func(d load.Distribution) float64 { return d.P99MS }},
		{"p999", "99.9 %", func(d load.Distribution) float64 { return d.P999MS }},
		{"max", "slowest", func(d load.Distribution) float64 { return d.MaxMS }},
		{"mean", "mean", func(d load.Distribution) float64 { return d.MeanMS }},
	} {
		all = append(all, Metric{name + "_" + q.name, text + ", " + q.text, Milliseconds, Less, func(r *load.Result) (float64, bool) {
			d := of(r)
			return q.at(d), d.Count > 0
		}})
	}
	return all
}

func replicaMetrics() []Metric {
	worst := func(name, text string, unit Unit, stream bool, at func(load.ReplicaView) float64) Metric {
		return Metric{name, text, unit, Less, func(r *load.Result) (w float64, ok bool) {
			for _, v := range r.Replicas {
				w = max(w, at(v))
			}
			return w, len(r.Replicas) > 0 && (r.Stream || !stream)
		}}
	}
	sum := func(name, text string, at func(*load.Result) int64) Metric {
		return Metric{name, text, Count, Less, func(r *load.Result) (float64, bool) { return float64(at(r)), true }}
	}
	ofAll := func(at func(load.Operation) int64) func(*load.Result) int64 {
		return func(r *load.Result) (n int64) {
			for _, o := range r.Operations {
				n += at(o)
			}
			return n
		}
	}
	return []Metric{
		worst("refusing", "longest that one replica answered 503, added up", Seconds, false, func(v load.ReplicaView) float64 { return v.Refusing }),
		worst("silent", "longest that one replica did not answer, added up", Seconds, false, func(v load.ReplicaView) float64 { return v.Silent }),
		sum("wrong_refusals", "good tokens that were refused", func(r *load.Result) (n int64) {
			for _, v := range r.Replicas {
				n += v.WrongRefusals
			}
			return n
		}),
		sum("refresh_false_alarms", "good refresh tokens that were refused", func(r *load.Result) int64 { return r.FalseAlarms }),
		worst("lag_max", "most events that one replica was behind", Count, true, func(v load.ReplicaView) float64 { return float64(v.LagMax) }),
		worst("behind", "longest that one replica was behind", Seconds, true, func(v load.ReplicaView) float64 { return v.Behind }),
		worst("gaps", "times that one replica went back or differed", Count, true, func(v load.ReplicaView) float64 { return float64(v.Gaps) }),
		sum("unsent", "operations that could not be sent in time", ofAll(func(o load.Operation) int64 { return o.Unsent })),
		sum("no_session", "operations without a session to work on", ofAll(func(o load.Operation) int64 { return o.NoSession })),
		sum("unexpected", "answers that the interface does not have", ofAll(func(o load.Operation) int64 { return o.Unexpected })),
	}
}

func operationOf(r *load.Result, kind string) *load.Operation {
	i := slices.IndexFunc(r.Operations, func(o load.Operation) bool { return o.Kind == kind })
	if i < 0 {
		return nil
	}
	return &r.Operations[i]
}

// Format writes a value of m as people read it.
func (m Metric) Format(v float64) string {
	switch m.Unit {
	case Milliseconds:
		return milliseconds(v)
	case Seconds:
		return seconds(v)
	case Share:
		return percent(v)
	case PerSecond:
		return trim(v, 1) + "/s"
	}
	return whole(int64(v))
}

// milliseconds returns a time with three digits or so.
func milliseconds(ms float64) string {
	d := time.Duration(ms * float64(time.Millisecond))
	abs := d.Abs()
	switch {
	case abs == 0:
		return "0"
	case abs >= 9995*time.Microsecond*100: // rounds to 1.00 s
		return fmt.Sprintf("%.2f s", d.Seconds())
	case abs >= 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", ms)
	case abs >= time.Millisecond:
		return fmt.Sprintf("%.2f ms", ms)
	}
	return fmt.Sprintf("%.0f µs", ms*1000)
}

func seconds(s float64) string {
	if s == 0 {
		return "0 s"
	}
	return trim(s, 2) + " s"
}

// percent returns a share with two digits that count.
func percent(share float64) string {
	p := share * 100
	if p == 0 {
		return "0 %"
	}
	digits := max(0, 1-int(math.Floor(math.Log10(math.Abs(p)))))
	return trim(p, digits) + " %"
}

// trim returns v with at most so many digits after the point.
func trim(v float64, digits int) string {
	scale := math.Pow10(digits)
	return strconv.FormatFloat(math.Round(v*scale)/scale, 'f', -1, 64)
}

// whole returns n with thin groups of three digits.
func whole(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
