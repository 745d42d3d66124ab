package replica

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/events/eventstest"
	"github.com/knell-auth/knell/internal/natsd"
)

// peersAndJoined starts a cluster of three servers and two that join it, and returns a connection of the replica a of a
// server of the cluster, of b and c on those that joined, and of somebody who may do everything.
func peersAndJoined(t *testing.T) (conns map[string]*nats.Conn, operator *nats.Conn) {
	t.Helper()
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err := user.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	routes, joins := routesFor(t, 3), routesFor(t, 3)
	conns = map[string]*nats.Conn{}
	run := func(cfg natsd.Config) *natsd.Server {
		cfg.Dir = t.TempDir()
		s, err := natsd.Start(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Kill)
		if conns[cfg.Name], err = s.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conns[cfg.Name].Close)
		return s
	}
	for i, name := range []string{"a", "p2", "p3"} {
		cfg := natsd.Config{Name: name, Cluster: clusterOf(routes, i)}
		cfg.Cluster.JoinListen = joins[i]
		if i == 0 {
			cfg.ClientListen = "127.0.0.1:0"
			cfg.Users = []natsd.User{{Key: public, Publish: []string{">"}, Subscribe: []string{">"}}}
		}
		if s := run(cfg); i == 0 {
			if operator, err = nats.Connect(s.ClientURL(), nats.Nkey(public, user.Sign)); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(operator.Close)
		}
	}
	for _, name := range []string{"b", "c"} {
		run(natsd.Config{Name: name, Join: &natsd.Join{Name: "test", Servers: joins, Secret: testSecret, Silence: time.Minute}})
	}
	return conns, operator
}

// TestJoinedConformance: the log of a cluster is a log for those who joined it.
func TestJoinedConformance(t *testing.T) {
	t.Parallel()
	conns, operator := peersAndJoined(t)
	js, err := jetstream.New(operator)
	if err != nil {
		t.Fatal(err)
	}
	eventstest.Run(t, func(t *testing.T) eventstest.Cluster {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for { // the cluster may still have no leader
			try, cancel := context.WithTimeout(ctx, time.Second)
			err := js.DeleteStream(try, events.StreamName)
			cancel()
			if err == nil || errors.Is(err, jetstream.ErrStreamNotFound) {
				break
			}
			if ctx.Err() != nil {
				t.Fatal(err)
			}
		}
		j := joinedLogs{}
		for _, name := range []string{"a", "b", "c"} { // a first: it makes the stream
			cfg := events.Config{Node: name, Replicas: 3, MaxBytes: 64 << 20}
			if name != "a" {
				cfg.Domain, cfg.MustExist, cfg.Replicas = natsd.Domain, true, 0
			}
			l, err := events.Open(ctx, conns[name], cfg)
			if err != nil {
				t.Fatal(fmt.Errorf("%s: %w", name, err))
			}
			t.Cleanup(func() { l.Close() })
			j[name] = l
		}
		return j
	})
}

// joinedLogs are the handles of the nodes.
type joinedLogs map[string]*events.Log

// Node implements eventstest.Cluster.
func (j joinedLogs) Node(name string) eventstest.Log { return j[name] }
