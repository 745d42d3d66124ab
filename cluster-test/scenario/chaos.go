package scenario

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/knell-auth/knell/cluster-test/check"
	"github.com/knell-auth/knell/cluster-test/cluster"
	"github.com/knell-auth/knell/cluster-test/fault"
	"github.com/knell-auth/knell/cluster-test/wire"
)

// combined returns the scenarios that do not stop at one kind of fault.
func combined() []Scenario {
	return []Scenario{
		{
			Name:     "leader-moves",
			Proves:   "the log's leadership goes from replica to replica, again and again, and nobody else turns a good token away",
			LongOnly: true,
			Check:    check.Options{Logout: logoutBound},
			run:      leaderMoves,
		},
		{
			Name:     "chaos",
			Proves:   "no combination of faults, drawn by the seed, makes an answer wrong; each time the service comes back",
			Sandbox:  true,
			Cluster:  func(c *cluster.Config) { c.Namespaces, c.Forgetful = true, true },
			Upgrades: true,
			Check:    check.Options{Logout: 3 * logoutBound, Slack: lastWords, Outage: true},
			run:      chaos,
		},
	}
}

// leaderMoves stops whoever leads. It hands over, and so does its successor as soon as it is back.
func leaderMoves(ctx context.Context, x *experiment) error {
	for range x.repeat(4, 20) {
		err := x.hurt(ctx, x.leader, 0, func(i int) (*fault.Injury, error) { return x.Stop(ctx, i) })
		if err != nil {
			return err
		}
	}
	return nil
}

// attack is one kind of fault that chaos draws.
type attack struct {
	do func(x *experiment, targets ...int) (*fault.Injury, error)
	// longest is how long it lasts at most, in leases.
	longest int
	// network is set for those that set rules of links: only one of them at a time, or one would take the other's back.
	network bool
	// ends is set for those after which the process may have ended without being told to.
	ends bool
}

// attacks are what chaos draws from. Each tells its name when it begins.
var attacks = []attack{
	{do: func(x *experiment, t ...int) (*fault.Injury, error) { return x.Kill(t...) }, longest: 2},
	{do: func(x *experiment, t ...int) (*fault.Injury, error) { return x.CutPower(t...) }, longest: 2},
	{do: func(x *experiment, t ...int) (*fault.Injury, error) { return x.Pause(t...) }, longest: 2},
	{do: func(x *experiment, t ...int) (*fault.Injury, error) { return x.SlowDisk(slowSync, t...) }, longest: 2},
	{do: func(x *experiment, t ...int) (*fault.Injury, error) { return x.StallDisk(stall, t...) }, longest: 1},
	{do: func(x *experiment, t ...int) (*fault.Injury, error) { return x.FillDisk(t...) }, longest: 1, ends: true},
	{do: func(x *experiment, t ...int) (*fault.Injury, error) { return x.Cut(t...) }, longest: 2, network: true},
	{do: func(x *experiment, t ...int) (*fault.Injury, error) { return x.Deafen(t...) }, longest: 2, network: true},
	{do: func(x *experiment, t ...int) (*fault.Injury, error) { return x.Mute(t...) }, longest: 2, network: true},
	{do: func(x *experiment, t ...int) (*fault.Injury, error) {
		return x.Impair("links slow and lossy", wire.Rule{Delay: 10 * time.Millisecond, Jitter: 30 * time.Millisecond, Loss: 0.05}, t...)
	}, longest: 2, network: true},
}

// attacks returns those that can be carried out. While nobody uses what is new in it, the next version may come and go.
func (x *experiment) attacks() []attack {
	if x.next == "" {
		return attacks
	}
	return append(attacks[:len(attacks):len(attacks)], attack{do: (*experiment).swap, longest: 1})
}

// chaos draws one or two faults and their victims, lets them overlap, heals, and goes on until its time is over. Usually one
// replica is hit, sometimes two different ones, which leaves no healthy majority: then the service may be down, but not wrong.
func chaos(ctx context.Context, x *experiment) error {
	for begin := time.Now(); time.Since(begin) < time.Duration(x.repeat(20, 300))*time.Second; {
		if err := x.round(ctx); err != nil {
			return err
		}
	}
	return nil
}

// blow is an attack that has been drawn.
type blow struct {
	attack
	target int
	after  time.Duration // the one before
	length time.Duration
	injury *fault.Injury
}

func (x *experiment) round(ctx context.Context) error {
	blows := x.draw()
	majority := func() {} // notes that there is a healthy one again
	for n := range blows {
		b := &blows[n]
		if err := x.wait(ctx, b.after); err != nil {
			return err
		}
		if n == 1 {
			majority = x.excuse(blows)
		}
		var err error
		if b.injury, err = b.do(x, b.target); err != nil {
			return err
		}
	}
	// The one that lasts longest is healed last, and a replica may come back while another one is still hurt: being ready
	// is only awaited when all are well.
	slices.SortFunc(blows, func(a, b blow) int { return cmp.Compare(a.length, b.length) })
	waited := time.Duration(0)
	for _, b := range blows {
		if err := x.wait(ctx, b.length-waited); err != nil {
			return err
		}
		waited = b.length
		if err := b.injury.Undo(); err != nil {
			return err
		}
	}
	for _, b := range blows {
		if b.ends {
			if err := x.revive(ctx, b.target); err != nil {
				return err
			}
		}
	}
	ready, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, b := range blows {
		if err := b.injury.Await(ready); err != nil {
			return err
		}
	}
	if err := x.Cluster.WaitReady(ready); err != nil {
		return err
	}
	majority()
	return x.wait(ctx, breath)
}

// excuse notes that the replicas that are not hit have no healthy majority any more, and returns what notes that they have
// again. Slow disks and links count as hit: the election of a leader among such replicas may outlast a lease.
func (x *experiment) excuse(blows []blow) (end func()) {
	var ends []func()
	for i := range x.Cluster.Replicas {
		if !slices.ContainsFunc(blows, func(b blow) bool { return b.target == i }) {
			ends = append(ends, x.rec.Fault("no healthy majority", i))
		}
	}
	x.Logf("no healthy majority is left")
	return func() {
		for _, end := range ends {
			end()
		}
	}
}

// draw returns the blows of one round, on different replicas.
func (x *experiment) draw() []blow {
	attacks := x.attacks()
	victims := x.rng.Perm(len(x.Cluster.Replicas))
	count := 1
	if x.rng.IntN(3) == 0 {
		count = 2
	}
	var blows []blow
	for _, victim := range victims[:count] {
		a := attacks[x.rng.IntN(len(attacks))]
		for a.network && slices.ContainsFunc(blows, func(b blow) bool { return b.network }) {
			a = attacks[x.rng.IntN(len(attacks))]
		}
		blows = append(blows, blow{
			attack: a, target: victim,
			after:  time.Duration(x.rng.Int64N(int64(time.Second))),
			length: time.Second/2 + time.Duration(x.rng.Int64N(int64(time.Duration(a.longest)*x.lease))),
		})
	}
	return blows
}

// revive starts a replica whose disk was full: one that ended is started again, as a supervisor would, and so is one that
// does not serve.
func (x *experiment) revive(ctx context.Context, i int) error {
	r := x.Cluster.Replicas[i]
	within, cancel := context.WithTimeout(ctx, recovery/3)
	err := r.WaitReady(within)
	cancel()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, cluster.ErrExited):
		x.Logf("replica %d has ended: %s", i, r.LastLine())
	default:
		x.Logf("replica %d has to be restarted: %s", i, r.LastLine())
		if err := r.Kill(); err != nil {
			return err
		}
	}
	return r.Start()
}
