// Package doctor looks at what a replica stands on: files and their modes, the disk, the clock, certificates, limits of the process and
// of the system. Each check says what it found, how much that matters and what to do about it.
//
// It owns the checks that need no replica. It does not know flags, and it asks no replica anything: that is the command's part.
package doctor

import "fmt"

// Level says how much a finding matters.
type Level int

// Levels, in their order.
const (
	OK      Level = iota
	Warning       // it works, but not as well or not for as long as it should
	Bad           // something does not work, or a claim does not hold
)

// String returns the level's name.
func (l Level) String() string { return [...]string{"ok", "warning", "bad"}[l] }

// MarshalText implements encoding.TextMarshaler.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// Finding is what one check came to.
type Finding struct {
	Check string `json:"check"`
	Level Level  `json:"level"`
	Text  string `json:"text"`
	Do    string `json:"do,omitempty"` // what helps; "" where nothing has to be done
}

// Report is what all checks came to. The zero Report is empty. It is not safe for concurrent use.
type Report struct{ Findings []Finding }

// OK adds what is as it should be.
func (r *Report) OK(check, format string, args ...any) {
	r.Findings = append(r.Findings, Finding{Check: check, Text: fmt.Sprintf(format, args...)})
}

// Warn adds a warning, and what to do.
func (r *Report) Warn(check, do, format string, args ...any) {
	r.Findings = append(r.Findings, Finding{check, Warning, fmt.Sprintf(format, args...), do})
}

// Bad adds what is bad, and what to do.
func (r *Report) Bad(check, do, format string, args ...any) {
	r.Findings = append(r.Findings, Finding{check, Bad, fmt.Sprintf(format, args...), do})
}

// Worst returns the worst level of all findings.
func (r *Report) Worst() Level {
	worst := OK
	for _, f := range r.Findings {
		worst = max(worst, f.Level)
	}
	return worst
}
