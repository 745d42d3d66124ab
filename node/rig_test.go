package node

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/events/eventstest"
	"github.com/knell-auth/knell/internal/password"
)

// cheap is the least argon2 work: these tests are not about it.
var cheap = password.Config{Params: password.Params{MemoryKiB: 8, Time: 1, Lanes: 1}}

const alicePassword = "wonderland-1865"

// rig is some replicas over one log in memory, in a synctest bubble.
type rig struct {
	t     *testing.T
	log   *eventstest.Memory
	nodes map[string]*Node
	links map[string]*eventstest.Node
	base  string            // removed after the replicas have been closed
	dirs  map[string]string // below base
	out   io.Writer
	edit  func(*Config)
}

// bubble runs f with replicas a, b and c and the user alice, in fake time.
func bubble(t *testing.T, f func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		for _, name := range []string{"a", "b", "c"} {
			r.start(name)
		}
		r.user("alice", alicePassword)
		f(t, r)
	})
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, base: eventstest.Dir(t), log: eventstest.New(t), nodes: map[string]*Node{}, links: map[string]*eventstest.Node{}, dirs: map[string]string{}, out: io.Discard}
	t.Cleanup(func() {
		for _, n := range r.nodes {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			n.Close(ctx)
			cancel()
		}
		r.log.Close()
	})
	return r
}

// config returns the configuration of a replica.
func (r *rig) config(name string) Config {
	if r.dirs[name] == "" {
		dir, err := os.MkdirTemp(r.base, name)
		if err != nil {
			r.t.Fatal(err)
		}
		r.dirs[name] = dir
	}
	r.links[name] = r.log.Node(name)
	cfg := Config{
		Name: name, Dir: r.dirs[name], Log: r.links[name], Issuer: "https://knell.test", Audience: "api", Password: cheap,
		Lease: 3 * time.Second, Logger: slog.New(slog.NewJSONHandler(r.out, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if r.edit != nil {
		r.edit(&cfg)
	}
	return cfg
}

func (r *rig) start(name string) *Node {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	n, err := Start(ctx, r.config(name))
	if err != nil {
		r.t.Fatalf("start %s: %v", name, err)
	}
	r.nodes[name] = n
	return n
}

// kill ends a replica without a word to the others.
func (r *rig) kill(name string) {
	n := r.nodes[name]
	delete(r.nodes, name)
	n.fatal(errors.New("killed by the test"))
	n.stop()
}

func (r *rig) user(name, pw string) User {
	r.t.Helper()
	u, err := r.nodes["a"].CreateUser(context.Background(), NewUser{
		Name: name, Password: pw, Scope: []string{"profile", "notes"}, Roles: []string{"reader"},
	}, Origin{Actor: "test"})
	if err != nil {
		r.t.Fatalf("create %s: %v", name, err)
	}
	return u
}

func (r *rig) login(at string) Tokens {
	r.t.Helper()
	tok, err := r.nodes[at].Login(context.Background(), LoginRequest{Name: "alice", Password: alicePassword})
	if err != nil {
		r.t.Fatalf("log in at %s: %v", at, err)
	}
	return tok
}

// accepted fails the test unless every replica accepts the token.
func (r *rig) accepted(tok Tokens) {
	r.t.Helper()
	for name, n := range r.nodes {
		if _, err := n.Verify(context.Background(), tok.AccessToken); err != nil {
			r.t.Errorf("%s refuses a good token: %v", name, err)
		}
	}
}

// refused fails the test unless every replica refuses the token with an error that is want.
func (r *rig) refused(tok Tokens, want error) {
	r.t.Helper()
	for name, n := range r.nodes {
		if _, err := n.Verify(context.Background(), tok.AccessToken); !errors.Is(err, want) {
			r.t.Errorf("%s: got %v, want %v", name, err, want)
		}
	}
}

// same fails the test unless all replicas have, once they are at rest, made the same of the log.
func (r *rig) same() {
	r.t.Helper()
	synctest.Wait()
	var seq uint64
	var digest events.ID
	for name, n := range r.nodes {
		n.mu.RLock()
		s, d := n.state.seq, n.state.digest
		n.mu.RUnlock()
		if seq != 0 && (s != seq || d != digest) {
			r.t.Errorf("%s is at %d with %v, another at %d with %v", name, s, d, seq, digest)
		}
		seq, digest = s, d
	}
}

// fill leaves so little room in the log that a share of it is used, and waits until the replicas know.
func (r *rig) fill(share float64) {
	r.t.Helper()
	r.log.SetMaxBytes(1 << 40)
	for range 500 { // so that a few beats matter little
		e := r.nodes["a"].newEvent(&events.LoginFailed{Cause: "password"}, "filler", Origin{UserAgent: strings.Repeat("x", 256)})
		must(r.links["a"].Append(context.Background(), e))(r.t)
	}
	stat := must(r.links["a"].Stat(context.Background()))(r.t)
	r.log.SetMaxBytes(int64(float64(stat.Bytes) / share))
	time.Sleep(6 * time.Second)
}
