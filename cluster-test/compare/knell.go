package compare

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"syscall"

	"github.com/knell-auth/knell/cluster-test/cluster"
	"github.com/knell-auth/knell/cluster-test/wire"
)

// knell is three replicas of Knell. Its store is in the replicas themselves.
type knell struct {
	set     Settings
	dir     string
	cluster *cluster.Cluster
	who     account
}

func openKnell(s Settings, dir string) (installation, error) {
	return &knell{set: s, dir: dir, who: account{"alice", rand.Text()}}, nil
}

func (k *knell) start(ctx context.Context) error { return k.run(ctx, "loopback", false) }

// run starts a new cluster, in a directory of this name.
func (k *knell) run(ctx context.Context, name string, namespaces bool) error {
	dir := filepath.Join(k.dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	var err error
	k.cluster, err = cluster.New(cluster.Config{
		Binary: k.set.Knell, Dir: dir, Replicas: Replicas, Lease: k.set.Lease, Namespaces: namespaces,
		Arguments: []string{"--log-level", "info"}, // the cluster's own choice, debug, is a line for each check
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	if err := k.cluster.Start(ctx); err != nil {
		return err
	}
	return k.cluster.AddUser(ctx, k.who.name, k.who.password)
}

func (k *knell) targets() []string { return k.cluster.Targets() }
func (k *knell) account() account  { return k.who }

func (k *knell) processes() (ids []int) {
	for _, r := range k.cluster.Replicas {
		ids = append(ids, r.PID())
	}
	return ids
}

func (k *knell) pause() error  { return k.cluster.Replicas[victim].Signal(syscall.SIGSTOP) }
func (k *knell) resume() error { return k.cluster.Replicas[victim].Signal(syscall.SIGCONT) }

// separable starts another cluster, each replica in a network namespace of its own: the replicas tell each other their
// addresses, so a proxy between them would be passed by.
func (k *knell) separable(ctx context.Context) error {
	if !k.set.Namespaces {
		return skipError{errors.New("not measured: needs network namespaces")}
	}
	if err := k.cluster.Close(); err != nil {
		return err
	}
	return k.run(ctx, "namespaces", true)
}

func (k *knell) cut() error {
	k.cluster.Links(victim, wire.Rule{Cut: true}, wire.Rule{Cut: true})
	return nil
}

func (k *knell) mend() error {
	k.cluster.Links(victim, wire.Rule{}, wire.Rule{})
	return nil
}

// breakStore kills two of the three copies of the log, with the replicas that they are in: one alone decides nothing.
func (k *knell) breakStore() (string, []int, error) {
	for _, r := range k.cluster.Replicas[1:] {
		if err := r.Kill(); err != nil {
			return "", nil, err
		}
	}
	return "two of three replicas killed", []int{0}, nil
}

func (k *knell) mendStore(ctx context.Context) error {
	for _, r := range k.cluster.Replicas[1:] {
		if err := r.Start(); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	return k.cluster.WaitReady(ctx)
}

func (k *knell) close() error {
	if k.cluster == nil {
		return nil
	}
	return k.cluster.Close()
}
