package fault

import (
	"errors"
	"math/rand/v2"
	"os"
	"syscall"
	"time"

	"github.com/knell-auth/knell/cluster-test/cluster"
)

// CutPower ends replicas as a loss of power does, all at the same instant: from then on nothing is written any more, the
// processes end without a chance to say anything, and their disks forget what was not synced: every second time all of it,
// else some ends of files are left. Healing turns the power on and starts the replicas again. They must have forgetful disks.
func (in *Injector) CutPower(targets ...int) (*Injury, error) {
	j, err := in.begin("power loss", targets,
		func(r *cluster.Replica, _ int) error {
			r.Disk.Hold()
			return nil
		},
		func(r *cluster.Replica, _ int) error {
			r.Disk.Restore()
			return r.Start()
		})
	if err != nil {
		return nil, err
	}
	// The order matters: operations that wait at the disk fail only when no process can notice any more. They must fail in any
	// case, or a process could not end.
	var errs []error
	for _, i := range targets {
		if err := in.Cluster.Replicas[i].Signal(syscall.SIGKILL); !errors.Is(err, os.ErrProcessDone) {
			errs = append(errs, err)
		}
	}
	var torn *rand.Rand
	if in.Rand.IntN(2) == 0 {
		torn = in.Rand
		in.Logf("power loss: the ends of files are torn")
	}
	for _, i := range targets {
		in.Cluster.Replicas[i].Disk.Lose(torn)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return j, in.awaitDeath(targets)
}

// SlowDisk makes each sync of the replicas' disks take so long.
func (in *Injector) SlowDisk(each time.Duration, targets ...int) (*Injury, error) {
	return in.begin("disk slow", targets,
		func(r *cluster.Replica, _ int) error {
			r.Disk.Slow(each)
			return nil
		},
		func(r *cluster.Replica, _ int) error {
			r.Disk.Slow(0)
			return nil
		})
}

// StallDisk lets no sync of the replicas' disks end for so long; it ends by itself.
func (in *Injector) StallDisk(length time.Duration, targets ...int) (*Injury, error) {
	return in.begin("disk stalled", targets,
		func(r *cluster.Replica, _ int) error {
			r.Disk.Stall(length)
			return nil
		},
		func(*cluster.Replica, int) error { return nil })
}
