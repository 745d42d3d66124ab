package scenario

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/knell-auth/knell/cluster-test/check"
	"github.com/knell-auth/knell/cluster-test/cluster"
)

// power returns the scenarios with disks that forget, are slow or stall.
func power() []Scenario {
	forgetful := func(c *cluster.Config) { c.Forgetful = true }
	return []Scenario{
		{
			Name:     "power-one",
			Proves:   "a replica whose power fails, leading the log or not, comes back with everything that was acknowledged",
			Sandbox:  true,
			LongOnly: true,
			Cluster:  forgetful,
			Check:    check.Options{Logout: logoutBound},
			run:      powerOne,
		},
		{
			Name:     "power-minority",
			Proves:   "two replicas of five lose power at once; the others go on and nothing acknowledged is lost",
			Sandbox:  true,
			LongOnly: true,
			Cluster: func(c *cluster.Config) {
				forgetful(c)
				c.Replicas = 5
				c.Arguments = append(c.Arguments, "--replicas", "5")
			},
			Check: check.Options{Logout: logoutBound},
			run:   powerMinority,
		},
		{
			Name:    "power-all",
			Proves:  "what was acknowledged survives the loss of power of all replicas at once; no ended session comes back",
			Sandbox: true,
			Cluster: forgetful,
			Check:   check.Options{Logout: 2 * logoutBound, Outage: true},
			run:     powerAll,
		},
		{
			Name:    "mutant-sync-off",
			Proves:  "with JetStream's default flush instead of sync, the same loss of power loses what was acknowledged",
			Sandbox: true,
			Break:   "no-sync",
			Breaks:  check.C2,
			Cluster: forgetful,
			run:     powerAllUnnoticed,
		},
		{
			Name:     "slow-disk",
			LongOnly: true,
			Proves:   "a replica whose disk takes 50 ms for each sync costs the others nothing, leading the log or not",
			Sandbox:  true,
			Cluster:  forgetful,
			Check:    check.Options{Logout: logoutBound},
			run:      slowDisk,
		},
		{
			Name:     "fsync-stall",
			Proves:   "syncs that do not end for 3 s, at the leader of the log or at all replicas, delay answers and make none wrong",
			Sandbox:  true,
			LongOnly: true,
			Cluster:  forgetful,
			Check:    check.Options{Logout: logoutBound},
			run:      fsyncStall,
		},
	}
}

// dark is how long the power is off.
const dark = 2 * time.Second

func powerOne(ctx context.Context, x *experiment) error {
	for range x.repeat(2, 10) {
		for _, who := range []choice{x.leader, x.follower} {
			i, err := who(ctx)
			if err != nil {
				return err
			}
			if err := x.cutPower(ctx, dark, i); err != nil {
				return err
			}
		}
	}
	return nil
}

// powerMinority takes two of five at random, so that the leader is now one of them and now not.
func powerMinority(ctx context.Context, x *experiment) error {
	for range x.repeat(2, 10) {
		if err := x.cutPower(ctx, dark, x.rng.Perm(len(x.Cluster.Replicas))[:2]...); err != nil {
			return err
		}
	}
	return nil
}

func powerAll(ctx context.Context, x *experiment) error {
	for range x.repeat(2, 10) {
		if err := x.cutPower(ctx, 0, x.everyone()...); err != nil {
			return err
		}
	}
	return nil
}

// powerAllUnnoticed is powerAll with replicas that remember no point of the log that they had applied. Otherwise they notice
// the loss, and end with the words that the log was rewound: no wrong answer, but none that would show the loss.
func powerAllUnnoticed(ctx context.Context, x *experiment) error {
	j, err := x.CutPower(x.everyone()...)
	if err != nil {
		return err
	}
	for _, r := range x.Cluster.Replicas {
		r.Disk.Restore()
		if err := dropCheckpoint(filepath.Join(r.Data, "node.json")); err != nil {
			return err
		}
	}
	return x.heal(ctx, j)
}

// dropCheckpoint removes from what a replica keeps the point of the log that it had applied.
func dropCheckpoint(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var kept map[string]json.RawMessage
	if err := json.Unmarshal(data, &kept); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if _, ok := kept["checkpoint"]; !ok {
		return fmt.Errorf("%s: no checkpoint", path)
	}
	delete(kept, "checkpoint")
	if data, err = json.Marshal(kept); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}

func (x *experiment) cutPower(ctx context.Context, d time.Duration, targets ...int) error {
	j, err := x.CutPower(targets...)
	if err != nil {
		return err
	}
	if err := x.wait(ctx, d); err != nil {
		return err
	}
	return x.heal(ctx, j)
}

// slowSync is what each sync of a slow disk takes: a worn or overloaded one, or one behind a network.
const slowSync = 50 * time.Millisecond

func slowDisk(ctx context.Context, x *experiment) error {
	for range x.repeat(1, 5) {
		for _, who := range []choice{x.follower, x.leader} {
			i, err := who(ctx)
			if err != nil {
				return err
			}
			j, err := x.SlowDisk(slowSync, i)
			if err != nil {
				return err
			}
			if err := x.wait(ctx, x.lease); err != nil {
				return err
			}
			if err := x.heal(ctx, j); err != nil {
				return err
			}
		}
	}
	return nil
}

// stall is how long no sync ends: less than a lease, so that one that was renewed just before outlasts it.
const stall = 3 * time.Second

func fsyncStall(ctx context.Context, x *experiment) error {
	for range x.repeat(1, 6) {
		i, err := x.leader(ctx)
		if err != nil {
			return err
		}
		for _, targets := range [][]int{{i}, x.everyone()} {
			j, err := x.StallDisk(stall, targets...)
			if err != nil {
				return err
			}
			if err := x.wait(ctx, stall); err != nil {
				return err
			}
			if err := x.heal(ctx, j); err != nil {
				return err
			}
		}
	}
	return nil
}
