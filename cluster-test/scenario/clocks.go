package scenario

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/knell-auth/knell/cluster-test/check"
	"github.com/knell-auth/knell/cluster-test/cluster"
)

// Clocks of a process cannot be set from outside, and Go asks the kernel past every shim that could be preloaded. So these
// scenarios run the build with the tag knell_break, which reads the faults of its clocks and of its log from a file
// (node/clock_on.go). Nothing else in that build differs unless Break says so.

// Broken reports whether the replicas run the build with the tag knell_break.
func (s Scenario) Broken() bool { return s.Break != "" || s.Seams }

// faultDir is where replicas look for their faults, below the directory of the run.
const faultDir = "faults"

// disturb tells replica i what its clocks and its log shall be like from now on: see node.FaultDir.
func (x *experiment) disturb(i int, words string) error {
	r := x.Cluster.Replicas[i]
	dir := filepath.Join(filepath.Dir(r.Data), faultDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	x.Logf("clock and log of replica %d: %s", i, words)
	// A replica may read at any time, so it finds the old file or the new one, never half of it.
	next := filepath.Join(dir, "."+r.Name)
	if err := os.WriteFile(next, []byte(words+"\n"), 0o600); err != nil {
		return err
	}
	return os.Rename(next, filepath.Join(dir, r.Name))
}

// namespaces gives each replica a link of its own, which can be cut.
func namespaces(c *cluster.Config) { c.Namespaces = true }

func clocks() []Scenario {
	return []Scenario{
		{
			Name:   "clock-step-forward",
			Proves: "a replica whose wall clock is set forward, by seconds or by hours, refuses for a moment and leaks nothing",
			Seams:  true,
			Check:  check.Options{Logout: logoutBound},
			run:    func(ctx context.Context, x *experiment) error { return x.stepClocks(ctx, 1) },
		},
		{
			Name:     "clock-step-back",
			LongOnly: true,
			Proves:   "a replica whose wall clock is set back, by seconds or by hours, refuses for a moment and leaks nothing",
			Seams:    true,
			Check:    check.Options{Logout: logoutBound},
			run:      func(ctx context.Context, x *experiment) error { return x.stepClocks(ctx, -1) },
		},
		{
			Name:        "clock-drift",
			LongOnly:    true,
			Proves:      "clocks whose rates differ by less than a tenth make no replica accept what ended while it was paused or cut off",
			Seams:       true,
			Sandbox:     true,
			Cluster:     namespaces,
			Check:       check.Options{Logout: logoutBound},
			FaultProbes: 5,
			run:         drift,
		},
		{
			Name:     "log-slow",
			Proves:   "a log that takes most of a lease to store an event or more than a lease to deliver it delays logouts and leaks nothing",
			LongOnly: true,
			Seams:    true,
			Check:    check.Options{Logout: 2 * logoutBound},
			run: func(ctx context.Context, x *experiment) error {
				return errors.Join(slowSend(ctx, x), slowReceive(ctx, x))
			},
		},
	}
}

// stepClocks sets the wall clock of one replica after the other, forward or back.
func (x *experiment) stepClocks(ctx context.Context, sign time.Duration) error {
	steps := []time.Duration{3 * time.Second, time.Hour, 5 * time.Second, time.Hour}
	shown := make([]time.Duration, len(x.Cluster.Replicas))
	for n := range x.repeat(len(steps), 20) {
		i := n % len(shown)
		// Every step beyond the first ones goes the same way: hours add up, as long as no token of the run expires.
		shown[i] += sign * steps[n%len(steps)]
		end := x.rec.Fault("clock step", i)
		if err := x.disturb(i, fmt.Sprintf("wall=%v", shown[i])); err != nil {
			return err
		}
		if err := x.settle(ctx, i); err != nil {
			return err
		}
		end()
		if err := x.wait(ctx, breath); err != nil {
			return err
		}
	}
	return nil
}

// settle waits until replica i has noticed what was done to it and is ready.
func (x *experiment) settle(ctx context.Context, i int) error {
	if err := x.wait(ctx, x.lease/4); err != nil { // two beats
		return err
	}
	ready, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return x.Cluster.Replicas[i].WaitReady(ready)
}

// drift runs the clocks at other rates and silences the replicas whose clocks are slow, and those whose clocks are fast, for
// less and for more than a lease.
func drift(ctx context.Context, x *experiment) error {
	// The fastest clock is less than a tenth faster than the slowest one in each row.
	rates := [][]float64{{1.08, 1, 1}, {0.93, 1, 1}, {1.04, 0.95, 1}}
	for n := range x.repeat(len(rates), 5*len(rates)) {
		if err := x.driftOnce(ctx, rates[n%len(rates)], n); err != nil {
			return err
		}
	}
	return nil
}

func (x *experiment) driftOnce(ctx context.Context, rates []float64, n int) error {
	order := x.rng.Perm(len(rates))
	for k, i := range order {
		if err := x.disturb(i, fmt.Sprintf("rate=%v", rates[k])); err != nil {
			return err
		}
	}
	first := func(context.Context) (int, error) { return order[0], nil }
	second := func(context.Context) (int, error) { return order[1], nil }
	if err := x.pause(ctx, second, x.lease/2); err != nil {
		return err
	}
	// Cuts take long to heal when the leader is cut, so long silences are cuts and pauses in turn.
	if n%2 == 0 {
		return x.pause(ctx, first, x.longPause())
	}
	return x.cutFollower(ctx, order)
}

// cutFollower cuts the first of order that does not lead the log.
func (x *experiment) cutFollower(ctx context.Context, order []int) error {
	leader, err := x.leader(ctx)
	if err != nil {
		return err
	}
	return x.cut(ctx, func(context.Context) (int, error) {
		if order[0] == leader {
			return order[1], nil
		}
		return order[0], nil
	})
}

// slowSend lets every event that ends something take most of a lease to get into the log, and then pauses replicas, so
// that much of what a replica knew at the call has changed when its event arrives.
func slowSend(ctx context.Context, x *experiment) error {
	for i := range x.Cluster.Replicas {
		if err := x.disturb(i, fmt.Sprintf("send=%v", x.lease*8/10)); err != nil {
			return err
		}
	}
	// Commands that were sent before arrive meanwhile.
	if err := x.wait(ctx, x.lease); err != nil {
		return err
	}
	for range x.repeat(2, 10) {
		if err := x.pause(ctx, x.follower, x.lease*3/4); err != nil {
			return err
		}
		if err := x.wait(ctx, x.lease); err != nil {
			return err
		}
	}
	for i := range x.Cluster.Replicas {
		if err := x.disturb(i, ""); err != nil {
			return err
		}
	}
	return nil
}

// slowReceive lets one replica get everything late, first by half a lease and then by more than a lease: then it must refuse.
func slowReceive(ctx context.Context, x *experiment) error {
	for n := range x.repeat(1, 6) {
		i := (n + 1) % len(x.Cluster.Replicas)
		end := x.rec.Fault("slow log", i)
		for _, delay := range []time.Duration{x.lease / 2, x.longPause()} {
			if err := x.disturb(i, fmt.Sprintf("receive=%v", delay)); err != nil {
				return err
			}
			if err := x.wait(ctx, 3*x.lease); err != nil {
				return err
			}
		}
		if err := x.disturb(i, ""); err != nil {
			return err
		}
		if err := x.settle(ctx, i); err != nil {
			return err
		}
		end()
	}
	return nil
}

// drag lets the clock of a replica run at a rate beyond the assumption and then silences it.
func drag(rate float64, silence func(*experiment, context.Context, choice) error) func(context.Context, *experiment) error {
	return func(ctx context.Context, x *experiment) error {
		for range x.repeat(1, 5) {
			i, err := x.follower(ctx)
			if err != nil {
				return err
			}
			if err := x.disturb(i, fmt.Sprintf("rate=%v", rate)); err != nil {
				return err
			}
			// A lease that began at the other rate shall have ended.
			if err := x.wait(ctx, x.lease); err != nil {
				return err
			}
			if err := silence(x, ctx, func(context.Context) (int, error) { return i, nil }); err != nil {
				return err
			}
			if err := x.disturb(i, "rate=1"); err != nil {
				return err
			}
		}
		return nil
	}
}

// apart lets all others' clocks run fast and that of a replica that is cut off slow: each within a tenth of the true rate,
// and not of each other.
func apart(ctx context.Context, x *experiment) error {
	for range x.repeat(2, 6) {
		i, err := x.follower(ctx)
		if err != nil {
			return err
		}
		for j := range x.Cluster.Replicas {
			rate := 1.08
			if j == i {
				rate = 0.93
			}
			if err := x.disturb(j, fmt.Sprintf("rate=%v", rate)); err != nil {
				return err
			}
		}
		if err := x.wait(ctx, x.lease); err != nil {
			return err
		}
		if err := x.cut(ctx, func(context.Context) (int, error) { return i, nil }); err != nil {
			return err
		}
	}
	return nil
}
