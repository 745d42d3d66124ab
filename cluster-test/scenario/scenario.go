// Package scenario puts the parts together: each scenario runs a cluster under traffic, disturbs it in one way, lets it heal,
// looks at everything that was acknowledged, and has the history judged.
//
// It owns the list of scenarios and what each of them may show. The mechanics are those of packages cluster, traffic, fault,
// history and check.
package scenario

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/knell-auth/knell/cluster-test/check"
	"github.com/knell-auth/knell/cluster-test/cluster"
	"github.com/knell-auth/knell/cluster-test/fault"
	"github.com/knell-auth/knell/cluster-test/history"
)

// Scenario is one experiment.
type Scenario struct {
	Name   string
	Proves string
	// Sandbox is set when the scenario needs network or mounts of its own.
	Sandbox bool
	// LongOnly keeps the scenario out of the short form, unless it is asked for by its name.
	LongOnly bool
	// Break names the mechanism that the replicas leave out (package internal/fence); "" leaves out none.
	Break string
	// Seams is set when the replicas run a build in which their clocks and log can be disturbed (package node).
	Seams bool
	// Upgrades is set when replicas run the next version, too.
	Upgrades bool
	// Breaks is the claim that must be seen to fall: the scenario shows that the others would notice. "" stands for none, or
	// for C1 when Break is set.
	Breaks check.Claim
	// Cluster changes the configuration of the cluster; nil: nothing to change.
	Cluster func(*cluster.Config)
	Check   check.Options
	// FaultProbes is how many verifications of ended sessions must have been sent to a disturbed replica and answered by it;
	// fewer prove nothing.
	FaultProbes int
	run         func(ctx context.Context, x *experiment) error
}

// experiment is one run of a scenario.
type experiment struct {
	*fault.Injector
	lease time.Duration
	long  bool
	rng   *rand.Rand
	rec   *history.Recorder
	trail *trail // of a scenario in which the log is trimmed
	builds
}

// patience is how long a replica may take to be ready after a fault has ended.
const patience = 60 * time.Second

// wait lets traffic run for d.
func (x *experiment) wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// repeat returns how often to do something: short times, or many in the long form.
func (x *experiment) repeat(short, many int) int {
	if x.long {
		return many
	}
	return short
}

// breath is the undisturbed time between two faults. Traffic must get a few logouts through.
const breath = 700 * time.Millisecond

// heal ends an injury, waits for its replicas and lets the cluster breathe.
func (x *experiment) heal(ctx context.Context, j *fault.Injury) error {
	ready, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := j.Heal(ready); err != nil {
		return err
	}
	return x.wait(ctx, breath)
}

// electing is how long the election of a leader may take, until it says so.
const electing = 5 * time.Second

// leader returns the replica that leads the log. When that does not run any more, its successor is awaited.
func (x *experiment) leader(ctx context.Context) (int, error) {
	for begin := time.Now(); time.Since(begin) < electing; {
		if i := x.Cluster.Leader(); i >= 0 && x.Cluster.Replicas[i].Ready(ctx) {
			return i, nil
		}
		if err := x.wait(ctx, 100*time.Millisecond); err != nil {
			return 0, err
		}
	}
	return 0, errors.New("no replica that is ready leads the log")
}

// follower returns a replica at random that does not lead the log.
func (x *experiment) follower(ctx context.Context) (int, error) {
	n := len(x.Cluster.Replicas)
	leader, err := x.leader(ctx)
	return (leader + 1 + x.rng.IntN(n-1)) % n, err
}

// everyone returns the numbers of all replicas.
func (x *experiment) everyone() []int {
	var all []int
	for i := range x.Cluster.Replicas {
		all = append(all, i)
	}
	return all
}
