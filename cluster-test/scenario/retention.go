package scenario

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/knell-auth/knell/cluster-test/check"
	"github.com/knell-auth/knell/cluster-test/cluster"
	"github.com/knell-auth/knell/cluster-test/fault"
)

// The log keeps events for an hour at least, snapshots are made every 250,000 messages, and it is looked every 5 s whether there is something
// to do: too long for a run. So replicas run the build with the tag knell_break, which makes snapshots oftener, and log time is driven by
// a wall clock.

const (
	snapshotMessages = 100 // between two snapshots
	keptFor          = "1h"
	// aStep is by how much log time is set forward, so that all that the log has is older than keptFor.
	aStep = 62 * time.Minute
)

func retention() []Scenario {
	return []Scenario{{
		Name: "trimmed",
		Proves: "nothing but old events is lost while snapshots are made and the log is trimmed and replicas are killed; one that was away, or frozen, " +
			"for longer than the log goes back begins with a snapshot and accepts nothing that ended meanwhile",
		Seams:    true,
		LongOnly: true,
		Cluster: func(c *cluster.Config) {
			c.Env = append(c.Env, fmt.Sprintf("KNELL_SNAPSHOTS=%d,500ms", snapshotMessages))
			c.Arguments = append(c.Arguments, "--retain", keptFor)
		},
		Check: check.Options{Logout: logoutBound},
		run:   trimmed,
	}}
}

// trimmed trims the log while its leader, a follower, or, in the long form, a frozen replica is away, and kills replicas while snapshots are made.
func trimmed(ctx context.Context, x *experiment) (err error) {
	x.trail = newTrail(x.Cluster, filepath.Dir(x.Cluster.Replicas[0].Data))
	reading, cancel := context.WithCancel(ctx)
	read := make(chan error, 1)
	go func() { read <- x.trail.follow(reading) }() // ends with reading
	defer func() {
		cancel()
		err = errors.Join(err, <-read)
	}()
	clock := time.Duration(0)
	for n := range x.repeat(1, 9) {
		away, injure := x.follower, x.killOne
		switch n % 3 {
		case 1:
			away = x.leader
		case 2:
			injure = x.pauseOne
		}
		clock += aStep
		if err := x.trimWithout(ctx, away, injure, clock); err != nil {
			return err
		}
		for range x.repeat(2, 4) {
			victim := always(x.rng.IntN(len(x.Cluster.Replicas)))
			err := errors.Join(x.wait(ctx, time.Duration(x.rng.Int64N(int64(time.Second)))), x.kill(ctx, victim, 300*time.Millisecond))
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (x *experiment) killOne(i int) (*fault.Injury, error)  { return x.Kill(i) }
func (x *experiment) pauseOne(i int) (*fault.Injury, error) { return x.Pause(i) }

// trimWithout sets log time forward while a replica is away, waits until the log begins later than what that replica has, and lets it come back.
func (x *experiment) trimWithout(ctx context.Context, who choice, injure func(int) (*fault.Injury, error), clock time.Duration) error {
	i, err := who(ctx)
	if err != nil {
		return err
	}
	had, err := extentOf(ctx, x.Cluster.Replicas[i])
	if err != nil {
		return err
	}
	j, err := injure(i)
	if err != nil {
		return err
	}
	// By then clients know what became of their refreshes: one that is asked for again an hour later, by the log's time, is a theft.
	if err := x.wait(ctx, x.lease*3/5); err != nil {
		return err
	}
	// Nothing is trimmed for less than the messages between two snapshots: what gets old has to be more than that.
	other := (i + 1) % len(x.Cluster.Replicas)
	_, err = x.awaitExtent(ctx, other, func(e extent) bool { return e.Applied > had.Applied+2*snapshotMessages })
	if err != nil {
		return err
	}
	if err := x.leap(ctx, other, clock); err != nil {
		return err
	}
	e, err := x.awaitExtent(ctx, other, func(e extent) bool { return e.First > had.Applied+1 })
	if err != nil {
		return err
	}
	x.Logf("replica %d has the log up to %d, and it begins at %d", i, had.Applied, e.First)
	if err := x.comeBack(ctx, j, i); err != nil {
		return err
	}
	now, err := extentOf(ctx, x.Cluster.Replicas[i])
	if err == nil && now.First < e.First {
		err = fmt.Errorf("to replica %d the log begins at %d, and it begins at %d", i, now.First, e.First)
	}
	return errors.Join(err, x.wait(ctx, breath))
}

// leap sets the wall clock of a replica forward.
func (x *experiment) leap(ctx context.Context, i int, to time.Duration) error {
	end := x.rec.Fault("clock step", i)
	if err := x.disturb(i, fmt.Sprintf("wall=%v", to)); err != nil {
		return err
	}
	if err := x.settle(ctx, i); err != nil {
		return err
	}
	end()
	return nil
}

// awaitExtent waits until the part of the log that a replica knows is as it has to be, and returns it.
func (x *experiment) awaitExtent(ctx context.Context, i int, done func(extent) bool) (extent, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		e, err := extentOf(ctx, x.Cluster.Replicas[i])
		if err == nil && done(e) {
			return e, nil
		}
		if err := x.wait(ctx, 100*time.Millisecond); err != nil {
			return e, fmt.Errorf("replica %d has the log from %d to %d: %w", i, e.First, e.Applied, err)
		}
	}
}

// comeBack lets a replica come back. One that was frozen may find that the log was trimmed past it: then it ends, and is started again.
func (x *experiment) comeBack(ctx context.Context, j *fault.Injury, i int) error {
	if err := j.Undo(); err != nil {
		return err
	}
	ready, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r := x.Cluster.Replicas[i]
	if err := r.WaitReady(ready); errors.Is(err, cluster.ErrExited) {
		x.Logf("replica %d has ended: %s", i, r.LastLine())
		if err := r.Start(); err != nil {
			return err
		}
	}
	return j.Await(ready)
}
