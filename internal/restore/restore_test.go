package restore_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/natsd"
	"github.com/knell-auth/knell/internal/password"
	"github.com/knell-auth/knell/internal/restore"
	"github.com/knell-auth/knell/node"
)

const alicePassword = "wonderland-1865"

// run starts servers on directories and a node on the log of the first one, calls f with it, and stops everything.
func run(t *testing.T, dir string, members []string, f func(n *node.Node)) {
	t.Helper()
	ctx := t.Context()
	cfgs := []natsd.Config{{Dir: dir, Name: "alone"}}
	copies := 1
	if members != nil {
		routes, err := natsd.LoopbackRoutes(len(members))
		if err != nil {
			t.Fatal(err)
		}
		cfgs, copies = nil, 3
		for i, name := range members {
			cfgs = append(cfgs, natsd.Config{Dir: filepath.Join(dir, name), Name: name, Cluster: &natsd.Cluster{Name: "c", Listen: routes[i], Routes: routes}})
		}
	}
	var servers []*natsd.Server
	for _, cfg := range cfgs {
		s, err := natsd.Start(ctx, cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Stop(context.Background())
		servers = append(servers, s)
	}
	nc, err := servers[0].Connect(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	log, err := events.Open(ctx, nc, events.Config{Node: servers[0].Name(), Replicas: copies, MaxBytes: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	n, err := node.Start(ctx, node.Config{
		Name: servers[0].Name(), Dir: cfgs[0].Dir, Log: log, Issuer: "i", Audience: "a", Lease: 5 * time.Second,
		Password:  password.Config{Params: password.Params{MemoryKiB: 8, Time: 1, Lanes: 1}},
		Retention: node.Retention{Store: log},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close(context.Background())
	f(n)
	if members != nil { // all three have all of it
		for _, s := range servers {
			if !s.AwaitCopy(ctx, n.Status().Applied) {
				t.Errorf("the copy of %s lags", s.Name())
			}
		}
	}
}

// TestRestoreCluster: a backup becomes a cluster on whose members the log is, and a standalone store; broken off in the middle it is begun
// again, and nobody starts on what is half there.
func TestRestoreCluster(t *testing.T) {
	base := t.TempDir()
	alone, file := filepath.Join(base, "alone"), filepath.Join(base, "file")
	var tok node.Tokens
	run(t, alone, nil, func(n *node.Node) {
		if _, err := n.CreateUser(t.Context(), node.NewUser{Name: "alice", Password: alicePassword, Scope: []string{"profile"}}, node.Origin{}); err != nil {
			t.Fatal(err)
		}
		for range 300 {
			tok = login(t, n)
		}
		var out bytes.Buffer
		if err := errors.Join(n.Backup(t.Context(), &out), os.WriteFile(file, out.Bytes(), 0o600)); err != nil {
			t.Fatal(err)
		}
	})
	members := []string{"r1", "r2", "r3"}
	cluster := restore.Target{Dir: filepath.Join(base, "cluster"), Members: members, Cluster: "c", Copies: 3, LogMaxBytes: 64 << 20}
	for _, at := range []string{"checking the backup", "copying", "writing to the disk"} {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := restore.Restore(ctx, file, cluster, true, func(_ float64, what string) {
			if what == at {
				cancel()
			}
		})
		if cancel(); err == nil && at != "writing to the disk" {
			t.Errorf("broken off at %q, and done", at)
		} else if err == nil {
			break
		}
		if _, err := os.Stat(filepath.Join(cluster.Dir, "r1")); err != nil {
			continue
		}
		if _, err := natsd.Start(t.Context(), natsd.Config{Dir: filepath.Join(cluster.Dir, "r1"), Name: "r1"}); !errors.Is(err, natsd.ErrMode) {
			t.Errorf("a server starts on what is half there: %v", err)
		}
	}
	if _, err := restore.Restore(t.Context(), file, cluster, true, func(float64, string) {}); !errors.Is(err, natsd.ErrNotEmpty) {
		t.Errorf("restored over a cluster: %v", err)
	}
	restored := func(n *node.Node) {
		if _, err := n.Verify(t.Context(), tok.AccessToken); !errors.Is(err, node.ErrInvalidToken) {
			t.Errorf("a token of before: %v", err)
		}
		now := login(t, n)
		if err := n.Logout(t.Context(), now.AccessToken, node.Origin{}); err != nil {
			t.Error(err)
		}
	}
	run(t, cluster.Dir, members, restored)
	again := restore.Target{Dir: filepath.Join(base, "again"), Members: members, Cluster: "d", Copies: 3, LogMaxBytes: 64 << 20}
	if err := restore.Adopt(t.Context(), filepath.Join(cluster.Dir, "r1"), "", again, func(float64, string) {}); err == nil || !strings.Contains(err.Error(), "of cluster c already") {
		t.Errorf("adopted from a cluster: %v", err)
	}
	one := restore.Target{Dir: filepath.Join(base, "one"), Name: "alone", LogMaxBytes: 64 << 20}
	if _, err := restore.Restore(t.Context(), file, one, true, func(float64, string) {}); err != nil {
		t.Fatal(err)
	}
	run(t, one.Dir, nil, restored)

	one.Dir, one.LogMaxBytes = filepath.Join(base, "small"), 50_000
	if _, err := restore.Restore(t.Context(), file, one, true, func(float64, string) {}); err == nil || !strings.Contains(err.Error(), "--log-max-bytes") {
		t.Errorf("into a log that is too small: %v", err)
	}
}

func login(t *testing.T, n *node.Node) node.Tokens {
	t.Helper()
	tok, err := n.Login(t.Context(), node.LoginRequest{Name: "alice", Password: alicePassword})
	if err != nil {
		t.Fatal(err)
	}
	return tok
}
