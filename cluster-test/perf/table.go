package main

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// table prints the rows in Markdown.
func table(out io.Writer, y summary, rows []*row) {
	fmt.Fprintln(out, "| service on one processor | requests/s | CPU per request | p50 | p99 | throughput, of the empty handler's | CPU beyond it |")
	fmt.Fprintln(out, "|---|---|---|---|---|---|---|")
	for _, r := range rows {
		share, beyond := "", ""
		if r.base != nil {
			share = fmt.Sprintf("%.2f", y.ratio(r.samples, r.bases, y.throughput()))
			beyond = micros(y.of(r.samples, cpu) - y.of(r.bases, cpu))
		}
		fmt.Fprintf(out, "| %s | %.0f | %s | %s | %s | %s | %s |\n", r.name, y.of(r.samples, rate), micros(y.of(r.samples, cpu)),
			millis(y.of(r.samples, p50)), millis(y.of(r.samples, p99)), share, beyond)
	}
	fmt.Fprintln(out)
}

func micros(ns float64) string { return fmt.Sprintf("%.1f µs", ns/float64(time.Microsecond)) }
func millis(ns float64) string { return fmt.Sprintf("%.2f ms", ns/float64(time.Millisecond)) }

// requirement is something that has to be reached.
type requirement struct {
	text     string
	measured float64
	limit    float64
	atMost   bool
}

func (r requirement) reached() bool {
	if r.atMost {
		return r.measured <= r.limit
	}
	return r.measured >= r.limit
}

// String returns the requirement with what was measured.
func (r requirement) String() string {
	verdict, sign := "reached", ">="
	if r.atMost {
		sign = "<="
	}
	if !r.reached() {
		verdict = "MISSED"
	}
	return fmt.Sprintf("%s: %s: %.4g, required %s %.4g", verdict, r.text, r.measured, sign, r.limit)
}

// requirements returns those that were asked for and could be measured.
func requirements(s settings, rows []*row, fl *floodResult) (list []requirement) {
	y := s.summary
	find := func(name string) *row {
		i := slices.IndexFunc(rows, func(r *row) bool { return r.name == name })
		if i < 0 {
			return nil
		}
		return rows[i]
	}
	if one := find(oneToken); one != nil {
		list = append(list, requirement{text: oneToken + ", of an empty handler", measured: y.ratio(one.samples, one.bases, y.throughput()), limit: s.minOne})
		if rival := find(jwtEdDSA + withRedis); rival != nil {
			list = append(list, requirement{text: oneToken + ", times " + rival.name, measured: y.ratio(one.samples, rival.samples, y.throughput()), limit: s.minRedis})
		}
	}
	if many := find(manyTokens); many != nil {
		list = append(list, requirement{text: manyTokens + ", of an empty handler", measured: y.ratio(many.samples, many.bases, y.throughput()), limit: s.minMany})
	}
	if r := find(introspect); r != nil {
		list = append(list, requirement{text: introspect + ", a second", measured: y.of(r.samples, y.throughput()), limit: s.minIntrospect})
	}
	if fl != nil {
		list = append(list, requirement{text: "p99 of `/verify` under a flood of logins, times idle", measured: y.ratio(fl.flooded, fl.idle, p99), limit: s.maxFlood, atMost: true})
	}
	return slices.DeleteFunc(list, func(r requirement) bool { return r.limit == 0 })
}
