// Package fault disturbs replicas and heals them, and notes in the history when each disturbance began and when its replica
// was ready again.
//
// It does not run replicas (package cluster) and does not decide when to disturb which (package scenario).
package fault

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"

	"github.com/knell-auth/knell/cluster-test/cluster"
	"github.com/knell-auth/knell/cluster-test/history"
)

// Injector disturbs the replicas of one cluster. It is for one goroutine.
type Injector struct {
	Cluster  *cluster.Cluster
	Recorder *history.Recorder
	Rand     *rand.Rand
	Logf     func(format string, args ...any)
}

// Injury is a disturbance that lasts. Its replicas count as disturbed until Heal has returned.
type Injury struct {
	in      *Injector
	name    string
	targets []int
	ends    []func()
	undo    func(*cluster.Replica, int) error
}

// begin notes the begin of a disturbance of targets and then carries it out.
func (in *Injector) begin(name string, targets []int, do, undo func(*cluster.Replica, int) error) (*Injury, error) {
	j := &Injury{in: in, name: name, targets: targets, undo: undo}
	in.Logf("%s: replica %v", name, targets)
	for _, i := range targets {
		j.ends = append(j.ends, in.Recorder.Fault(name, i))
	}
	for _, i := range targets {
		if err := do(in.Cluster.Replicas[i], i); err != nil {
			return nil, fmt.Errorf("fault: %s of replica %d: %w", name, i, err)
		}
	}
	return j, nil
}

// Undo takes the disturbance back without waiting for what follows.
func (j *Injury) Undo() error {
	for _, i := range j.targets {
		if err := j.undo(j.in.Cluster.Replicas[i], i); err != nil {
			return fmt.Errorf("fault: end of %s of replica %d: %w", j.name, i, err)
		}
	}
	return nil
}

// Heal takes the disturbance back and waits until its replicas are ready.
func (j *Injury) Heal(ctx context.Context) error {
	if err := j.Undo(); err != nil {
		return err
	}
	return j.Await(ctx)
}

// Await waits until the replicas are ready and notes the end of the disturbance. Then it waits for their copies of the log, as long
// as ctx allows: as long as one is behind, the loss of another replica would be the second one for the log.
func (j *Injury) Await(ctx context.Context) error {
	for n, i := range j.targets {
		if err := j.in.Cluster.Replicas[i].WaitReady(ctx); err != nil {
			return fmt.Errorf("fault: after %s: %w", j.name, err)
		}
		j.ends[n]()
	}
	j.in.Logf("%s: replica %v ready again", j.name, j.targets)
	for _, i := range j.targets {
		if r := j.in.Cluster.Replicas[i]; !r.WaitCopy(ctx) {
			j.in.Logf("%s: replica %d: its copy of the log is still behind", j.name, i)
		}
	}
	return nil
}

func start(r *cluster.Replica, _ int) error { return r.Start() }

// Kill ends replicas with SIGKILL, at the same time as far as the system allows. Healing starts them again.
func (in *Injector) Kill(targets ...int) (*Injury, error) {
	j, err := in.begin("kill", targets, func(r *cluster.Replica, _ int) error { return r.Signal(syscall.SIGKILL) }, start)
	if err != nil {
		return nil, err
	}
	return j, in.awaitDeath(targets)
}

func (in *Injector) awaitDeath(targets []int) error {
	for _, i := range targets {
		if err := in.Cluster.Replicas[i].Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
	}
	return nil
}

// Stop ends replicas with SIGTERM, one after the other, and waits for their end. Healing starts them again.
func (in *Injector) Stop(ctx context.Context, targets ...int) (*Injury, error) {
	return in.begin("stop", targets, func(r *cluster.Replica, _ int) error { return r.Stop(ctx) }, start)
}

// Pause stops the processes of replicas with SIGSTOP: as frozen virtual machines, they notice nothing. Healing lets them
// go on.
func (in *Injector) Pause(targets ...int) (*Injury, error) {
	return in.begin("pause", targets,
		func(r *cluster.Replica, _ int) error { return r.Signal(syscall.SIGSTOP) },
		func(r *cluster.Replica, _ int) error { return r.Signal(syscall.SIGCONT) })
}

// ballast is the file that fills a disk.
const ballast = "ballast"

// FillDisk leaves no free byte on the disks of replicas. Healing makes the room again; a replica that ended or does not
// serve any more has to be restarted by hand, so this injury is best healed by Undo.
func (in *Injector) FillDisk(targets ...int) (*Injury, error) {
	return in.begin("disk full", targets,
		func(r *cluster.Replica, _ int) error {
			if r.Disk != nil {
				r.Disk.Resize(r.Disk.Used())
				return nil
			}
			return fill(filepath.Join(r.Data, ballast))
		},
		func(r *cluster.Replica, _ int) error {
			if r.Disk != nil {
				r.Disk.Resize(math.MaxInt64)
				return nil
			}
			return os.Remove(filepath.Join(r.Data, ballast))
		})
}

// fill writes a file until the disk has no room.
func fill(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for block := make([]byte, 1<<20); len(block) > 0; {
		_, err := f.Write(block)
		switch {
		case errors.Is(err, syscall.ENOSPC):
			block = block[:len(block)/2]
		case err != nil:
			return err
		}
	}
	return nil
}
