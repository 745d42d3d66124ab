package process

import "syscall"

// attributes make a child end with the harness, whatever ends that, and keep the terminal's signals from it.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
