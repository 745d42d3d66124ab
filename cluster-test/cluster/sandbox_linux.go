package cluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
)

// sandboxVariable marks the process that runs in a sandbox.
const sandboxVariable = "KNELL_CLUSTER_TEST_SANDBOX"

// Sandboxed reports whether this process has network and mounts of its own.
func Sandboxed() bool { return os.Getenv(sandboxVariable) == "1" }

// EnterSandbox runs this program again, with these arguments, in network and mount namespaces of its own, where links and
// disks can be made that nobody outside sees and that end with it. As another user than root it needs user namespaces.
// It returns the exit code of that run. An error means that it could not be started and why.
func EnterSandbox(args []string) (code int, err error) {
	for _, tool := range []string{"ip", "nsenter", "mount", "umount", "sleep"} {
		if _, err := exec.LookPath(tool); err != nil {
			return 0, err
		}
	}
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), sandboxVariable+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	// Unsharing the mounts (rather than cloning them) makes them private, too.
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET, Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGTERM,
	}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	// The death signal comes when the thread that started the child ends: it must not before this process does.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("cluster: sandbox: %w", err)
	}
	done := make(chan struct{})
	forwarded := make(chan struct{})
	go func() {
		defer close(forwarded)
		for {
			select {
			case s := <-signals:
				_ = cmd.Process.Signal(s)
			case <-done:
				return
			}
		}
	}()
	err = cmd.Wait()
	close(done)
	<-forwarded
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 0, err
	}
	if code = cmd.ProcessState.ExitCode(); code < 0 {
		code = 1
	}
	return code, nil
}

// PrepareSandbox makes loopback usable in a new sandbox.
func PrepareSandbox() error { return run("ip", "link", "set", "lo", "up") }

// childAttributes make a replica end with the harness, whatever ends that, and keep the terminal's signals from it.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// namespaceAttributes give a process a network namespace of its own.
func namespaceAttributes() *syscall.SysProcAttr {
	a := childAttributes()
	a.Cloneflags = syscall.CLONE_NEWNET
	return a
}
