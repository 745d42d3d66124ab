//go:build !linux

package password

import "syscall"

// becomeIdle gives this process the lowest priority.
func becomeIdle() error { return syscall.Setpriority(syscall.PRIO_PROCESS, 0, 20) }
