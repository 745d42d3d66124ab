package process

import (
	"time"

	"golang.org/x/sys/unix"
)

// CPU returns the processor time that the process pid has used until now, in user and system mode.
func CPU(pid int) (time.Duration, error) {
	// The clock of another process, as clock_getcpuclockid(3) makes it: the complement of the id, and CPUCLOCK_SCHED.
	const scheduled = 2
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid)<<3|scheduled, &ts); err != nil {
		return 0, err
	}
	return time.Duration(ts.Nano()), nil
}
