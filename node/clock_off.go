//go:build !knell_break

package node

import "github.com/knell-auth/knell/internal/fence"

// faults are none: clocks and the log are what they are. Builds with the tag knell_break have others (clock_on.go).
type faults struct{}

func faultsOf(string) faults { return faults{} }

// disturb returns l.
func (faults) disturb(l Log) Log { return l }

// read returns both clocks. It is called anew for every decision: a cached reading is stale after a pause.
func (c *clock) read() fence.Reading { return c.real() }
