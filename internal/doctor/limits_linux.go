package doctor

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// PeerPID returns the process at the other end of c, 0 if that cannot be told.
func PeerPID(c *net.UnixConn) int {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	pid := 0
	_ = raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			pid = int(cred.Pid)
		}
	})
	return pid
}

// proc returns the path of a file about a process.
func proc(pid int, file string) string {
	if pid == 0 {
		return "/proc/self/" + file
	}
	return fmt.Sprintf("/proc/%d/%s", pid, file)
}

// filesOf returns the limit of open files of another process.
func filesOf(pid int) (limit uint64, ok bool) {
	if pid == 0 {
		return 0, false
	}
	data, err := os.ReadFile(proc(pid, "limits"))
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(data)) {
		rest, found := strings.CutPrefix(line, "Max open files")
		if fields := strings.Fields(rest); found && len(fields) > 0 {
			limit, err := strconv.ParseUint(fields[0], 10, 64)
			return limit, err == nil
		}
	}
	return 0, false
}

// control returns the contents of a file of a process's control group (version 2), the nearest one upwards that has it.
func control(pid int, file string) string {
	data, err := os.ReadFile(proc(pid, "cgroup"))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		group, found := strings.CutPrefix(strings.TrimSpace(line), "0::")
		if !found {
			continue
		}
		for ; ; group = filepath.Dir(group) {
			if data, err := os.ReadFile(filepath.Join("/sys/fs/cgroup", group, file)); err == nil {
				return strings.TrimSpace(string(data))
			}
			if group == "/" || group == "." {
				return ""
			}
		}
	}
	return ""
}

// memoryLimit returns the limit of a process's control group in bytes, 0 if none is known.
func memoryLimit(pid int) int64 {
	n, err := strconv.ParseInt(control(pid, "memory.max"), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// cpuQuota returns how many processors a process's control group may use, 0 if that is not limited.
func cpuQuota(pid int) float64 {
	quota, period, _ := strings.Cut(control(pid, "cpu.max"), " ")
	q, err := strconv.ParseFloat(quota, 64)
	p, err2 := strconv.ParseFloat(period, 64)
	if err != nil || err2 != nil || p <= 0 {
		return 0
	}
	return q / p
}

// outgoingPorts returns the range from which outgoing connections get their ports.
func outgoingPorts() (low, high int) {
	data, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return 0, -1
	}
	if _, err := fmt.Sscan(string(data), &low, &high); err != nil {
		return 0, -1
	}
	return low, high
}
