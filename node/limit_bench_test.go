package node

import (
	"context"
	"errors"
	"testing"
	"time"
)

// BenchmarkLogin compares a login that is reserved first with one that is not, in turn, on three embedded, synced replicas. The
// hash costs next to nothing here: what it takes by default comes on top of both.
func BenchmarkLogin(b *testing.B) {
	nodes := embedded(b, 3)
	ctx := context.Background()
	_, err := nodes[0].CreateUser(ctx, NewUser{Name: "alice", Password: alicePassword, Scope: []string{"profile"}}, Origin{})
	if err != nil {
		b.Fatal(err)
	}
	var took [2][]time.Duration
	b.ResetTimer()
	for i := range 2 * b.N {
		n := nodes[i/2%len(nodes)].Node
		n.cfg.Limits.Off = i%2 == 1
		began := time.Now()
		_, err := n.Login(ctx, LoginRequest{Name: "alice", Password: alicePassword, Origin: from("192.0.2.1")})
		if errors.Is(err, ErrNotCurrent) { // a busy machine
			continue
		}
		if err != nil {
			b.Fatal(err)
		}
		took[i%2] = append(took[i%2], time.Since(began))
	}
	b.StopTimer()
	report(b, "limited", took[0])
	report(b, "unlimited", took[1])
}
