package node

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/natsd"
)

// BenchmarkLogoutFleet is how the time of a complete logout grows with the number of replicas. Three servers hold the log; every
// replica beyond them is a client of one of them over TCP. All of it shares the machine, so the figure is an upper bound.
func BenchmarkLogoutFleet(b *testing.B) {
	for _, count := range []int{3, 10, 30, 100} {
		b.Run(fmt.Sprintf("%d-replicas", count), func(b *testing.B) {
			nodes := fleet(b, count)
			benchClient(b, nodes[0])
			list := tokens(b, nodes[0], b.N)
			var took []time.Duration
			b.ResetTimer()
			for i, tok := range list {
				began := time.Now()
				if err := nodes[i%len(nodes)].Logout(context.Background(), tok, Origin{}); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(began))
			}
			b.StopTimer()
			report(b, "logout", took)
		})
	}
}

// fleet starts three servers and count nodes that are spread over them.
func fleet(b *testing.B, count int) []*Node {
	b.Helper()
	key := must(nkeys.CreateUser())(b)
	servers := fleetServers(b, must(key.PublicKey())(b))
	nodes := make([]*Node, count)
	start := func(i int) (err error) {
		nodes[i], err = fleetNode(b, fmt.Sprintf("n%d", i), servers[i%len(servers)], key)
		return err
	}
	must(0, start(0))(b) // begins the log
	var work sync.WaitGroup
	for i := 1; i < count; i++ {
		work.Go(func() {
			if err := start(i); err != nil {
				b.Error(err)
			}
		})
	}
	work.Wait()
	if b.Failed() {
		b.FailNow()
	}
	return nodes
}

func fleetServers(b *testing.B, user string) []*natsd.Server {
	b.Helper()
	routes := freeAddresses(b, 3)
	servers := make([]*natsd.Server, len(routes))
	for i := range routes {
		servers[i] = must(natsd.Start(context.Background(), natsd.Config{
			Dir: b.TempDir(), Name: fmt.Sprintf("s%d", i), MaxStore: 4 << 30, ClientListen: "127.0.0.1:0",
			Cluster: &natsd.Cluster{Name: "bench", Listen: routes[i], Routes: routes},
			Users:   []natsd.User{{Key: user, Publish: []string{">"}, Subscribe: []string{">"}}},
		}))(b)
		b.Cleanup(servers[i].Kill)
	}
	return servers
}

func fleetNode(b *testing.B, name string, srv *natsd.Server, key nkeys.KeyPair) (*Node, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	public, err := key.PublicKey()
	if err != nil {
		return nil, err
	}
	nc, err := nats.Connect(srv.ClientURL(), nats.Nkey(public, key.Sign), nats.MaxReconnects(-1), nats.ReconnectBufSize(-1))
	if err != nil {
		return nil, err
	}
	b.Cleanup(nc.Close)
	log, err := events.Open(ctx, nc, events.Config{Replicas: 3, MaxBytes: 2 << 30, Node: name})
	if err != nil {
		return nil, err
	}
	n, err := Start(ctx, Config{Name: name, Dir: b.TempDir(), Log: log, Issuer: "https://knell.test", Audience: "api", Password: cheap})
	if err != nil {
		return nil, err
	}
	b.Cleanup(func() { n.Close(context.Background()) })
	return n, nil
}
