package report

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"strings"

	"github.com/knell-auth/knell/cluster-test/load"
)

// drawing is an SVG picture in the making. Colours are classes of the page's style sheet, so that they follow the scheme.
type drawing struct {
	b             strings.Builder
	width, height float64
}

func newDrawing(width, height float64, title string) *drawing {
	d := &drawing{width: width, height: height}
	d.printf(`<svg viewBox="0 0 %s %s" role="img" aria-label="%s"><title>%s</title>`, num(width), num(height), html.EscapeString(title), html.EscapeString(title))
	return d
}

func (d *drawing) printf(format string, args ...any) { fmt.Fprintf(&d.b, format, args...) }

func (d *drawing) done() template.HTML {
	d.b.WriteString("</svg>")
	return template.HTML(d.b.String()) // every text in it was escaped by text and newDrawing
}

// num writes a coordinate.
func num(v float64) string { return trim(v, 1) }

func (d *drawing) line(class string, x1, y1, x2, y2 float64) {
	d.printf(`<line class="%s" x1="%s" y1="%s" x2="%s" y2="%s"/>`, class, num(x1), num(y1), num(x2), num(y2))
}

// rect draws a rectangle that says a text when it is pointed at.
func (d *drawing) rect(class string, x, y, width, height float64, tip string) {
	d.printf(`<rect class="%s" x="%s" y="%s" width="%s" height="%s">`, class, num(x), num(y), num(max(width, 0)), num(max(height, 0)))
	if tip != "" {
		d.printf(`<title>%s</title>`, html.EscapeString(tip))
	}
	d.printf(`</rect>`)
}

// text writes text; anchor is start, middle or end.
func (d *drawing) text(class, anchor string, x, y float64, s string) {
	d.printf(`<text class="%s" text-anchor="%s" x="%s" y="%s">%s</text>`, class, anchor, num(x), num(y), html.EscapeString(s))
}

// curve is a line of a chart.
type curve struct {
	name string
	of   load.Distribution
}

// Sizes of the curve chart.
const (
	chartWidth, chartHeight = 620.0, 330.0
	chartLeft, chartRight   = 62.0, 84.0
	chartTop, chartBottom   = 14.0, 40.0
)

// maxNines is the rarest share that is drawn: 99.9999 %.
const maxNines = 6

// maxSpan bounds the ratio of the ends of the other axis.
const maxSpan = 1e5

// nines turns a percentile into a place on the axis: 90 % is 1, 99 % is 2.
func nines(percentile float64) float64 {
	return -math.Log10(max(1-percentile/100, math.Pow10(-maxNines)))
}

// curveChart draws latencies by percentile: each step to the right is ten times as rare. Both axes are logarithmic.
func curveChart(title string, curves []curve) template.HTML {
	right, low, high := 1.0, math.Inf(1), 0.0
	for _, c := range curves {
		if c.of.Count == 0 {
			continue
		}
		right = max(right, math.Log10(float64(c.of.Count)))
		low, high = min(low, max(c.of.MinMS, 0.001)), max(high, c.of.MaxMS)
	}
	if high == 0 {
		return ""
	}
	right, low = min(right, maxNines), max(low, high/maxSpan)
	bottom, top := math.Floor(math.Log10(low)), math.Ceil(math.Log10(high)+0.02)
	d := newDrawing(chartWidth, chartHeight, title)
	w, h := chartWidth-chartLeft-chartRight, chartHeight-chartTop-chartBottom
	x := func(percentile float64) float64 { return chartLeft + w*min(nines(percentile), right)/right }
	y := func(ms float64) float64 {
		return chartTop + h*(top-math.Log10(max(ms, math.Pow10(int(bottom)))))/(top-bottom)
	}
	for e := int(bottom); e <= int(top); e++ {
		ms := math.Pow10(e)
		d.line("grid", chartLeft, y(ms), chartLeft+w, y(ms))
		d.text("axis", "end", chartLeft-6, y(ms)+4, milliseconds0(ms))
	}
	for n := 0; n <= int(right); n++ {
		p := 100 * (1 - math.Pow10(-n))
		d.line("grid", x(p), chartTop, x(p), chartTop+h)
		d.text("axis", "middle", x(p), chartTop+h+16, trim(p, max(n-2, 0))+" %")
	}
	d.text("axis", "middle", chartLeft+w/2, chartHeight-6, "percentile")
	ends := newLabels(chartTop+6, chartTop+h)
	for i, c := range curves {
		if c.of.Count == 0 {
			continue
		}
		d.printf(`<polyline class="curve c%d" points="`, i)
		last := x(100 * (1 - 1/float64(c.of.Count))) // of so many nobody was rarer
		for _, p := range c.of.Curve {
			d.printf("%s,%s ", num(min(x(p.Percentile), last)), num(y(p.MS)))
		}
		d.printf(`"/>`)
		ends.add(c.name, i, last, y(c.of.MaxMS))
	}
	ends.draw(d, chartLeft+w+6)
	return d.done()
}

// milliseconds0 writes a power of ten of milliseconds without digits that say nothing.
func milliseconds0(ms float64) string {
	switch {
	case ms >= 1000:
		return trim(ms/1000, 0) + " s"
	case ms >= 1:
		return trim(ms, 0) + " ms"
	}
	return trim(ms*1000, 0) + " µs"
}

// labels are the names at the ends of curves, moved apart where they would lie upon each other.
type labels struct {
	top, bottom float64
	all         []label
}

type label struct {
	name string
	i    int
	x, y float64
}

func newLabels(top, bottom float64) *labels { return &labels{top: top, bottom: bottom} }

func (l *labels) add(name string, i int, x, y float64) { l.all = append(l.all, label{name, i, x, y}) }

// labelHeight is the least distance of two labels.
const labelHeight = 14

func (l *labels) draw(d *drawing, x float64) {
	order := append([]label(nil), l.all...)
	for i := range order { // a few labels: insertion sort by place
		for j := i; j > 0 && order[j].y < order[j-1].y; j-- {
			order[j], order[j-1] = order[j-1], order[j]
		}
	}
	places := make([]float64, len(order))
	at := l.top - labelHeight
	for i, o := range order {
		at = max(o.y, at+labelHeight)
		places[i] = at
	}
	limit := l.bottom
	for i := len(order) - 1; i >= 0; i-- {
		places[i] = min(places[i], limit)
		limit = places[i] - labelHeight
	}
	for i, o := range order {
		d.printf(`<circle class="end f%d" cx="%s" cy="%s" r="3"/>`, o.i, num(o.x), num(o.y))
		d.line("lead", o.x+4, o.y, x-2, places[i])
		d.text(fmt.Sprintf("name f%d", o.i), "start", x, places[i]+4, o.name)
	}
}
