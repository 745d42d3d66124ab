package password

import (
	"encoding/gob"
	"errors"
	"io"
	"os/exec"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
	"time"
)

const (
	// patience is how long a process may take for one hash, the dearest of which takes about 1 s of a processor. It gets none while
	// others take all of them.
	patience = 2 * time.Second
	// pause is how long hashes are computed here after a process could not be had or did not answer.
	pause = time.Minute
)

// Processes computes hashes in other processes, which run only when a processor has nothing else to do. Go's scheduler knows no
// priorities: a goroutine that hashes for 20 ms keeps one of a few processors from all others of its process, whereas the kernel takes a
// processor from an idle process at once. There are as many processes as hashes at a time; they stay, and start when the first hash is
// wanted. Where a process cannot be had, or does not answer in time, its caller's goroutine computes, and that of everybody else for a
// minute: logins do not starve on a busy machine. Safe for concurrent use.
type Processes struct {
	path    string
	args    []string
	failed  func(error)   // told each time that one could not be started or did not answer
	patient time.Duration // with one hash
	pause   time.Duration // after a failure

	ending sync.WaitGroup

	mu     sync.Mutex
	free   []*process // with nothing to do
	closed bool
	retry  time.Time // none is asked before
}

// NewProcesses returns Processes that run the program at path with args. It must call Serve with its standard input and output. What
// goes wrong is told to failed, from the goroutine that wants a hash. Close ends the processes.
func NewProcesses(path string, args []string, failed func(error)) *Processes {
	return &Processes{path: path, args: args, failed: failed, patient: patience, pause: pause}
}

// process is one that answers one question at a time.
type process struct {
	cmd *exec.Cmd
	in  io.Closer
	out io.Reader
	ask *gob.Encoder
	get *gob.Decoder
}

// Serve makes this process one that Processes started: it answers questions until in ends, which is then no error.
func Serve(in io.Reader, out io.Writer) error {
	if err := becomeIdle(); err != nil {
		return err
	}
	debug.SetGCPercent(400) // a hash is 19 MiB of garbage: collect each few
	return serve(in, out)
}

func serve(in io.Reader, out io.Writer) error {
	lanes := 0
	questions, answers := gob.NewDecoder(in), gob.NewEncoder(out)
	for {
		var q question
		if err := questions.Decode(&q); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if n := q.lanes(); n != lanes {
			lanes = n
			runtime.GOMAXPROCS(lanes)
		}
		if err := answers.Encode(compute(q)); err != nil {
			return err
		}
	}
}

// compute is the function of that name, elsewhere if it can be.
func (p *Processes) compute(q question) answer {
	c, err := p.take()
	if err == nil && c != nil {
		var a answer
		if a, err = c.compute(q, p.patient); err == nil {
			p.put(c)
			return a
		}
		p.kill(c)
	}
	if err != nil {
		p.mu.Lock()
		p.retry = time.Now().Add(p.pause)
		p.mu.Unlock()
		p.failed(err)
	}
	return compute(q)
}

// take returns a process that has nothing to do, or a new one; nil: none is to be asked.
func (p *Processes) take() (*process, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || time.Now().Before(p.retry) {
		return nil, nil
	}
	if n := len(p.free); n > 0 {
		c := p.free[n-1]
		p.free = p.free[:n-1]
		return c, nil
	}
	return start(p.path, p.args)
}

// put gives c back after it has answered.
func (p *Processes) put(c *process) {
	p.mu.Lock()
	closed := p.closed
	if !closed {
		p.free = append(p.free, c)
	}
	p.mu.Unlock()
	if closed {
		p.kill(c)
	}
}

// Close ends the processes and waits for their end; those that have something to do end when they have answered, and are not waited for.
// Hashes that are wanted later are computed by their callers.
func (p *Processes) Close() {
	p.mu.Lock()
	free := p.free
	p.free, p.closed = nil, true
	p.mu.Unlock()
	for _, c := range free {
		p.kill(c)
	}
	p.ending.Wait()
}

// kill ends a process. Its end may take as long as others take all processors, so that nobody but Close waits for it.
func (p *Processes) kill(c *process) {
	_ = c.in.Close()
	_ = c.cmd.Process.Kill() // fails when it has ended
	p.mu.Lock()
	closed := p.closed
	if !closed {
		p.ending.Go(c.wait)
	}
	p.mu.Unlock()
	if closed {
		c.wait()
	}
}

// wait waits for the end of a process that was killed.
func (c *process) wait() { _ = c.cmd.Wait() }

// start starts a process, in a group of its own, so that a terminal's signals do not reach it.
func start(path string, args []string) (*process, error) {
	cmd := exec.Command(path, args...)
	cmd.Env, cmd.SysProcAttr = []string{}, &syscall.SysProcAttr{Setpgid: true}
	in, inErr := cmd.StdinPipe()
	out, outErr := cmd.StdoutPipe()
	if err := errors.Join(inErr, outErr); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &process{cmd, in, out, gob.NewEncoder(in), gob.NewDecoder(out)}, nil
}

func (c *process) compute(q question, patient time.Duration) (a answer, err error) {
	late := time.AfterFunc(patient, func() { _ = c.cmd.Process.Kill() }) // then the reading ends
	defer late.Stop()
	if err := c.ask.Encode(q); err != nil {
		return answer{}, errors.Join(errors.New("password: a process for hashes has ended"), err)
	}
	if err := c.get.Decode(&a); err != nil {
		return answer{}, errors.Join(errors.New("password: a process for hashes does not answer"), err)
	}
	return a, nil
}
