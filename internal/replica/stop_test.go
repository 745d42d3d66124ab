package replica

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/knell-auth/knell/node"
)

// TestLastToStop: the last replica of a cluster has no log to write to any more. What waits for the log is answered 503, and
// the stop is a clean one.
func TestLastToStop(t *testing.T) {
	dir, routes := t.TempDir(), routesFor(t, 3)
	var replicas []*Replica
	for i := range routes {
		cfg := standalone(t, filepath.Join(dir, fmt.Sprint(i)))
		cfg.Name, cfg.Copies = fmt.Sprintf("r%d", i), 3
		cfg.Node.Lease = 4 * time.Second
		cfg.NATS.Cluster = clusterOf(routes, i)
		r := Start(cfg)
		t.Cleanup(func() { stop(t, r) })
		replicas = append(replicas, r)
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
	if _, err := replicas[0].Node().CreateUser(ctx, node.NewUser{Name: "alice", Password: "wonderland-1865"}, node.Origin{}); err != nil {
		t.Fatal(err)
	}
	stop(t, replicas[0])
	stop(t, replicas[1])

	last := replicas[2]
	answer := make(chan int, 1)
	go func() {
		form := url.Values{"grant_type": {"password"}, "username": {"alice"}, "password": {"wonderland-1865"}}
		resp, err := http.PostForm("http://"+last.cfg.Listener.Addr().String()+"/token", form)
		if err != nil {
			t.Error(err)
			answer <- 0
			return
		}
		resp.Body.Close()
		answer <- resp.StatusCode
	}()
	for last.gate.active.Load() == 0 && len(answer) == 0 {
		runtime.Gosched()
	}
	if err := last.Close(ctx); err != nil {
		t.Errorf("the stop of the last replica: %v", err)
	}
	if got := <-answer; got != http.StatusServiceUnavailable {
		t.Errorf("a login that waited for the log was answered %d, want 503", got)
	}
}
