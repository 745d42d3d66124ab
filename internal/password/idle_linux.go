package password

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// becomeIdle lets this process run only where no other has anything to do. The kernel takes a processor from such a process at once; a
// nice value alone lets it end its turn of some milliseconds. Threads inherit it, so it is done when each has it.
func becomeIdle() error {
	for again := true; again; {
		again = false
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		for _, task := range tasks {
			id, err := strconv.Atoi(task.Name())
			if err != nil {
				return err
			}
			attr, err := unix.SchedGetAttr(id, 0)
			if err != nil || attr.Policy == unix.SCHED_IDLE {
				continue // it has ended, or it is done
			}
			again = true
			attr = &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_IDLE}
			if err := unix.SchedSetAttr(id, attr, 0); err != nil {
				return err
			}
		}
	}
	return nil
}
