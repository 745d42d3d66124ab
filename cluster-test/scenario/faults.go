package scenario

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/knell-auth/knell/cluster-test/cluster"
	"github.com/knell-auth/knell/cluster-test/fault"
)

func steady(ctx context.Context, x *experiment) error {
	return x.wait(ctx, time.Duration(x.repeat(5, 60))*time.Second)
}

func killFollower(ctx context.Context, x *experiment) error {
	for range x.repeat(1, 10) { // other scenarios kill followers, too
		// Long enough that logouts meet its horizon, and that they do no longer.
		if err := x.kill(ctx, x.follower, x.lease+x.lease/3); err != nil {
			return err
		}
	}
	return nil
}

func killLeader(ctx context.Context, x *experiment) error {
	for range x.repeat(4, 20) {
		// The election and the first commits of the new leader fall into this time.
		if err := x.kill(ctx, x.leader, 2*time.Second); err != nil {
			return err
		}
	}
	return nil
}

// choice says which replica is meant now.
type choice func(context.Context) (int, error)

func (x *experiment) kill(ctx context.Context, who choice, d time.Duration) error {
	i, err := who(ctx)
	if err != nil {
		return err
	}
	j, err := x.Kill(i)
	if err != nil {
		return err
	}
	if err := x.wait(ctx, d); err != nil {
		return err
	}
	return x.heal(ctx, j)
}

func killAll(ctx context.Context, x *experiment) error {
	for range x.repeat(2, 10) {
		j, err := x.Kill(x.everyone()...)
		if err != nil {
			return err
		}
		if err := x.heal(ctx, j); err != nil {
			return err
		}
	}
	return nil
}

func pauseShort(ctx context.Context, x *experiment) error {
	for n := range x.repeat(3, 15) {
		each := func(context.Context) (int, error) { return n % len(x.Cluster.Replicas), nil }
		if err := x.pause(ctx, each, x.lease/2); err != nil {
			return err
		}
	}
	return nil
}

// longPause is how long a pause or a cut lasts that must outlast every lease: so long that logouts return meanwhile and
// their verifications reach the silent replica.
func (x *experiment) longPause() time.Duration { return x.lease + x.lease/2 }

func pauseLong(ctx context.Context, x *experiment) error {
	for range x.repeat(2, 10) {
		if err := x.pause(ctx, x.follower, x.longPause()); err != nil {
			return err
		}
	}
	return nil
}

func pauseLeader(ctx context.Context, x *experiment) error {
	for range x.repeat(2, 10) {
		if err := x.pause(ctx, x.leader, x.longPause()); err != nil {
			return err
		}
	}
	return nil
}

func (x *experiment) pause(ctx context.Context, who choice, d time.Duration) error {
	i, err := who(ctx)
	if err != nil {
		return err
	}
	j, err := x.Pause(i)
	if err != nil {
		return err
	}
	if err := x.wait(ctx, d); err != nil {
		return err
	}
	return x.heal(ctx, j)
}

// cutOff cuts followers and then, once, the leader. A leader that was cut off takes up to a few seconds for each event that
// it wrote down and nobody else did, until it follows again (nats-server gives up one of them at each attempt to catch
// up), and until then the log does without it: another cut meanwhile would be a second fault.
func cutOff(ctx context.Context, x *experiment) error {
	for range x.repeat(1, 8) {
		if err := x.cut(ctx, x.follower); err != nil {
			return err
		}
	}
	return x.cut(ctx, x.leader)
}

func (x *experiment) cut(ctx context.Context, who choice) error {
	i, err := who(ctx)
	if err != nil {
		return err
	}
	j, err := x.Cut(i)
	if err != nil {
		return err
	}
	if err := x.wait(ctx, x.longPause()); err != nil {
		return err
	}
	return x.heal(ctx, j)
}

func restartEmpty(ctx context.Context, x *experiment) error {
	for range x.repeat(1, 6) {
		i := x.rng.IntN(len(x.Cluster.Replicas))
		j, err := x.Kill(i)
		if err != nil {
			return err
		}
		if err := errors.Join(x.wait(ctx, time.Second), x.Cluster.Replicas[i].Wipe()); err != nil {
			return err
		}
		if err := x.heal(ctx, j); err != nil {
			return err
		}
	}
	return nil
}

func restartOld(ctx context.Context, x *experiment) error {
	for n := range x.repeat(1, 6) {
		i := n % len(x.Cluster.Replicas)
		r := x.Cluster.Replicas[i]
		j, err := x.Stop(ctx, i)
		if err != nil {
			return err
		}
		saved, err := r.SaveData()
		if err != nil {
			return err
		}
		if err := x.heal(ctx, j); err != nil {
			return err
		}
		// Sessions start and end that the copy knows nothing of.
		if err := x.wait(ctx, 3*time.Second); err != nil {
			return err
		}
		if j, err = x.Kill(i); err != nil {
			return err
		}
		if err := r.RestoreData(saved); err != nil {
			return err
		}
		if err := x.orRefuse(ctx, j, i); err != nil {
			return err
		}
	}
	return nil
}

// recovery is how long a replica may try to repair its data before it counts as one that stays down.
const recovery = 15 * time.Second

// orRefuse starts a replica whose data is not what it was. It may become ready, or end with an error, or never become
// ready; in the two latter cases its data is thrown away and it starts again.
func (x *experiment) orRefuse(ctx context.Context, j *fault.Injury, i int) error {
	if err := j.Undo(); err != nil {
		return err
	}
	r := x.Cluster.Replicas[i]
	within, cancel := context.WithTimeout(ctx, recovery)
	err := r.WaitReady(within)
	cancel()
	switch {
	case err == nil:
		x.Logf("replica %d recovered", i)
	case errors.Is(err, cluster.ErrExited):
		x.Logf("replica %d refuses to start: %s", i, r.LastLine())
	case ctx.Err() == nil:
		x.Logf("replica %d does not become ready: %s", i, r.LastLine())
		if err := r.Kill(); err != nil {
			return err
		}
	}
	if err != nil {
		if err := errors.Join(ctx.Err(), r.Wipe(), r.Start()); err != nil {
			return err
		}
	}
	ready, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := j.Await(ready); err != nil {
		return err
	}
	return x.wait(ctx, breath)
}

// shortDamages is how many kinds of damage the short form tries.
const shortDamages = 4

func corrupt(ctx context.Context, x *experiment) error {
	damages := fault.Damages()
	x.rng.Shuffle(len(damages), func(a, b int) { damages[a], damages[b] = damages[b], damages[a] })
	for n, d := range damages[:x.repeat(shortDamages, len(damages))] {
		i := n % len(x.Cluster.Replicas)
		// After a clean stop a damaged store looks to nats-server like one that was trimmed.
		end := func() (*fault.Injury, error) { return x.Stop(ctx, i) }
		if n%2 == 0 {
			end = func() (*fault.Injury, error) { return x.Kill(i) }
		}
		j, err := end()
		if err != nil {
			return err
		}
		file, err := d.Do(x.Cluster.Replicas[i].Data, x.rng)
		if err != nil {
			return err
		}
		// nats-server writes the index now and then: who is killed early has none.
		x.Logf("replica %d: %s (%s)", i, d.Name, cmp.Or(file, "there is no such file"))
		if err := x.orRefuse(ctx, j, i); err != nil {
			return err
		}
	}
	return nil
}

func diskFullOne(ctx context.Context, x *experiment) error {
	i, err := x.follower(ctx)
	if err != nil {
		return err
	}
	return x.fillDisks(ctx, i)
}

func diskFullAll(ctx context.Context, x *experiment) error { return x.fillDisks(ctx, x.everyone()...) }

// fillDisks fills the disks of replicas for some time. A replica may go on once there is room, or end; one that neither
// serves nor ends is restarted, as an operator would.
func (x *experiment) fillDisks(ctx context.Context, targets ...int) error {
	j, err := x.FillDisk(targets...)
	if err != nil {
		return err
	}
	if err := x.wait(ctx, x.longPause()); err != nil {
		return err
	}
	if err := j.Undo(); err != nil {
		return err
	}
	for _, i := range targets {
		r := x.Cluster.Replicas[i]
		within, cancel := context.WithTimeout(ctx, recovery/3)
		err := r.WaitReady(within)
		cancel()
		if err == nil {
			x.Logf("replica %d serves again without a restart", i)
			continue
		}
		if !errors.Is(err, cluster.ErrExited) {
			x.Logf("replica %d has to be restarted: %s", i, r.LastLine())
			if err := r.Kill(); err != nil {
				return err
			}
		} else {
			x.Logf("replica %d has ended: %s", i, r.LastLine())
		}
		if err := r.Start(); err != nil {
			return err
		}
	}
	ready, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := j.Await(ready); err != nil {
		return err
	}
	return x.wait(ctx, breath)
}
