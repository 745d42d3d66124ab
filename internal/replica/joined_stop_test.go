package replica

import (
	"context"
	"net/http"
	"net/url"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/knell-auth/knell/internal/natsd"
	"github.com/knell-auth/knell/node"
)

// threeAndJoined starts three replicas and one that joins them, and waits until all are ready. change gets the configuration of that one.
func threeAndJoined(t *testing.T, lease time.Duration, change func(*Config)) (first, joined *Replica) {
	t.Helper()
	dir, routes, joins := t.TempDir(), routesFor(t, 3), routesFor(t, 3)
	var replicas []*Replica
	for i, name := range []string{"r0", "r1", "r2", "joined"} {
		cfg := standalone(t, filepath.Join(dir, name))
		cfg.Name, cfg.Copies, cfg.Node.Lease = name, 3, lease
		if i < len(routes) {
			cfg.NATS.Cluster = clusterOf(routes, i)
			cfg.NATS.Cluster.JoinListen = joins[i]
		} else {
			cfg.NATS.Join = &natsd.Join{Name: "test", Servers: joins, Secret: testSecret, Silence: lease / 2}
			change(&cfg)
		}
		r := Start(cfg)
		t.Cleanup(func() { stop(t, r) })
		replicas = append(replicas, r)
	}
	for _, r := range replicas {
		select {
		case <-r.Ready():
		case <-r.Failed():
			t.Fatal(r.Err())
		case <-time.After(time.Minute):
			t.Fatal("not ready in time")
		}
	}
	return replicas[0], replicas[len(routes)]
}

// TestJoinedStop: a replica that joined finishes the log-ins that it has begun before it leaves, also those whose hash takes longer than
// its lease: the lease goes on, and the link to the log stays, until they have been answered.
func TestJoinedStop(t *testing.T) {
	const lease = 2 * time.Second
	hashing := make(chan struct{}, 2)
	var block atomic.Pointer[chan struct{}]
	first, joined := threeAndJoined(t, lease, func(cfg *Config) {
		cfg.Node.Password.Workers = cap(hashing)
		cfg.Node.Password.Before = func() {
			if b := block.Load(); b != nil {
				hashing <- struct{}{}
				<-*b
			}
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := first.Node().CreateUser(ctx, node.NewUser{Name: "alice", Password: "wonderland-1865"}, node.Origin{}); err != nil {
		t.Fatal(err)
	}

	held := make(chan struct{})
	block.Store(&held)
	answers := map[string]chan int{"wonderland-1865": make(chan int, 1), "wonderland-1866": make(chan int, 1)}
	for password, answer := range answers {
		go func() {
			form := url.Values{"grant_type": {"password"}, "username": {"alice"}, "password": {password}}
			resp, err := http.PostForm("http://"+joined.cfg.Listener.Addr().String()+"/token", form)
			if err != nil {
				t.Error(err)
				answer <- 0
				return
			}
			resp.Body.Close()
			answer <- resp.StatusCode
		}()
		<-hashing
	}
	began := time.Now()
	closed := make(chan error, 1)
	go func() { closed <- joined.Close(ctx) }()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		if !joined.Node().Ready() {
			t.Fatal("it lost its lease with log-ins in progress")
		}
		if time.Since(began) > lease*5/4 {
			break
		}
	}
	select {
	case err := <-closed:
		t.Fatalf("it stopped with log-ins in progress: %v", err)
	default:
	}
	close(held)
	for password, want := range map[string]int{"wonderland-1865": http.StatusOK, "wonderland-1866": http.StatusBadRequest} {
		if got := <-answers[password]; got != want {
			t.Errorf("the log-in with %q was answered %d, want %d", password, got, want)
		}
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}
