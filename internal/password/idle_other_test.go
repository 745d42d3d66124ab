//go:build !linux

package password

import (
	"syscall"
	"testing"
)

// idleThreads says whether a process has the lowest priority.
func idleThreads(t *testing.T, pid int) []bool {
	n, err := syscall.Getpriority(syscall.PRIO_PROCESS, pid)
	if err != nil {
		t.Fatal(err)
	}
	return []bool{n >= 19}
}
