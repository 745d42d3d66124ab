// Package process runs child processes that say on standard output when they are ready, and ends them with whoever started
// them. It does not know what they are. (Replicas of Knell, with namespaces and disks, are package cluster's.)
package process

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
)

// Command is what to run.
type Command struct {
	Path string
	Args []string
	Env  []string // nil: PATH alone
	Dir  string
	// Input is written to standard input, which stays open until the process ends.
	Input []byte
	// Log is a file that gets the output, appended. Required.
	Log string
	// Ready reports whether a line of standard output says that the process is ready. Required.
	Ready func(line string) bool
}

// Process is a child that runs, or ran. Its methods are safe for concurrent use.
type Process struct {
	cmd   *exec.Cmd
	stdin io.Closer
	log   string
	ready chan struct{} // closed when it said so
	ended chan struct{} // closed when it has been waited for

	mu  sync.Mutex
	err error // how it ended
}

// ErrEnded says that the process ended before it was ready.
var ErrEnded = errors.New("process has ended")

// Start starts c and returns when it is ready. The error holds the end of its log.
func Start(ctx context.Context, c Command) (*Process, error) {
	log, err := os.OpenFile(c.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(c.Path, c.Args...)
	cmd.Dir, cmd.Env, cmd.Stderr, cmd.SysProcAttr = c.Dir, c.Env, log, attributes()
	if cmd.Env == nil {
		cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	}
	stdin, inErr := cmd.StdinPipe()
	stdout, outErr := cmd.StdoutPipe()
	if err := errors.Join(inErr, outErr); err != nil {
		log.Close()
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		log.Close()
		return nil, fmt.Errorf("process: %w", err)
	}
	p := &Process{cmd: cmd, stdin: stdin, log: c.Log, ready: make(chan struct{}), ended: make(chan struct{})}
	go func() { // ends with the process, which Kill ends and awaits
		p.attend(stdout, log, c.Ready)
		log.Close()
	}()
	_, _ = stdin.Write(c.Input) // fails when the process has ended, which the next lines tell
	select {
	case <-p.ready:
		return p, nil
	case <-p.ended:
		return nil, fmt.Errorf("process: %s: %w: %v; its log ends with:\n%s", c.Path, ErrEnded, p.exit(), p.tail())
	case <-ctx.Done():
		p.Kill()
		return nil, fmt.Errorf("process: %s is not ready: %w; its log ends with:\n%s", c.Path, ctx.Err(), p.tail())
	}
}

// attend copies the output to log until it ends, and waits for the process.
func (p *Process) attend(stdout io.Reader, log io.Writer, isReady func(string) bool) {
	said := false
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		fmt.Fprintln(log, lines.Text())
		if !said && isReady(lines.Text()) {
			said = true
			close(p.ready)
		}
	}
	_, _ = io.Copy(log, stdout) // after a line that was too long
	err := p.cmd.Wait()
	p.mu.Lock()
	p.err = err
	p.mu.Unlock()
	close(p.ended)
}

func (p *Process) exit() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// PID returns the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends sig to the process.
func (p *Process) Signal(sig syscall.Signal) error { return p.cmd.Process.Signal(sig) }

// Kill ends the process with SIGKILL, however it is, and waits for its end.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // fails when it has ended, which is as good
	<-p.ended
	_ = p.stdin.Close() // fails when Wait has closed it
}

// tail returns the end of the log.
func (p *Process) tail() string {
	data, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	const most = 1500
	return strings.TrimSpace(string(data[max(0, len(data)-most):]))
}
