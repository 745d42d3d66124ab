package cluster

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/knell-auth/knell/cluster-test/disk"
)

// Replica is one process of Knell, or of nats-server, or the place where one ran. Its methods are safe for concurrent use.
type Replica struct {
	Name string
	URL  string
	NATS string // where those who read events connect; "": nowhere
	Data string
	Disk *disk.Disk // that Data is on; nil: one of the machine's

	binary  string
	args    []string
	env     []string
	enter   []string
	logFile string
	mounted bool
	lease   time.Duration // length of a lease; 0: not known
	probe   string        // path that answers 200 when a nats-server is ready; "": this is a replica

	mu  sync.Mutex // guards all below, and binary
	cmd *exec.Cmd  // nil when never started
	end chan struct{}
	err error // how it ended; valid once end is closed
}

// ErrExited is what waiting for a replica gives when its process has ended.
var ErrExited = errors.New("process has ended")

// Start starts the process. The one before it must have ended.
func (r *Replica) Start() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.end != nil {
		select {
		case <-r.end:
		default:
			return fmt.Errorf("cluster: %s runs already", r.Name)
		}
	}
	log, err := os.OpenFile(r.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	fmt.Fprintf(log, "=== start %s\n", time.Now().Format(time.RFC3339Nano))
	cmd := r.command(context.Background(), r.args)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cluster: starting %s: %w", r.Name, err)
	}
	r.cmd, r.end = cmd, make(chan struct{})
	end := r.end
	go func() { // ends with the process, which close kills and awaits
		err := cmd.Wait()
		r.mu.Lock()
		r.err = err
		r.mu.Unlock()
		close(end)
	}()
	return nil
}

// Use makes the next Start, and Run, use another build of knell.
func (r *Replica) Use(binary string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.binary = binary
}

// command returns knell with args, in the replica's namespace. r.mu is held.
func (r *Replica) command(ctx context.Context, args []string) *exec.Cmd {
	line := append(append([]string(nil), r.enter...), r.binary)
	line = append(line, args...)
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	cmd.Env = r.env
	cmd.SysProcAttr = childAttributes()
	return cmd
}

// Command returns another command of knell, beside the replica. It is killed when ctx ends.
func (r *Replica) Command(ctx context.Context, args ...string) *exec.Cmd {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.command(ctx, args)
}

// Run runs another command of knell to its end, beside the replica.
func (r *Replica) Run(ctx context.Context, args ...string) error {
	out, err := r.Command(ctx, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("cluster: knell %v: %w: %s", args, err, bytes.TrimSpace(out))
	}
	return nil
}

// Signal sends sig to the process.
func (r *Replica) Signal(sig syscall.Signal) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cmd == nil {
		return fmt.Errorf("cluster: %s was never started", r.Name)
	}
	return r.cmd.Process.Signal(sig)
}

// Kill ends the process with SIGKILL and waits for its end.
func (r *Replica) Kill() error {
	if err := r.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-r.ended()
	return nil
}

// Stop asks the process to end with SIGTERM and waits for its end. The error is not nil when it did not end cleanly.
func (r *Replica) Stop(ctx context.Context) error {
	if err := r.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-r.ended():
		return r.exit()
	case <-ctx.Done():
		return fmt.Errorf("cluster: %s does not stop: %w", r.Name, ctx.Err())
	}
}

func (r *Replica) ended() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.end
}

// exit returns how the process ended.
func (r *Replica) exit() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return fmt.Errorf("cluster: %s ended: %w", r.Name, r.err)
	}
	return nil
}

// pollEvery is how often a replica that is awaited is asked.
const pollEvery = 25 * time.Millisecond

// WaitReady waits until the replica says that it serves, under a lease that it got a moment ago: one that was paused may
// still hold the lease from before, and is not over it until it has got the next one. The error wraps ErrExited when the
// process ended instead; it holds the end of the log.
func (r *Replica) WaitReady(ctx context.Context) error {
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for !r.Ready(ctx) || !r.renewed(ctx) {
		select {
		case <-r.ended():
			return fmt.Errorf("cluster: %s: %w (%v); its log ends with:\n%s", r.Name, ErrExited, r.exit(), r.LogTail())
		case <-ctx.Done():
			return fmt.Errorf("cluster: %s is not ready: %w; its log ends with:\n%s", r.Name, ctx.Err(), r.LogTail())
		case <-poll.C:
		}
	}
	return nil
}

// Ready reports whether the replica says that it serves.
func (r *Replica) Ready(ctx context.Context) bool {
	status, _ := r.get(ctx, cmp.Or(r.probe, "/readyz"))
	return status == http.StatusOK
}

// renewed reports whether most of the replica's lease lies ahead. Leases are renewed eight times in their length.
func (r *Replica) renewed(ctx context.Context) bool {
	if r.probe != "" {
		return true
	}
	s, ok := r.status(ctx)
	return ok && s.LeaseMS >= (r.lease*3/4).Milliseconds()
}

// WaitCopy waits until the replica's copy of the log is as far as the leader's, or it has none. It returns false when ctx ends or
// the process has ended before.
func (r *Replica) WaitCopy(ctx context.Context) bool {
	if r.probe != "" {
		return true
	}
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for {
		if s, ok := r.status(ctx); ok && s.LogCopy != "behind" {
			return true
		}
		select {
		case <-r.ended():
			return false
		case <-ctx.Done():
			return false
		case <-poll.C:
		}
	}
}

// replicaStatus is what is read of /status.
type replicaStatus struct {
	LeaseMS int64  `json:"lease_ms"`
	LogCopy string `json:"log_copy"`
}

func (r *Replica) status(ctx context.Context) (s replicaStatus, ok bool) {
	status, body := r.get(ctx, "/status")
	ok = status == http.StatusOK && json.Unmarshal(body, &s) == nil
	return s, ok
}

// What a server says when it begins to lead the log: inside of a replica, at the log level "debug", and alone.
var (
	leaderLine     = regexp.MustCompile(`(?m)^time=(\S+) .*new stream leader for '`)
	leaderLineNATS = regexp.MustCompile(`(?m)^\[\d+\] (\S+ \S+) \[INF\] .*new stream leader for '`)
)

// natsTime is how nats-server writes the time.
const natsTime = "2006/01/02 15:04:05.000000"

// led returns when the replica last began to lead the log, by its own log; zero when it never did.
func (r *Replica) led() time.Time {
	line, layout := leaderLine, time.RFC3339Nano
	if r.probe != "" {
		line, layout = leaderLineNATS, natsTime
	}
	at, _ := time.Parse(layout, r.lastMatch(line)) // zero when it is no time
	return at
}

// attachLine is what the server of a replica that joined says when it has attached to a peer.
var attachLine = regexp.MustCompile(`(?m)^time=\S+ .* (\S+) - lid:\d+ - Leafnode connection created`)

// attachedTo returns the address that the replica attached to last, by its own log; "" when it never did.
func (r *Replica) attachedTo() string { return strings.TrimPrefix(r.lastMatch(attachLine), `"`) }

// lastMatch returns the first group of the last match in the replica's log, "" when there is none.
func (r *Replica) lastMatch(line *regexp.Regexp) string {
	data, err := os.ReadFile(r.logFile)
	if err != nil {
		return ""
	}
	lines := line.FindAllSubmatch(data, -1)
	if len(lines) == 0 {
		return ""
	}
	return string(lines[len(lines)-1][1])
}

// askTimeout ends a question to a replica that may be paused.
const askTimeout = time.Second

func (r *Replica) get(ctx context.Context, path string) (int, []byte) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.URL+path, nil)
	if err != nil {
		return 0, nil
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return 0, nil
	}
	return resp.StatusCode, body
}

// LogTail returns the last lines of the replica's log.
func (r *Replica) LogTail() string {
	data, err := os.ReadFile(r.logFile)
	if err != nil {
		return err.Error()
	}
	const most = 1500
	if len(data) > most {
		data = data[len(data)-most:]
		_, data, _ = bytes.Cut(data, []byte("\n"))
	}
	return string(data)
}

// Wipe empties the data directory of a replica that does not run.
func (r *Replica) Wipe() error {
	entries, err := os.ReadDir(r.Data)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(r.Data, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// SaveData copies the data directory of a replica that does not run to a new directory beside it, and returns its path.
func (r *Replica) SaveData() (string, error) {
	saved := r.Data + ".saved"
	if err := os.RemoveAll(saved); err != nil {
		return "", err
	}
	return saved, os.CopyFS(saved, os.DirFS(r.Data))
}

// RestoreData replaces the data directory of a replica that does not run by what SaveData copied.
func (r *Replica) RestoreData(saved string) error {
	if err := r.Wipe(); err != nil {
		return err
	}
	return os.CopyFS(r.Data, os.DirFS(saved))
}

// close ends the process, however it is, and unmounts its disk.
func (r *Replica) close() error {
	if r.ended() != nil {
		_ = r.Kill() // fails when it has ended, which is as good
	}
	switch {
	case r.Disk != nil:
		return r.Disk.Unmount()
	case r.mounted:
		return unmount(r.Data)
	}
	return nil
}

// LastLine returns the last line of the replica's log that is more than a debug message.
func (r *Replica) LastLine() string {
	data, err := os.ReadFile(r.logFile)
	if err != nil {
		return err.Error()
	}
	last := ""
	for line := range strings.Lines(string(data)) {
		if !strings.Contains(line, " level=DEBUG ") {
			last = line
		}
	}
	return strings.TrimSpace(last)
}
