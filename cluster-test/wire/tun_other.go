//go:build !linux

package wire

import (
	"errors"
	"net/netip"
)

var errLinux = errors.New("wire: interfaces in user space need Linux")

// Open fails: the interfaces are Linux's.
func Open([]string, []netip.Addr, uint64) (*Switch, error) { return nil, errLinux }

// Supported returns why this process cannot make a switch.
func Supported() error { return errLinux }
