package scenario

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/knell-auth/knell/cluster-test/check"
	"github.com/knell-auth/knell/cluster-test/cluster"
	"github.com/knell-auth/knell/cluster-test/history"
	"github.com/knell-auth/knell/internal/balance"
)

func streams() []Scenario {
	return []Scenario{{
		Name:   "stream-kill",
		Proves: "who follows the events through a balancer has each of them once and in order, whichever replicas are killed",
		Check:  check.Options{Logout: logoutBound},
		run:    streamKill,
	}}
}

// auditor is who may read events in stream-kill.
const auditor = "auditor"

// streamKill lets programs follow the events through a balancer from the oldest one on, kills each replica in turn, so that every stream
// loses its own, and compares what each program has printed with the log.
func streamKill(ctx context.Context, x *experiment) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // of the programs, if they are still there
	front, err := startFront(x.Cluster, func(h http.Handler) http.Handler { return h })
	if err != nil {
		return err
	}
	defer front.close()
	key, err := auditKey(ctx, x.Cluster.Replicas[0])
	if err != nil {
		return err
	}
	var tails []*tail
	for _, types := range []string{"", "session", "revoked,session.started", ""} {
		t, err := startTail(ctx, x.Cluster.Replicas[0], front.url, key, types)
		if err != nil {
			return err
		}
		tails = append(tails, t)
	}
	for range x.repeat(1, 5) {
		for i := range x.Cluster.Replicas {
			if err := x.kill(ctx, func(context.Context) (int, error) { return i, nil }, 2*time.Second); err != nil {
				return err
			}
		}
	}
	log, err := settledLog(ctx, x.Cluster.Replicas[0])
	if err != nil {
		return err
	}
	for i, t := range tails {
		if err := t.compare(ctx, log); err != nil {
			return fmt.Errorf("stream %d (%s): %w", i, cmp.Or(t.types, "everything"), err)
		}
		x.Logf("stream %d: %d events, interrupted %d times", i, len(t.seqs()), t.interrupted.Load())
	}
	return nil
}

// front is a balancer.
type front struct {
	url    string
	b      *balance.Balancer
	server *http.Server
	served chan struct{}
}

// startFront starts one before the replicas of c; wrap may put something before it.
func startFront(c *cluster.Cluster, wrap func(http.Handler) http.Handler) (*front, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	b, err := balance.New(balance.Config{Replicas: c.Targets()})
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	f := &front{url: "http://" + l.Addr().String(), b: b, server: &http.Server{Handler: wrap(b)}, served: make(chan struct{})}
	go func() {
		defer close(f.served)
		_ = f.server.Serve(l) // until close
	}()
	return f, nil
}

func (f *front) close() {
	f.server.Close()
	<-f.served
	f.b.Close()
}

// auditKey returns an API key with which events may be read.
func auditKey(ctx context.Context, r *cluster.Replica) (string, error) {
	add := r.Command(ctx, "user", "add", auditor, "--data", r.Data, "--scope", "audit")
	add.Stdin = strings.NewReader("quis-custodiet-ipsos-custodes\n")
	if out, err := add.CombinedOutput(); err != nil {
		return "", fmt.Errorf("adding the auditor: %w: %s", err, out)
	}
	key, err := r.Command(ctx, "apikey", "create", auditor, "tail", "--data", r.Data, "--scope", "audit").Output()
	return string(bytes.TrimSpace(key)), err
}

// tail is a running knell events tail.
type tail struct {
	types       string
	cmd         *exec.Cmd
	interrupted atomic.Int32
	read        sync.WaitGroup

	mu  sync.Mutex
	got []uint64 // sequences, as they came
	err error    // of reading them
}

func startTail(ctx context.Context, r *cluster.Replica, url, key, types string) (*tail, error) {
	args := []string{"events", "tail", "--json", "--after", "0", "--url", url}
	if types != "" {
		args = append(args, "--type", types)
	}
	t := &tail{types: types, cmd: r.Command(ctx, args...)}
	t.cmd.Env = append(slices.Clone(t.cmd.Env), "KNELL_TOKEN="+key)
	out, err := t.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	said, err := t.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := t.cmd.Start(); err != nil {
		return nil, err
	}
	t.read.Go(func() { t.collect(out) })
	t.read.Go(func() {
		for lines := bufio.NewScanner(said); lines.Scan(); {
			if strings.Contains(lines.Text(), "interrupted") {
				t.interrupted.Add(1)
			}
		}
	})
	return t, nil
}

func (t *tail) collect(out io.Reader) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 2<<20)
	for lines.Scan() {
		var e struct{ Sequence string }
		err := json.Unmarshal(lines.Bytes(), &e)
		seq, parseErr := strconv.ParseUint(e.Sequence, 10, 64)
		t.mu.Lock()
		t.got, t.err = append(t.got, seq), errors.Join(t.err, err, parseErr)
		t.mu.Unlock()
	}
}

// seqs returns what has come.
func (t *tail) seqs() []uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.got)
}

// compare waits until the program has printed the last event of the log that it asked for, ends it, and compares all of them.
func (t *tail) compare(ctx context.Context, log *history.Log) error {
	var want []uint64
	for _, e := range log.Events {
		wanted := func(prefix string) bool { return strings.HasPrefix(e.Type, prefix) }
		if !strings.HasPrefix(e.Type, "node.") && !strings.HasPrefix(e.Type, "log.") && slices.ContainsFunc(strings.Split(t.types, ","), wanted) {
			want = append(want, e.Seq)
		}
	}
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	late := time.After(patience)
	for got := t.seqs(); len(got) == 0 || got[len(got)-1] < want[len(want)-1]; got = t.seqs() {
		select {
		case <-look.C:
		case <-late:
			return fmt.Errorf("it has %d events of %d after %v", len(got), len(want), patience)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := t.cmd.Process.Signal(os.Interrupt); err != nil {
		return err
	}
	t.read.Wait()
	if err := errors.Join(t.cmd.Wait(), t.err); err != nil {
		return err
	}
	if t.interrupted.Load() == 0 {
		return errors.New("proves nothing: its replica was never killed")
	}
	for i, seq := range want {
		if i >= len(t.got) || t.got[i] != seq {
			return fmt.Errorf("event %d of it is %d, and %d in the log", i, t.got[i], seq)
		}
	}
	return nil
}

// settledLog returns the log as a replica has it now.
func settledLog(ctx context.Context, r *cluster.Replica) (*history.Log, error) {
	e, err := extentOf(ctx, r)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "knell-stream")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	return readLog(ctx, r, 0, 0, e.Applied, filepath.Join(dir, "log"))
}
