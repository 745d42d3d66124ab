//go:build knell_break

package main

import (
	"os"

	"github.com/knell-auth/knell/internal/fence"
)

// mutation returns the mechanism that KNELL_BREAK asks to leave out, for tests that show that it is needed.
func mutation() (fence.Mutation, error) {
	name := os.Getenv("KNELL_BREAK")
	m, err := fence.ParseMutation(name)
	if err != nil {
		return 0, usagef("KNELL_BREAK: %w", err)
	}
	return m, nil
}
