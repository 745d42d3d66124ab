package node

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/natsd"
)

// replica is a node with a NATS server of its own.
type replica struct {
	*Node
	log    *events.Log
	server *natsd.Server
}

// embedded starts count replicas over an embedded, synced cluster with three copies.
func embedded(t testing.TB, count int) []*replica {
	t.Helper()
	routes := freeAddresses(t, count)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	list := make([]*replica, count)
	var work sync.WaitGroup
	for i := range list {
		work.Go(func() {
			r, err := startEmbedded(ctx, t, fmt.Sprintf("n%d", i), routes, i)
			if err != nil {
				t.Error(err)
			}
			list[i] = r
		})
	}
	work.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return list
}

func startEmbedded(ctx context.Context, t testing.TB, name string, routes []string, i int) (*replica, error) {
	dir := t.TempDir()
	srv, err := natsd.Start(ctx, natsd.Config{
		Dir: dir, Name: name, MaxStore: 4 << 30, Cluster: &natsd.Cluster{Name: "bench", Listen: routes[i], Routes: routes},
	})
	if err != nil {
		return nil, err
	}
	t.Cleanup(srv.Kill)
	nc, err := srv.Connect(ctx)
	if err != nil {
		return nil, err
	}
	t.Cleanup(nc.Close)
	log, err := events.Open(ctx, nc, events.Config{Replicas: len(routes), MaxBytes: 2 << 30, Node: name})
	if err != nil {
		return nil, err
	}
	n, err := Start(ctx, Config{Name: name, Dir: dir, Log: log, Issuer: "https://knell.test", Audience: "api", Password: cheap,
		Retention: Retention{Store: log, Trim: srv.TrimLog}})
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { n.Close(context.Background()) })
	return &replica{Node: n, log: log, server: srv}, nil
}

// freeAddresses returns loopback addresses that were free a moment ago.
func freeAddresses(t testing.TB, count int) []string {
	t.Helper()
	list, err := natsd.LoopbackRoutes(count)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// The story on the real thing: three embedded replicas, a login, a logout, refused on all.
func TestEmbeddedCluster(t *testing.T) {
	nodes := embedded(t, 3)
	ctx := context.Background()
	_, err := nodes[0].CreateUser(ctx, NewUser{Name: "alice", Password: alicePassword, Scope: []string{"profile"}}, Origin{Actor: "test"})
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range nodes {
		tok, err := n.Login(ctx, LoginRequest{Name: "alice", Password: alicePassword})
		if err != nil {
			t.Fatal(err)
		}
		for _, other := range nodes {
			if _, err := other.Verify(ctx, tok.AccessToken); err != nil {
				t.Errorf("%s refuses a token of %s: %v", other.cfg.Name, n.cfg.Name, err)
			}
		}
		began := time.Now()
		if err := nodes[(i+1)%3].Logout(ctx, tok.AccessToken, Origin{}); err != nil {
			t.Fatal(err)
		}
		t.Logf("logout took %v", time.Since(began))
		for _, other := range nodes {
			if _, err := other.Verify(ctx, tok.AccessToken); err == nil {
				t.Errorf("%s accepts a token that was logged out", other.cfg.Name)
			}
		}
	}
}
