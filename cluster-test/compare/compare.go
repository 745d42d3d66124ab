// Package compare measures what a logout is worth: Knell beside the ways in which people end sessions today (package
// rival), on one machine, one after the other, with the same clients and the same faults.
//
// It owns the installations that it compares, the measurements and their table. It does not know how a revocation spreads
// (packages node and rival). docs/comparison.md says what each column means and what it does not.
package compare

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Replicas is how many replicas each installation has.
const Replicas = 3

// victim is the replica that is paused and cut off; revoker is the one where sessions are ended.
const (
	revoker = 0
	victim  = Replicas - 1
)

// Settings say what to compare and how long. The zero value of a number is its default.
type Settings struct {
	Program string   // this program, which runs a rival's replica when its first argument is rival.Command; required
	Knell   string   // path of knell; required
	Dir     string   // for data and logs; required, must exist
	Names   []string // installations to compare; none: all
	Lease   time.Duration
	// Namespaces says that this process is in a sandbox, where links can be cut.
	Namespaces bool
	Logf       func(format string, args ...any) // progress; required
	Pace
}

// Pace is how much is measured.
type Pace struct {
	Sessions int           // ended one after the other with nothing wrong; 0: 200
	Budget   time.Duration // at most this long for them; 0: 12 s
	Faulted  int           // ended under each fault; 0: 20
	Rate     int           // checks a second in the measurement of latency; 0: 300
	Load     time.Duration // how long, in slices of a second; 0: 8 s
	Idle     time.Duration // how long the processes are watched without load before it; 0: 2 s
	Fault    time.Duration // how long a replica is paused or cut off, or the store is down; 0: 6 s
	Converge time.Duration // how long a session is watched after its end, or after a fault; 0: 2 s
}

func (p *Pace) complete() {
	for _, n := range []struct {
		field *int
		value int
	}{{&p.Sessions, 200}, {&p.Faulted, 20}, {&p.Rate, 300}} {
		if *n.field == 0 {
			*n.field = n.value
		}
	}
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&p.Budget, 12 * time.Second}, {&p.Load, 8 * time.Second}, {&p.Idle, 2 * time.Second},
		{&p.Fault, 6 * time.Second}, {&p.Converge, 2 * time.Second},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
}

// installation is three replicas and their store, if they have one.
type installation interface {
	start(ctx context.Context) error
	targets() []string
	account() account
	// processes returns the ids of all processes, the store's included.
	processes() []int
	// pause freezes the victim, resume lets it go on.
	pause() error
	resume() error
	// separable prepares the victim's link to be cut. It may start the installation anew; sessions may be lost.
	separable(ctx context.Context) error
	cut() error
	mend() error
	// breakStore kills the store and returns what it did and the replicas that are left. mendStore brings it back and waits
	// until it is.
	breakStore() (what string, left []int, err error)
	mendStore(ctx context.Context) error
	close() error
}

type account struct{ name, password string }

// errNone says that an installation has no store, which could be lost.
var errNone = errors.New("has no store")

// contender is an entry of the table.
type contender struct {
	name string
	// faultsOnly leaves out what is the same as for the contender before it.
	faultsOnly bool
	open       func(s Settings, dir string) (installation, error)
}

// ErrUnknown says that nothing is compared under that name.
var ErrUnknown = errors.New("unknown name")

// choose returns the contenders with these names, all without names.
func choose(names []string) ([]contender, error) {
	if len(names) == 0 {
		return contenders, nil
	}
	var chosen []contender
	for _, name := range names {
		found := false
		for _, c := range contenders {
			if c.name == name {
				chosen, found = append(chosen, c), true
			}
		}
		if !found {
			return nil, fmt.Errorf("%w: %q; there are %v", ErrUnknown, name, Names())
		}
	}
	return chosen, nil
}

// Names lists what can be compared.
func Names() (names []string) {
	for _, c := range contenders {
		names = append(names, c.name)
	}
	return names
}

// Check returns an error unless everything in names can be compared.
func Check(names []string) error {
	_, err := choose(names)
	return err
}

// Run measures. The latencies of a check come first, of all installations in turns, second by second, so that whatever else
// the machine does meets all of them alike; then all the rest, one installation after the other. One that cannot run here is
// in the report with the reason; an error means that a measurement failed.
func Run(ctx context.Context, s Settings) (report Report, err error) {
	s.complete()
	report = Report{Environment: environment(ctx), Settings: s.Pace, Lease: s.Lease}
	chosen, err := choose(s.Names)
	if err != nil {
		return report, err
	}
	var all []*measurement
	defer func() {
		for _, m := range all {
			err = errors.Join(err, m.end())
		}
	}()
	for _, c := range chosen {
		s.Logf("%s: starting", c.name)
		m, err := begin(ctx, s, c)
		if err != nil {
			return report, fmt.Errorf("compare: %s: %w", c.name, err)
		}
		all = append(all, m)
	}
	if err := latencies(ctx, s, all); err != nil {
		return report, fmt.Errorf("compare: latency of a check: %w", err)
	}
	for _, m := range all {
		if err := m.rest(ctx); err != nil {
			return report, fmt.Errorf("compare: %s: %w", m.row.Name, err)
		}
		report.Rows = append(report.Rows, m.row)
	}
	return report, nil
}

// measurement measures one installation and fills its row.
type measurement struct {
	Settings
	in  installation // nil when it could not be opened here, or has been closed
	row Row
}

// begin starts an installation.
func begin(ctx context.Context, s Settings, c contender) (*measurement, error) {
	m := &measurement{Settings: s, row: Row{Name: c.name, FaultsOnly: c.faultsOnly}}
	dir := filepath.Join(s.Dir, c.name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	in, err := c.open(s, dir)
	var skip skipError
	if errors.As(err, &skip) {
		m.row.Skipped = skip.Error()
		s.Logf("%s: skipped: %s", c.name, m.row.Skipped)
		return m, nil
	}
	if err != nil {
		return nil, err
	}
	m.in = in
	if err := in.start(ctx); err != nil {
		return nil, errors.Join(err, m.end())
	}
	return m, nil
}

// end ends the installation, if it has not been ended.
func (m *measurement) end() error {
	if m.in == nil {
		return nil
	}
	in := m.in
	m.in = nil
	return in.close()
}

// rest measures everything but latencies, and ends the installation.
func (m *measurement) rest(ctx context.Context) error {
	if m.in == nil {
		return nil
	}
	for _, part := range []struct {
		name  string
		fault bool // a part that is measured in any case
		do    func(context.Context) error
	}{
		{"revocations, nothing wrong", false, m.revocations},
		{"one replica paused", false, m.paused},
		{"store down", true, m.storeDown},
		{"one replica cut off", true, m.cutOff},
	} {
		if m.row.FaultsOnly && !part.fault {
			continue
		}
		m.Logf("%s: %s", m.row.Name, part.name)
		if err := part.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return m.end()
}

// skipError says why an installation cannot run on this machine.
type skipError struct{ error }
