package scenario

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/knell-auth/knell/cluster-test/check"
	"github.com/knell-auth/knell/cluster-test/cluster"
	"github.com/knell-auth/knell/cluster-test/fault"
	"github.com/knell-auth/knell/cluster-test/history"
	"github.com/knell-auth/knell/cluster-test/linear"
	"github.com/knell-auth/knell/cluster-test/traffic"
)

// Settings are common to all scenarios of a run.
type Settings struct {
	Binary string // knell
	Broken string // knell built so that KNELL_BREAK is obeyed; "" when no scenario needs it
	Next   string // knell as the next version of both, which obeys KNELL_BREAK; "" when no scenario needs it
	Dir    string // each scenario makes a directory in it
	Keep   bool   // keep data, logs and history also of scenarios that pass
	Long   bool
	Seed   uint64
	Lease  time.Duration
	Logf   func(format string, args ...any)
	// ExpectViolation turns the verdict about C1 around, for a Broken binary or one that is broken itself.
	ExpectViolation bool
	External        bool   // the log is on NATS servers of their own
	Break           string // mechanism that every scenario leaves out; needs Broken
}

// Result is what came of one run of a scenario.
type Result struct {
	Scenario    string
	Seed        uint64
	Skipped     string // why; "" when it ran
	Err         error  // the harness, or what the history alone cannot show: a replica that does not come back
	Violations  []check.Violation
	Coverage    check.Coverage
	Unavailable time.Duration // verifications unanswered, all replicas added up
	Logout      time.Duration // the slowest, with retries
	Took        time.Duration
	Expected    bool // violations of Breaks are what should be found
	Breaks      check.Claim
	Seen        time.Duration // when the first of them could be seen, counted from the first verification
	Dir         string        // where data, logs and history are; "" when they were removed
}

// Failed reports whether the run shows a defect, or fails to show one that is there.
func (r Result) Failed() bool {
	switch {
	case r.Skipped != "":
		return false
	case r.Expected:
		return check.Count(r.Violations, r.Breaks) == 0
	}
	return r.Err != nil || len(r.Violations) > 0
}

// users returns the accounts of a run. Their passwords protect nothing: the cluster is gone when the run ends.
func users() []traffic.User {
	return []traffic.User{
		{Name: "ada", Password: "difference-engine-2"},
		{Name: "grace", Password: "nanosecond-of-wire"},
		{Name: "leslie", Password: "happened-before-9"},
	}
}

// load is the traffic of every scenario. It leaves a two-core machine room for three replicas.
func load(targets []string, seed uint64) traffic.Config {
	return traffic.Config{
		Targets: targets, Users: users(), Seed: seed,
		Sessions: 120, Verify: 250, Balanced: 100, Logout: 12, Login: 8, Refresh: 6, Theft: 1,
	}
}

// Run runs one scenario. Nothing of it is left running when it returns.
func Run(ctx context.Context, s Scenario, set Settings) Result {
	begin := time.Now()
	res := Result{Scenario: s.Name, Seed: set.Seed, Breaks: cmp.Or(s.Breaks, check.C1)}
	if s.Sandbox && !cluster.Sandboxed() {
		res.Skipped = "needs network and mount namespaces of its own: run as root, with iproute2 and util-linux"
		return res
	}
	if set.External {
		if s, res.Skipped = s.elsewhere(); res.Skipped != "" {
			return res
		}
	}
	var needs cluster.Config
	if s.Cluster != nil {
		s.Cluster(&needs)
	}
	if err := needs.Lacks(); err != nil {
		res.Skipped = "needs " + err.Error()
		return res
	}
	if set.Break != "" {
		s.Break = set.Break
	}
	res.Expected = s.Break != "" || s.Breaks != "" || set.ExpectViolation
	dir, err := os.MkdirTemp(set.Dir, s.Name+"-")
	if err != nil {
		res.Err = err
		return res
	}
	rec := history.NewRecorder()
	logs, err := conduct(ctx, s, set, dir, rec)
	res.Err = err
	h := rec.History()
	if res.Err == nil || len(h.Ops) > 0 {
		res.judge(s, h, logs)
		res.Seen = seen(h, res.Violations, res.Breaks)
	}
	if res.Err == nil {
		res.Err = s.enough(res.Coverage, cmp.Or(needs.Replicas, 3))
	}
	res.Took = time.Since(begin)
	if !set.Keep && !res.Failed() {
		res.Err = errors.Join(res.Err, os.RemoveAll(dir))
		return res
	}
	res.Dir = dir
	if err := save(h, filepath.Join(dir, "history.ndjson")); err != nil {
		res.Err = errors.Join(res.Err, err)
	}
	return res
}

// LinearLimit bounds the search for an order of operations. Where another claim is to be found broken, a glance is enough: a
// history full of violations takes the longest to search.
const (
	LinearLimit  = time.Minute
	linearGlance = 2 * time.Second
)

// judge notes what h and the logs of the replicas show.
func (r *Result) judge(s Scenario, h *history.History, logs []*history.Log) {
	r.Coverage = check.Cover(h)
	r.Logout, _, _ = check.SlowestLogout(h)
	for _, o := range check.Outages(h) {
		if o.Replica != history.Balanced {
			r.Unavailable += o.To - o.From
		}
	}
	limit := LinearLimit
	if r.Expected {
		limit = linearGlance
	}
	var err error
	r.Violations, err = Judge(h, logs, s.Check, limit)
	r.Err = errors.Join(r.Err, err)
}

// Judge returns all violations in a history and in the logs that the replicas had at its end, if there are any. The error
// says that something was not decided within limit.
func Judge(h *history.History, logs []*history.Log, o check.Options, limit time.Duration) ([]check.Violation, error) {
	found := append(check.All(h, o), check.Logs(h, logs, o)...)
	r := linear.Check(h, o.Grace, limit)
	for _, s := range r.Illegal {
		found = append(found, check.Violation{
			Claim: check.Linear, Session: s.ID, Ops: s.Ops, Text: "no order of its operations explains the answers",
		})
	}
	if n := len(r.Undecided); n > 0 {
		return found, fmt.Errorf("it was not decided within %v whether %d of %d sessions are linearizable, such as session %d",
			limit, n, r.Judged, r.Undecided[0])
	}
	return found, nil
}

// conduct runs the cluster, its clients and the faults, and returns the log as each replica has it at the end.
func conduct(ctx context.Context, s Scenario, set Settings, dir string, rec *history.Recorder) (logs []*history.Log, err error) {
	cfg := cluster.Config{Binary: set.Binary, Dir: dir, Lease: set.Lease}
	if s.Broken() {
		cfg.Binary, cfg.Env = set.Broken, []string{"KNELL_BREAK=" + s.Break, "KNELL_FAULTS=" + filepath.Join(dir, faultDir)}
	}
	if s.Cluster != nil {
		s.Cluster(&cfg)
	}
	c, err := cluster.New(cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	starting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	begin := time.Now()
	if err := c.Start(starting); err != nil {
		return nil, err
	}
	set.Logf("%d replicas ready after %v", len(c.Replicas), time.Since(begin).Round(time.Millisecond))
	for _, u := range users() {
		if err := c.AddUser(starting, u.Name, u.Password); err != nil {
			return nil, err
		}
	}
	begin = time.Now()
	t, err := traffic.Start(starting, load(c.Targets(), set.Seed), rec)
	if err != nil {
		return nil, err
	}
	set.Logf("sessions made in %v", time.Since(begin).Round(time.Millisecond))
	rng := rand.New(rand.NewPCG(set.Seed, 0))
	x := &experiment{
		Injector: &fault.Injector{Cluster: c, Recorder: rec, Rand: rng, Logf: set.Logf},
		lease:    cfg.Lease, long: set.Long, rng: rng, rec: rec,
	}
	if s.Upgrades {
		x.builds = builds{old: cfg.Binary, next: set.Next, newer: make([]bool, len(c.Replicas))}
	}
	err = errors.Join(x.wait(ctx, breath), s.run(ctx, x))
	if err != nil || ctx.Err() != nil {
		t.Abort()
		return nil, errors.Join(err, ctx.Err())
	}
	if s.Breaks == check.C2 {
		t.Abort() // the sweep sees what was lost; clients would ask for it again and again
	} else {
		t.Stop()
	}
	if n := t.Dropped(); n > 0 {
		set.Logf("%d verifications were not sent because a replica had too many unanswered", n)
	}
	if err := aftermath(ctx, c, t); err != nil {
		return nil, err
	}
	after, err := x.trail.finish(ctx)
	if err != nil {
		return nil, err
	}
	if alarms := c.Accusations(); len(alarms) > 0 && !s.Broken() {
		return nil, fmt.Errorf("a replica says that somebody writes in the name of another, and nobody does: %s", alarms[0])
	}
	return readLogs(ctx, c, dir, after)
}

// aftermath looks at everything that was acknowledged, once all faults have ended.
func aftermath(ctx context.Context, c *cluster.Cluster, t *traffic.Traffic) error {
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	if err := c.WaitReady(ctx); err != nil {
		return err
	}
	return errors.Join(t.Sweep(ctx), t.Probe(ctx))
}

// enough returns an error when a history proves nothing.
func (s Scenario) enough(c check.Coverage, replicas int) error {
	if c.FaultProbes < s.FaultProbes {
		return fmt.Errorf("proves nothing: %d verifications of ended sessions reached a disturbed replica, want %d", c.FaultProbes, s.FaultProbes)
	}
	for r := range int8(s.replicas()) {
		if c.Probes[r] < leastProbes {
			return fmt.Errorf("proves nothing: replica %d answered %d verifications of ended sessions, want %d", r, c.Probes[r], leastProbes)
		}
	}
	return nil
}

// leastProbes is how many verifications of ended sessions every replica must have answered.
const leastProbes = 20

func save(h *history.History, path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(h.Write(f), f.Close())
}
