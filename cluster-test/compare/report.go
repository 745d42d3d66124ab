package compare

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

// Report is everything that was measured. As JSON its durations are nanoseconds.
type Report struct {
	Environment Environment
	Settings    Pace
	Lease       time.Duration // of Knell's replicas
	Rows        []Row
}

// Row is one installation. What was not measured is nil.
type Row struct {
	Name        string
	FaultsOnly  bool   // the rest is as in the row before
	Skipped     string `json:",omitempty"` // why nothing was measured
	Latency     *Latency
	Revocations *Revocations
	Paused      *Faulted
	Cut         *Faulted
	Down        *Outage
}

// JSON writes the report as JSON.
func (r Report) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// Markdown writes the report as a table for a README, with the line about its environment.
func (r Report) Markdown(w io.Writer) error {
	seconds := fmt.Sprintf("%.0f s", r.Settings.Fault.Seconds())
	lines := [][]string{
		{
			"", "check p50 / p99", "CPU per check; idle", "logout p50 / max", "last replica refuses after it, p50 / max", "leaks, nothing wrong",
			"one replica paused " + seconds, "one replica cut off " + seconds, "store down " + seconds,
		},
	}
	var skipped []string
	for _, row := range r.Rows {
		if row.Skipped != "" {
			skipped = append(skipped, fmt.Sprintf("%s: skipped, %s.", row.Name, row.Skipped))
			continue
		}
		lines = append(lines, row.cells())
	}
	var out strings.Builder
	for i, cells := range lines {
		fmt.Fprintf(&out, "| %s |\n", strings.Join(cells, " | "))
		if i == 0 {
			fmt.Fprintf(&out, "|%s\n", strings.Repeat("---|", len(cells)))
		}
	}
	fmt.Fprintf(&out, "\n%s\n", strings.Join(append([]string{r.Environment.String()}, skipped...), "\n"))
	_, err := io.WriteString(w, out.String())
	return err
}

const asAbove = "as above"

// cells returns the row of the table.
func (r Row) cells() []string {
	cells := []string{"`" + r.Name + "`"}
	if r.FaultsOnly {
		cells = append(cells, asAbove, asAbove, asAbove, asAbove, asAbove, asAbove)
	} else {
		cells = append(cells, r.Latency.cells()...)
		cells = append(cells, r.Revocations.cells()...)
		cells = append(cells, r.Paused.cell())
	}
	return append(cells, r.Cut.cell(), r.Down.cell())
}

const notMeasured = "not measured"

func (l *Latency) cells() []string {
	if l == nil {
		return []string{notMeasured, notMeasured}
	}
	cpu := notMeasured
	if l.CPU > 0 {
		cpu = short(l.CPU) + "; " + short(l.Idle) + "/s"
	}
	return []string{short(l.P50) + " / " + short(l.P99), cpu}
}

func (r *Revocations) cells() []string {
	if r == nil {
		return []string{notMeasured, notMeasured, notMeasured}
	}
	last := short(r.LastP50) + " / " + short(r.LastMax)
	switch {
	case r.Never == r.Sessions:
		last = "never before `exp`"
	case r.Never > 0:
		last += fmt.Sprintf("; %d not at all", r.Never)
	}
	leaks := fmt.Sprintf("%d of %d sessions", r.LeakedSessions, r.Sessions)
	return []string{short(r.LogoutP50) + " / " + short(r.LogoutMax), last, leaks}
}

func (f *Faulted) cell() string {
	switch {
	case f == nil:
		return notMeasured
	case f.Skipped != "":
		return f.Skipped
	}
	parts := []string{fmt.Sprintf("%d of %d sessions leak", f.LeakedSessions, f.Sessions)}
	switch {
	case f.Never > 0:
		parts = append(parts, fmt.Sprintf("%d still after it", f.Never))
	case f.AfterHeal > 0:
		parts = append(parts, "until "+short(f.AfterHeal)+" after it")
	}
	if f.Unfinished > 0 {
		parts = append(parts, fmt.Sprintf("%d logouts without success", f.Unfinished))
	}
	if f.LogoutMax > notable {
		parts = append(parts, "logout waits up to "+short(f.LogoutMax))
	}
	if f.Good.Unavailable > 0 {
		parts = append(parts, "good tokens there: "+f.Good.String()+until(f.Good.Back))
	}
	return strings.Join(parts, "; ")
}

// until says how long after a fault a good token was accepted again.
func until(back time.Duration) string {
	if back == 0 {
		return ", also after it"
	}
	return " until " + short(back) + " after it"
}

// notable is what a person notices.
const notable = 250 * time.Millisecond

// String says how a good token fared.
func (s Service) String() string {
	switch {
	case s.Refused > 0:
		return fmt.Sprintf("401 (%d of %d)", s.Refused, s.Accepted+s.Refused+s.Unavailable)
	case s.Unavailable == 0 && s.Accepted == 0:
		return "no answer"
	case s.Unavailable == 0:
		return "go on"
	case s.Accepted == 0:
		return "503"
	}
	return "503 from " + short(s.UnavailableFrom) + " on"
}

func (o *Outage) cell() string {
	switch {
	case o == nil:
		return notMeasured
	case o.Skipped != "":
		return o.Skipped
	}
	revoked := "revoked ones stay refused"
	if o.Revoked.Accepted > 0 {
		revoked = "**revoked ones accepted**"
	}
	logout := "logout says " + o.Logout
	switch o.Logout {
	case unavailable:
		logout = "logout 503"
	case unanswered:
		logout = "logout without answer"
	}
	parts := []string{o.What + ": good tokens " + o.Good.String(), revoked, logout}
	if o.Restored < Replicas {
		parts = append(parts, fmt.Sprintf("when it is back %d of %d replicas refuse the revoked one", o.Restored, Replicas))
	}
	return strings.Join(parts, "; ")
}

// short writes d with two digits or three.
func short(d time.Duration) string {
	switch {
	case d == 0:
		return "0"
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
