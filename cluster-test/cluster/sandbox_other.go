//go:build !linux

package cluster

import (
	"errors"
	"syscall"
)

// Sandboxed reports whether this process has network and mounts of its own.
func Sandboxed() bool { return false }

// EnterSandbox fails: namespaces are Linux's.
func EnterSandbox([]string) (int, error) {
	return 0, errors.New("cluster: a sandbox needs Linux")
}

// PrepareSandbox fails.
func PrepareSandbox() error { return errors.New("cluster: a sandbox needs Linux") }

func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func namespaceAttributes() *syscall.SysProcAttr { return childAttributes() }
