//go:build !knell_break

package main

import (
	"github.com/knell-auth/knell/internal/fence"
	"github.com/knell-auth/knell/node"
)

// mutation returns none: only builds with the tag knell_break can leave a mechanism out.
func mutation() (fence.Mutation, error) { return 0, nil }

// oftener changes nothing.
func oftener(*node.Retention) error { return nil }
