package replica

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/knell-auth/knell/node"
)

// TestFullLog: with a log that is full to the last byte everybody refuses, and nobody starts. One replica that is started with a greater limit is
// the way out, for all of them: docs/operations.md, "When space runs out".
func TestFullLog(t *testing.T) {
	dir, routes := t.TempDir(), routesFor(t, 3)
	serve := func(i int, limit int64) *Replica {
		cfg := standalone(t, filepath.Join(dir, fmt.Sprint(i)))
		cfg.Name, cfg.Copies, cfg.LogMaxBytes = fmt.Sprintf("r%d", i), 3, limit
		cfg.Node.Lease = 3 * time.Second
		cfg.NATS.Cluster = clusterOf(routes, i)
		return Start(cfg)
	}
	const small = 128 << 10
	var list []*Replica
	for i := range routes {
		list = append(list, serve(i, small))
	}
	for _, r := range list {
		awaitReady(t, r)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	n := list[0].Node()
	alice, err := n.CreateUser(ctx, node.NewUser{Name: "alice", Password: "wonderland-1865"}, node.Origin{})
	if err != nil {
		t.Fatal(err)
	}
	for err == nil { // each is an event, whether there is something to end or not
		err = n.RevokeUser(ctx, alice.ID, node.Origin{})
	}
	if !errors.Is(err, node.ErrFull) {
		t.Fatalf("a full log: %v", err)
	}
	for _, r := range list { // no beat gets in either, once there is no room that the log's leader had kept for what was under way
		for r.Node().Ready() && ctx.Err() == nil {
			if err := r.Node().RevokeUser(ctx, alice.ID, node.Origin{}); err != nil && !errors.Is(err, node.ErrFull) && !errors.Is(err, node.ErrNotCurrent) {
				t.Fatalf("a full log: %v", err)
			}
		}
		if r.Node().Ready() {
			t.Fatalf("%s serves, with a full log", r.cfg.Name)
		}
	}
	stop(t, list[0])
	list[0] = serve(0, small)
	select {
	case <-list[0].Failed():
		if err := list[0].Err(); !errors.Is(err, node.ErrFull) {
			t.Errorf("a start with a full log: %v", err)
		}
	case <-list[0].Ready():
		t.Error("ready, with a full log")
	case <-ctx.Done():
		t.Fatal("a start with a full log waits for ever")
	}
	stop(t, list[0])

	list[0] = serve(0, small+64<<10)
	for _, r := range list {
		awaitReady(t, r)
		for err = node.ErrFull; err != nil && ctx.Err() == nil; { // until its next beat is back
			err = r.Node().RevokeUser(ctx, alice.ID, node.Origin{})
		}
		if err != nil {
			t.Errorf("%s, with a greater limit: %v", r.cfg.Name, err)
		}
	}
	var ends sync.WaitGroup
	for _, r := range list {
		ends.Go(func() { stop(t, r) })
	}
	ends.Wait()
}

// awaitReady waits until a replica serves.
func awaitReady(t *testing.T, r *Replica) {
	t.Helper()
	select {
	case <-r.Ready():
	case <-r.Failed():
		t.Fatal(r.Err())
	case <-time.After(60 * time.Second):
		t.Fatal("not ready in time")
	}
}
