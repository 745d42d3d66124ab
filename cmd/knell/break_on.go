//go:build knell_break

package main

import (
	"os"
	"strconv"
	"strings"
	"time"

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

// oftener makes snapshots as often as KNELL_SNAPSHOTS says, such as 100,500ms: the messages between two of them, and how often it is looked
// whether there is one to be made or something to be trimmed.
func oftener(r *node.Retention) error {
	text := os.Getenv("KNELL_SNAPSHOTS")
	if text == "" {
		return nil
	}
	every, look, _ := strings.Cut(text, ",")
	var err error
	if r.Every, err = strconv.ParseUint(every, 10, 64); err == nil {
		r.Look, err = time.ParseDuration(look)
	}
	if err != nil || r.Every == 0 || r.Look <= 0 {
		return usagef("KNELL_SNAPSHOTS %q: want messages and a time, such as 100,500ms", text)
	}
	return nil
}
