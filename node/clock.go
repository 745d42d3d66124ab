package node

import (
	"time"

	"github.com/knell-auth/knell/internal/fence"
)

// clock reads the two clocks that leases are judged by, as time since the node was made. One time.Now gives both: the
// monotonic one never jumps but stands still while a machine is suspended; the wall clock jumps, and shows the suspension.
type clock struct {
	faults faults // in a normal build there are none
	origin time.Time
	wall   int64 // origin in Unix nanoseconds
}

func newClock(f faults) clock {
	now := time.Now()
	return clock{faults: f, origin: now, wall: now.UnixNano()}
}

// real returns both clocks as the system shows them.
func (c *clock) real() fence.Reading {
	now := time.Now()
	return fence.Reading{Mono: now.Sub(c.origin), Wall: time.Duration(now.UnixNano() - c.wall)}
}

// now returns the wall clock.
func (c *clock) now() time.Time { return time.Unix(0, c.wall+int64(c.read().Wall)) }

// unix returns the wall clock of r in Unix seconds.
func (c *clock) unix(r fence.Reading) int64 { return (c.wall + int64(r.Wall)) / 1e9 }
