package node

import (
	"time"

	"github.com/knell-auth/knell/internal/fence"
)

// clock reads the two clocks that leases are judged by, as time since the node was made. One time.Now gives both: the
// monotonic one never jumps but stands still while a machine is suspended; the wall clock jumps, and shows the suspension.
type clock struct {
	origin time.Time
	wall   int64 // origin in Unix nanoseconds
}

func newClock() clock {
	now := time.Now()
	return clock{origin: now, wall: now.UnixNano()}
}

// read returns both clocks. It is called anew for every decision: a cached reading is stale after a pause.
func (c *clock) read() fence.Reading {
	now := time.Now()
	return fence.Reading{Mono: now.Sub(c.origin), Wall: time.Duration(now.UnixNano() - c.wall)}
}

// unix returns the wall clock of r in Unix seconds.
func (c *clock) unix(r fence.Reading) int64 { return (c.wall + int64(r.Wall)) / 1e9 }
