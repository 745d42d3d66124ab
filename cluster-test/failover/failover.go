// Package failover measures what users notice when the leader of the log dies or freezes: how long writes and logouts wait, how
// old a lease gets meanwhile, and how many good tokens a replica refuses that no fault touched.
//
// It owns the measurement and its table. Processes are those of package cluster. It judges nothing: whether a lease is long
// enough is read from the table, and the scenarios hold the default to it.
package failover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/knell-auth/knell/cluster-test/cluster"
)

// Config says what to measure.
type Config struct {
	Cluster cluster.Config
	Mode    string // names the cluster in the table
	Lease   time.Duration
	Faults  int // of each kind
	Busy    int // goroutines that keep the machine busy beside
	Logf    func(format string, args ...any)
}

// Row is what one kind of fault cost.
type Row struct {
	Mode, Fault string
	Lease       time.Duration
	Faults      int
	Write       Times // from the last acknowledged write before the gap to the first after it, at one replica
	Logout      Times // of a logout that begins with the fault
	LeaseAge    Times // oldest lease of an undisturbed replica: the shortest lease that would have refused nothing is longer
	Refused     int   // verifications of a good token, at undisturbed replicas
	Elections   int   // beyond one for each fault
}

// Times is what a series of measurements came to.
type Times struct{ Median, Max time.Duration }

func times(list []time.Duration) Times {
	if len(list) == 0 {
		return Times{}
	}
	slices.Sort(list)
	return Times{list[len(list)/2], list[len(list)-1]}
}

const (
	user     = "ada"
	password = "difference-engine-2"
	// patience is how long a replica may take to be ready after a fault.
	patience = time.Minute
	// downtime is how long a killed leader stays away: longer than an election.
	downtime = 3 * time.Second
	// breath is the time between two faults.
	breath = time.Second
)

// Measure runs a cluster, kills its leader again and again, then freezes it again and again, and returns a row for each.
// Nothing is left running.
func Measure(ctx context.Context, cfg Config) (rows []Row, err error) {
	cfg.Cluster.Lease = cfg.Lease
	c, err := cluster.New(cfg.Cluster)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	starting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := c.Start(starting); err != nil {
		return nil, err
	}
	if err := c.AddUser(starting, user, password); err != nil {
		return nil, err
	}
	defer keepBusy(cfg.Busy)()
	m, err := startMeters(starting, c, cfg.Lease)
	if err != nil {
		return nil, err
	}
	defer m.stop()
	for _, f := range []struct {
		name string
		do   func(context.Context, *cluster.Replica) error
	}{
		{"kill", killed}, {"pause", func(ctx context.Context, r *cluster.Replica) error { return paused(ctx, r, cfg.Lease+cfg.Lease/2) }},
	} {
		row, err := series(ctx, cfg, c, m, f.name, f.do)
		if err != nil {
			return rows, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// killed kills a replica and starts it again later.
func killed(ctx context.Context, r *cluster.Replica) error {
	if err := r.Kill(); err != nil {
		return err
	}
	if err := wait(ctx, downtime); err != nil {
		return err
	}
	return r.Start()
}

// paused freezes a replica for d.
func paused(ctx context.Context, r *cluster.Replica, d time.Duration) error {
	if err := r.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	return errors.Join(wait(ctx, d), r.Signal(syscall.SIGCONT))
}

// nobody stands for the faulty replica when it is a NATS server that dies.
const nobody = -1

// series carries out one kind of fault as often as asked for.
func series(ctx context.Context, cfg Config, c *cluster.Cluster, m *meters, name string, fault func(context.Context, *cluster.Replica) error) (Row, error) {
	row := Row{Mode: cfg.Mode, Fault: name, Lease: cfg.Lease, Faults: cfg.Faults}
	var writes, logouts, ages []time.Duration
	for i := range cfg.Faults {
		leader, err := awaitLeader(ctx, c)
		if err != nil {
			return row, err
		}
		other := m.of[(leader+1)%len(m.of)]
		host, faulty := c.Replicas, leader
		if cfg.Cluster.External {
			host, faulty = c.Servers, nobody
		}
		session, err := other.login(ctx)
		if err != nil {
			return row, err
		}
		before := c.Elections()
		m.begin(faulty)
		done := make(chan time.Duration, 1)
		go func() { done <- other.logout(ctx, session) }()
		if err := fault(ctx, host[leader]); err != nil {
			return row, err
		}
		took := <-done
		ready, cancel := context.WithTimeout(ctx, patience)
		err = errors.Join(c.WaitReady(ready), wait(ctx, breath))
		cancel()
		if err != nil {
			return row, err
		}
		s := m.end()
		row.Refused += s.refused
		row.Elections += max(0, c.Elections()-before-1)
		writes, logouts, ages = append(writes, s.gap), append(logouts, took), append(ages, s.age)
		cfg.Logf("%s %d/%d: number %d, writes waited %v, the logout %v, oldest lease %v, %d refused",
			name, i+1, cfg.Faults, leader, round(s.gap), round(took), round(s.age), s.refused)
	}
	row.Write, row.Logout, row.LeaseAge = times(writes), times(logouts), times(ages)
	return row, nil
}

// awaitLeader returns the replica or server that leads the log, once it says so, and a replica once it serves.
func awaitLeader(ctx context.Context, c *cluster.Cluster) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		if i := c.Leader(); i >= 0 && (len(c.Servers) > 0 || c.Replicas[i].Ready(ctx)) {
			return i, nil
		}
		if err := wait(ctx, 50*time.Millisecond); err != nil {
			return 0, fmt.Errorf("failover: nobody leads the log: %w", err)
		}
	}
}

// keepBusy runs n busy loops until the returned function is called.
func keepBusy(n int) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	for range n {
		go func() {
			for ctx.Err() == nil {
			}
			done <- struct{}{}
		}()
	}
	return func() {
		cancel()
		for range n {
			<-done
		}
	}
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

// Table returns the rows in Markdown.
func Table(rows []Row) string {
	out := "| mode | lease | fault of the leader | writes wait: median, max | a logout waits: median, max | oldest lease: median, max | refused | extra elections |\n" +
		"|---|---|---|---|---|---|---|---|\n"
	two := func(t Times) string {
		return fmt.Sprintf("%.2f s, %.2f s", t.Median.Seconds(), t.Max.Seconds())
	}
	for _, r := range rows {
		out += fmt.Sprintf("| %s | %v | %d × %s | %s | %s | %s | %d | %d |\n",
			r.Mode, r.Lease, r.Faults, r.Fault, two(r.Write), two(r.Logout), two(r.LeaseAge), r.Refused, r.Elections)
	}
	return out
}
