package report

import (
	"fmt"
	"html/template"
	"math"

	"github.com/knell-auth/knell/cluster-test/load"
)

// Sizes of the timeline.
const (
	timeWidth            = 1000.0
	timeLeft, timeRight  = 62.0, 12.0
	laneHeight, laneStep = 18.0, 34.0
	barsHeight           = 90.0
	barsGap              = 26.0
)

// timeline draws a lane for each replica with its faults, and below them the slowest logout of each second.
func timeline(r *load.Result) template.HTML {
	length := r.Measured
	for _, v := range r.Replicas {
		if n := len(v.Lane); n > 0 {
			length = max(length, v.Lane[n-1].To)
		}
	}
	if length <= 0 {
		return ""
	}
	lanes := 8 + laneStep*float64(len(r.Replicas))
	height := lanes + barsGap + barsHeight + 26
	d := newDrawing(timeWidth, height, "What each replica did, the faults, and the slowest logout of each second")
	d.printf(`<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><line class="hatch" x1="0" y1="0" x2="0" y2="6"/></pattern></defs>`)
	w := timeWidth - timeLeft - timeRight
	x := func(s float64) float64 { return timeLeft + w*min(max(s, 0), length)/length }
	step := niceStep(length, 10)
	for s := 0.0; s <= length+1e-9; s += step {
		d.line("grid", x(s), 4, x(s), height-22)
		d.text("axis", "middle", x(s), height-8, trim(s, 2)+" s")
	}
	for i, v := range r.Replicas {
		top := 8 + laneStep*float64(i)
		d.text("lane", "end", timeLeft-8, top+laneHeight-4, v.Name)
		d.rect("empty", x(0), top, w, laneHeight, "")
		for _, s := range v.Lane {
			d.rect("s-"+string(s.State), x(s.From), top, x(s.To)-x(s.From), laneHeight,
				fmt.Sprintf("%s %s from %s to %s", v.Name, s.State, seconds(s.From), seconds(s.To)))
		}
		for _, f := range r.Faults {
			if f.Replica == v.Name {
				drawFault(d, f, x, top, length)
			}
		}
		for _, at := range v.LeaksAt {
			if at >= 0 {
				d.printf(`<path class="leak" d="M%s %s l5 -9 h-10 z"><title>leak at %s</title></path>`, num(x(at)), num(top+3), seconds(at))
			}
		}
	}
	drawBars(d, r, x, lanes+barsGap)
	return d.done()
}

// drawFault draws a fault below the lane of its replica.
func drawFault(d *drawing, f load.Fault, x func(float64) float64, top, length float64) {
	to := f.To
	if to == 0 {
		to = length
	}
	tip := fmt.Sprintf("%s of %s at %s, ready again at %s", f.Name, f.Replica, seconds(f.From), until(f))
	d.rect("fault", x(f.From), top+laneHeight, max(x(to)-x(f.From), 2), 6, tip)
	if x(to) < timeWidth-60 {
		d.text("small", "start", x(to)+4, top+laneHeight+8, f.Name)
	} else {
		d.text("small", "end", x(f.From)-4, top+laneHeight+8, f.Name)
	}
}

// drawBars draws the slowest logout of each second on a logarithmic scale.
func drawBars(d *drawing, r *load.Result, x func(float64) float64, top float64) {
	low, high := math.Inf(1), 0.0
	for _, s := range r.Seconds {
		if s.Logouts > 0 {
			low, high = min(low, s.LogoutMaxMS), max(high, s.LogoutMaxMS)
		}
	}
	d.text("small", "start", timeLeft, top-8, "slowest logout that was due in each second")
	if high == 0 {
		return
	}
	first, last := math.Floor(math.Log10(max(low, 0.001))), math.Ceil(math.Log10(high)+0.02)
	y := func(ms float64) float64 { return top + barsHeight*(last-math.Log10(max(ms, 0.001)))/(last-first) }
	for e := first; e <= last; e++ {
		ms := math.Pow10(int(e))
		d.line("grid", timeLeft, y(ms), timeWidth-timeRight, y(ms))
		d.text("axis", "end", timeLeft-6, y(ms)+4, milliseconds0(ms))
	}
	for i, s := range r.Seconds {
		from, to := x(float64(i)), x(float64(i+1))
		if s.Logouts > 0 {
			gap := min(1, (to-from)/5)
			tip := fmt.Sprintf("second %d: %d logouts, the slowest %s", i, s.Logouts, milliseconds(s.LogoutMaxMS))
			d.rect("bar", from+gap, y(s.LogoutMaxMS), to-from-2*gap, top+barsHeight-y(s.LogoutMaxMS), tip)
		}
	}
}

// niceStep returns a distance of grid lines of 1, 2 or 5 times a power of ten, so that there are at most n.
func niceStep(length float64, n int) float64 {
	least := length / float64(n)
	scale := math.Pow10(int(math.Floor(math.Log10(least))))
	for _, f := range []float64{1, 2, 5} {
		if f*scale >= least {
			return f * scale
		}
	}
	return 10 * scale
}
