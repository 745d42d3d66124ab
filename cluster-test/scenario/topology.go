package scenario

import (
	"context"
	"errors"
	"time"

	"github.com/knell-auth/knell/cluster-test/check"
	"github.com/knell-auth/knell/cluster-test/cluster"
)

// externalLease is the lease of replicas on NATS servers elsewhere, which is their own default: nats-server's elections take
// 4 to 9 s.
const externalLease = 15 * time.Second

func topologies() []Scenario {
	return []Scenario{
		{
			Name:     "five-replicas",
			Proves:   "with five replicas and five copies, two may die at once, the leader among them: the others turn no good token away",
			LongOnly: true,
			Cluster:  func(c *cluster.Config) { c.Replicas = 5 },
			Check:    check.Options{Logout: logoutBound},
			run:      killTwo,
		},
		{
			Name:    "joined",
			Proves:  "a logout waits for replicas without a copy of the log as for any other; the death of the one that such a replica is attached to costs it nothing",
			Sandbox: true,
			Cluster: func(c *cluster.Config) {
				c.Joined = 2
				c.Namespaces = true
			},
			Check:       check.Options{Logout: logoutBound},
			FaultProbes: 5,
			run:         disturbJoined,
		},
		{
			Name:   "external",
			Proves: "replicas on three real nats-servers keep the claims when one of them is killed or frozen, and turn no good token away when the servers' leader is killed",
			Cluster: func(c *cluster.Config) {
				c.External, c.Lease = true, externalLease
			},
			Check: check.Options{Logout: 3 * logoutBound},
			run:   disturbExternal,
		},
	}
}

// replicas returns how many replicas the scenario runs.
func (s Scenario) replicas() int {
	var c cluster.Config
	if s.Cluster != nil {
		s.Cluster(&c)
	}
	return c.Count()
}

// killTwo kills two followers, and then the leader of the log and a follower.
func killTwo(ctx context.Context, x *experiment) error {
	for n := range x.repeat(2, 10) {
		leader, err := x.leader(ctx)
		if err != nil {
			return err
		}
		all := len(x.Cluster.Replicas)
		first := (leader + n%2*(1+x.rng.IntN(all-1))) % all // the leader itself at every other time
		second := (first + 1 + x.rng.IntN(all-1)) % all
		j, err := x.Kill(first, second)
		if err != nil {
			return err
		}
		// Logouts meet the horizons of both, and their end.
		if err := errors.Join(x.wait(ctx, x.lease+x.lease/3), x.heal(ctx, j)); err != nil {
			return err
		}
	}
	return nil
}

// disturbJoined disturbs replicas that joined, and the peers that they are attached to. Between the two faults of peers there
// is time: one that was frozen is behind when it wakes, and the log needs it when another one dies meanwhile.
func disturbJoined(ctx context.Context, x *experiment) error {
	total, joined := len(x.Cluster.Replicas), 2
	for n := range x.repeat(1, 5) {
		one, other := always(total-joined+n%joined), always(total-joined+(n+1)%joined)
		err := errors.Join(x.pauseHub(ctx, one), x.kill(ctx, one, 2*time.Second), x.pause(ctx, other, x.longPause()),
			x.kill(ctx, x.hubOf(other), 3*time.Second), x.cut(ctx, one))
		if err == nil && x.long {
			err = x.successor(ctx, one)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// successor lets a replica leave, and another one join in its place that knows nothing of it: its directory is empty.
func (x *experiment) successor(ctx context.Context, who choice) error {
	i, err := who(ctx)
	if err != nil {
		return err
	}
	j, err := x.Stop(ctx, i)
	if err != nil {
		return err
	}
	if err := x.Cluster.Replicas[i].Wipe(); err != nil {
		return err
	}
	return x.heal(ctx, j)
}

// always returns a choice that does not depend on the moment.
func always(i int) choice { return func(context.Context) (int, error) { return i, nil } }

// hubOf returns the choice of the peer to which the chosen replica is attached.
func (x *experiment) hubOf(joined choice) choice {
	return func(ctx context.Context) (int, error) {
		i, err := joined(ctx)
		if err != nil {
			return 0, err
		}
		hub := x.Cluster.Attached(i)
		if hub < 0 {
			return 0, errors.New("a replica that joined is attached to no peer")
		}
		x.Logf("replica %d is attached to replica %d", i, hub)
		return hub, nil
	}
}

// pauseHub freezes the peer to which a replica that joined is attached. That replica is disturbed, too: until it has turned
// to another peer, it hears of nothing new, and makes those wait whose tokens are newer.
func (x *experiment) pauseHub(ctx context.Context, joined choice) error {
	hub, err := x.hubOf(joined)(ctx)
	if err != nil {
		return err
	}
	var ends []func()
	for i := range x.Cluster.Replicas {
		if x.Cluster.Attached(i) == hub {
			ends = append(ends, x.rec.Fault("silent peer", i))
		}
	}
	if err := x.pause(ctx, always(hub), x.lease); err != nil {
		return err
	}
	for _, end := range ends {
		end()
	}
	return nil
}

// disturbExternal disturbs replicas, and then the leader of the servers that keep the log.
func disturbExternal(ctx context.Context, x *experiment) error {
	for n := range x.repeat(1, 5) {
		one, other := always(n%3), always((n+1)%3)
		// A pause longer than a lease is part of the long form only: it takes most of a minute with its logouts.
		pause := 3 * time.Second
		if x.long {
			pause = x.longPause()
		}
		err := errors.Join(x.kill(ctx, one, time.Second), x.pause(ctx, other, pause), x.killServer(ctx))
		if err != nil {
			return err
		}
	}
	return nil
}

// killServer kills the server that leads the log, and starts it again once another one must lead. No replica counts as
// disturbed: each has to answer meanwhile.
func (x *experiment) killServer(ctx context.Context) error {
	i := x.Cluster.Leader()
	if i < 0 {
		return errors.New("no server leads the log")
	}
	s := x.Cluster.Servers[i]
	x.Logf("kill: server %d, which leads the log", i)
	if err := errors.Join(s.Kill(), x.wait(ctx, 10*time.Second)); err != nil {
		return err
	}
	if now := x.Cluster.Leader(); now == i {
		return errors.New("no other server leads the log after 10 s")
	}
	if err := s.Start(); err != nil {
		return err
	}
	ready, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := s.WaitReady(ready); err != nil {
		return err
	}
	x.Logf("kill: server %d ready again", i)
	return x.wait(ctx, breath)
}
