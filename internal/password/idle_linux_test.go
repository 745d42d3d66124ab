package password

import (
	"fmt"
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// idleThreads says of each thread of a process whether it runs only when nothing else does.
func idleThreads(t *testing.T, pid int) (out []bool) {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		id, err := strconv.Atoi(task.Name())
		if err != nil {
			t.Fatal(err)
		}
		if attr, err := unix.SchedGetAttr(id, 0); err == nil { // else it has ended
			out = append(out, attr.Policy == unix.SCHED_IDLE)
		}
	}
	return out
}
