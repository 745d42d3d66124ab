package compare

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/knell-auth/knell/cluster-test/process"
	"github.com/knell-auth/knell/cluster-test/redisd"
	"github.com/knell-auth/knell/cluster-test/rival"
)

// contenders are the rows of the table, in its order.
var contenders = []contender{
	{name: "knell", open: openKnell},
	{name: string(rival.JWT), open: openRival(rival.Config{Profile: rival.JWT})},
	{name: string(rival.DenyList), open: openRival(rival.Config{Profile: rival.DenyList})},
	{name: string(rival.DenyList) + "-fail-open", faultsOnly: true, open: openRival(rival.Config{Profile: rival.DenyList, FailOpen: true})},
	{name: string(rival.PubSub), open: openRival(rival.Config{Profile: rival.PubSub})},
	{name: string(rival.Polling), open: openRival(rival.Config{Profile: rival.Polling})},
}

// tokenTTL is so long that no token expires in a run, here and with Knell.
const tokenTTL = 24 * time.Hour

// readyWithin bounds the start of an installation, and its return after a fault.
const readyWithin = time.Minute

// rivals are three replicas of one profile, with a Redis of their own unless they are stateless.
type rivals struct {
	program, dir string
	cfg          rival.Config
	store        *redisd.Server // nil: none
	link         *link          // nil until separable
	replicas     [Replicas]*process.Process
	urls         [Replicas]string
}

func openRival(cfg rival.Config) func(Settings, string) (installation, error) {
	return func(s Settings, dir string) (installation, error) {
		r := &rivals{program: s.Program, dir: dir, cfg: cfg}
		r.cfg.TokenTTL, r.cfg.Secret, r.cfg.User, r.cfg.Password = tokenTTL, rand.Text()+rand.Text(), "alice", rand.Text()
		if cfg.Profile != rival.JWT && redisd.Version(context.Background()) == "" {
			return nil, skipError{redisd.ErrMissing}
		}
		return r, nil
	}
}

func (r *rivals) start(ctx context.Context) (err error) {
	if r.cfg.Profile != rival.JWT {
		data := filepath.Join(r.dir, "redis")
		if err := os.MkdirAll(data, 0o700); err != nil {
			return err
		}
		if r.store, err = redisd.New(ctx, data); err != nil {
			return err
		}
		r.cfg.Redis = r.store.Addr
	}
	for i := range r.replicas {
		if err := r.startReplica(ctx, i, r.cfg); err != nil {
			return err
		}
	}
	return nil
}

func (r *rivals) startReplica(ctx context.Context, i int, cfg rival.Config) error {
	input, err := json.Marshal(cfg)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	r.replicas[i], err = process.Start(ctx, process.Command{
		Path: r.program, Args: []string{rival.Command},
		Input: input, Log: filepath.Join(r.dir, fmt.Sprintf("r%d.log", i)),
		Ready: func(line string) bool {
			if !strings.HasPrefix(line, "http://") {
				return false
			}
			r.urls[i] = line
			return true
		},
	})
	return err
}

func (r *rivals) targets() []string { return r.urls[:] }
func (r *rivals) account() account  { return account{r.cfg.User, r.cfg.Password} }

func (r *rivals) processes() (ids []int) {
	for _, p := range r.replicas {
		ids = append(ids, p.PID())
	}
	if r.store != nil {
		ids = append(ids, r.store.PID())
	}
	return ids
}

func (r *rivals) pause() error  { return r.replicas[victim].Signal(syscall.SIGSTOP) }
func (r *rivals) resume() error { return r.replicas[victim].Signal(syscall.SIGCONT) }

// separable starts the victim again behind a proxy, which the measurements before this one had to do without.
func (r *rivals) separable(ctx context.Context) (err error) {
	if r.store == nil {
		return errNone
	}
	if r.link, err = newLink(r.store.Addr); err != nil {
		return err
	}
	r.replicas[victim].Kill()
	cfg := r.cfg
	cfg.Redis = r.link.addr()
	return r.startReplica(ctx, victim, cfg)
}

func (r *rivals) cut() error  { r.link.cut(); return nil }
func (r *rivals) mend() error { r.link.mend(); return nil }

func (r *rivals) breakStore() (string, []int, error) {
	if r.store == nil {
		return "", nil, errNone
	}
	r.store.Kill()
	return "Redis killed", []int{0, 1, 2}, nil
}

func (r *rivals) mendStore(ctx context.Context) error { return r.store.Start(ctx) }

func (r *rivals) close() error {
	for _, p := range r.replicas {
		if p != nil {
			p.Kill()
		}
	}
	var err error
	if r.link != nil {
		err = r.link.close()
	}
	if r.store != nil {
		r.store.Kill()
	}
	return errors.Join(err)
}
