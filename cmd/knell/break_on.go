//go:build knell_break

package main

import (
	"os"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/fence"
	"github.com/knell-auth/knell/node"
)

// mutation returns the mechanism that KNELL_BREAK asks to leave out, for tests that show that it is needed. KNELL_FAULTS names
// the directory in which a test puts faults of clocks and log for each replica.
func mutation() (fence.Mutation, error) {
	name := os.Getenv("KNELL_BREAK")
	m, err := fence.ParseMutation(name)
	if err != nil {
		return 0, usagef("KNELL_BREAK: %w", err)
	}
	events.Anonymous = m&fence.NoDedupe != 0
	node.FaultDir = os.Getenv("KNELL_FAULTS")
	return m, nil
}
