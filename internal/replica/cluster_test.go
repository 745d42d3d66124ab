package replica

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/knell-auth/knell/internal/natsd"
	"github.com/knell-auth/knell/node"
)

const testSecret = "a-secret-of-the-test"

// routesFor returns the addresses of a cluster of n servers.
func routesFor(t testing.TB, n int) []string {
	t.Helper()
	routes, err := natsd.LoopbackRoutes(n)
	if err != nil {
		t.Fatal(err)
	}
	return routes
}

// clusterOf returns the cluster settings of the i-th server.
func clusterOf(routes []string, i int) *natsd.Cluster {
	return &natsd.Cluster{Name: "test", Listen: routes[i], Routes: routes, Secret: testSecret}
}

// TestCluster: what is created on one replica can log in on another, which need not keep a copy of the log, and replicas that
// stop together leave cleanly.
func TestCluster(t *testing.T) {
	dir, routes, joins := t.TempDir(), routesFor(t, 3), routesFor(t, 3)
	var replicas []*Replica
	add := func(name string, change func(*natsd.Config)) {
		cfg := standalone(t, filepath.Join(dir, name))
		cfg.Name, cfg.Copies = name, 3
		cfg.Node.Lease = 3 * time.Second
		change(&cfg.NATS)
		r := Start(cfg)
		t.Cleanup(func() { stop(t, r) })
		replicas = append(replicas, r)
	}
	// The one that joins starts first: it waits for the others to make the log.
	add("joined", func(c *natsd.Config) {
		c.Join = &natsd.Join{Name: "test", Servers: joins, Secret: testSecret, Silence: 3 * time.Second / 2}
	})
	for i := range routes {
		add(fmt.Sprintf("r%d", i), func(c *natsd.Config) {
			c.Cluster = clusterOf(routes, i)
			c.Cluster.JoinListen = joins[i]
		})
	}
	for _, r := range replicas {
		select {
		case <-r.Ready():
		case <-r.Failed():
			t.Fatal(r.Err())
		case <-time.After(60 * time.Second):
			t.Fatal("not ready in time")
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	if _, err := replicas[0].Node().CreateUser(ctx, node.NewUser{Name: "alice", Password: "wonderland-1865", Scope: []string{"profile"}}, node.Origin{}); err != nil {
		t.Fatal(err)
	}
	tokens, err := replicas[1].Node().Login(ctx, node.LoginRequest{Name: "alice", Password: "wonderland-1865"})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range replicas {
		if _, err := r.Node().Verify(ctx, tokens.AccessToken); err != nil {
			t.Errorf("%s: %v", r.cfg.Name, err)
		}
	}
	if err := replicas[2].Node().Logout(ctx, tokens.AccessToken, node.Origin{}); err != nil {
		t.Fatal(err)
	}
	for _, r := range replicas {
		if _, err := r.Node().Verify(ctx, tokens.AccessToken); err == nil {
			t.Errorf("%s accepts a token after its logout returned", r.cfg.Name)
		}
	}
	// Nobody's server is connected to all, but the log knows of all who are there.
	if err := replicas[1].awaitGone(ctx, "joined"); !errors.Is(err, node.ErrBadRequest) {
		t.Errorf("a replica that runs counts as gone: %v", err)
	}
	var leaving sync.WaitGroup
	for _, r := range replicas {
		leaving.Go(func() {
			if err := r.Leave(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	leaving.Wait()
}
