package doctor

import (
	"runtime"

	"golang.org/x/sys/unix"
)

const (
	leastFiles = 4096
	// hashBytes is what a process that hashes passwords takes, and baseBytes what an idle replica with some thousand sessions does,
	// with room for a snapshot.
	hashBytes = 140 << 20
	baseBytes = 320 << 20
)

// Process says which process Limits looks at.
type Process struct {
	PID     int // 0: this one stands for the replica's
	Workers int // processes that hash passwords beside it
}

// Limits checks what the system lets a replica have: files, memory, processors.
func (r *Report) Limits(p Process) {
	r.files(p.PID)
	r.memory(p)
	const check = "processors"
	cores, quota := runtime.NumCPU(), cpuQuota(p.PID)
	switch {
	case quota > 0 && quota < 1:
		r.Warn(check, "give it a whole one: a replica that is held up loses its lease", "it may use %.2g processors", quota)
	case quota > 0 && quota < float64(cores):
		r.OK(check, "%.2g of %d", quota, cores)
	default:
		r.OK(check, "%d", cores)
	}
}

func (r *Report) files(pid int) {
	const check = "open files"
	limit, ok := filesOf(pid)
	if !ok {
		var files unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
			r.Warn(check, "", "%v", err)
			return
		}
		limit = uint64(files.Cur)
	}
	whose := "this shell's"
	if ok {
		whose = "the replica's"
	}
	if limit < leastFiles {
		r.Warn(check, "raise it (ulimit -n, LimitNOFILE=): HTTP takes at most three quarters of it, the rest waits", "%s limit is %d", whose, limit)
		return
	}
	r.OK(check, "%s limit is %d", whose, limit)
}

func (r *Report) memory(p Process) {
	const check = "memory"
	need := int64(baseBytes) + int64(p.Workers)*hashBytes
	limit := memoryLimit(p.PID)
	switch {
	case limit == 0:
		r.OK(check, "no limit is known; %s is for an idle replica and %d processes that hash passwords", size(need), p.Workers)
	case limit < need:
		r.Warn(check, "raise it, or lower --hash-workers: whoever exceeds it is killed", "the limit is %s; an idle replica and %d processes that hash passwords take up to %s",
			size(limit), p.Workers, size(need))
	default:
		r.OK(check, "the limit is %s", size(limit))
	}
}

// Address checks a port that a replica listens on: whether an outgoing connection can take it while the replica does not run.
func (r *Report) Address(flag, address string, port int) {
	const check = "addresses"
	if low, high := outgoingPorts(); low <= port && port <= high {
		r.Warn(check, "choose another one, or reserve it (net.ipv4.ip_local_reserved_ports)",
			"--%s %s: the system gives ports from %d to %d to outgoing connections, and may give away this one while the replica is stopped", flag, address, low, high)
		return
	}
	r.OK(check, "--%s %s", flag, address)
}
