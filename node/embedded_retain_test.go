package node

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/knell-auth/knell/events"
)

// Snapshots, trimming and a start from them, over embedded servers with three copies of both streams.
func TestEmbeddedRetention(t *testing.T) {
	nodes := embedded(t, 3)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err := nodes[0].CreateUser(ctx, NewUser{Name: "alice", Password: alicePassword, Scope: []string{"profile"}}, Origin{Actor: "test"})
	if err != nil {
		t.Fatal(err)
	}
	tok := must(nodes[0].Login(ctx, LoginRequest{Name: "alice", Password: alicePassword}))(t)
	gone := must(nodes[1].Login(ctx, LoginRequest{Name: "alice", Password: alicePassword}))(t)
	if err := nodes[2].Logout(ctx, gone.AccessToken, Origin{}); err != nil {
		t.Fatal(err)
	}
	k := snapshotByAll(ctx, t, nodes)
	if k.seq <= gone.Seq {
		t.Fatalf("verified: %+v", k)
	}
	n := nodes[1]
	for _, first := range []uint64{k.seq + 2, k.seq + 1} { // the first one is refused
		out, err := n.commit(ctx, n.newEvent(&events.NodeTrimmed{First: first}, n.cfg.Name, Origin{Actor: "system"}), plain)
		if err != nil || (out.void == "") != (first == k.seq+1) {
			t.Errorf("trimmed to %d: %+v, %v", first, out, err)
		}
	}
	soon, end := context.WithTimeout(ctx, 200*time.Millisecond) // what is refused is not answered
	defer end()
	if err := n.log.Trim(soon, k.seq+1); err == nil {
		t.Error("a replica may remove messages by itself")
	}
	n.cfg.Retention.Trim = nodes[2].server.TrimLog
	if err := n.purge(ctx, k.seq+1); err != nil {
		t.Fatal(err)
	}
	if stat := must(n.log.Stat(ctx))(t); stat.First != k.seq+1 {
		t.Errorf("the log begins at %d, want %d", stat.First, k.seq+1)
	}
	for _, r := range nodes {
		if err := r.server.CheckCopy(ctx, r.LogBegins); err != nil {
			t.Errorf("%s: %v", r.cfg.Name, err)
		}
	}

	cfg := nodes[0].cfg
	if err := nodes[0].Close(ctx); err != nil {
		t.Fatal(err)
	}
	again := must(Start(ctx, cfg))(t)
	defer again.Close(ctx)
	if again.keeping.ringFrom != k.seq {
		t.Errorf("it began at %d, want %d", again.keeping.ringFrom, k.seq)
	}
	if _, err := again.Verify(ctx, tok.AccessToken); err != nil {
		t.Error(err)
	}
	if _, err := again.Verify(ctx, gone.AccessToken); !errors.Is(err, ErrRevoked) {
		t.Errorf("got %v, want ErrRevoked", err)
	}
}

// snapshotByAll has the first replica make a snapshot, and the others check it.
func snapshotByAll(ctx context.Context, t *testing.T, nodes []*replica) *snapshotCheck {
	t.Helper()
	for i, n := range nodes {
		n.mu.RLock()
		seq, digest, checked := n.state.seq, n.state.digest, n.state.unchecked(n.cfg.Name)
		n.mu.RUnlock()
		var err error
		if i == 0 {
			err = n.takeSnapshot(ctx, seq, digest)
		} else {
			err = n.checkSnapshot(ctx, checked)
		}
		if err == nil {
			err = nodes[(i+1)%3].catchUp(ctx, n.hot.applied.Load())
		}
		if err != nil {
			t.Fatalf("%s: %v", n.cfg.Name, err)
		}
	}
	n := nodes[1]
	if err := n.catchUp(ctx, nodes[2].hot.applied.Load()); err != nil {
		t.Fatal(err)
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	k, _ := n.state.verifiedLast()
	if k == nil || len(k.nodes) != 3 {
		t.Fatalf("verified: %+v", k)
	}
	return k
}
