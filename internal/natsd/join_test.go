package natsd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// startJoinable starts a cluster of three that servers can join, with the stream in three copies, and returns it with the
// configuration of a server that joins.
func startJoinable(t testing.TB, log *slog.Logger, change func(*Cluster)) (*testCluster, Config) {
	t.Helper()
	c, addrs := &testCluster{cfgs: clusterConfigs(t, log)}, freeAddrs(t, 3)
	for i, cfg := range c.cfgs {
		cfg.Cluster.JoinListen = addrs[i]
		if change != nil {
			change(cfg.Cluster)
		}
		c.servers = append(c.servers, startTest(t, cfg))
	}
	createStream(t, connectTest(t, c.servers[0]), 3)
	c.awaitWhole(t)
	return c, Config{Dir: t.TempDir(), Name: "j1", Logger: log,
		Join: &Join{Name: "test", Servers: addrs, Secret: testSecret, Silence: time.Second}}
}

// hub returns the index of the server to which s is attached.
func (c *testCluster) hub(t testing.TB, s *Server) (i int) {
	t.Helper()
	retry(t, func(context.Context) error {
		z, err := s.srv.Leafz(nil)
		if err != nil || len(z.Leafs) != 1 {
			return fmt.Errorf("attached to %+v, %v", z, err)
		}
		if i = slices.IndexFunc(c.cfgs, func(cfg Config) bool { return cfg.Name == z.Leafs[0].Name }); i < 0 {
			return fmt.Errorf("attached to %q", z.Leafs[0].Name)
		}
		return nil
	})
	return i
}

// TestJoin: a server that joins can do what a replica needs, is no peer of JetStream, and leaves without a trace.
func TestJoin(t *testing.T) {
	c, cfg := startJoinable(t, nil, nil)
	s := startTest(t, cfg)
	nc, other := connectTest(t, s), connectTest(t, c.servers[0])
	live, err := nc.SubscribeSync("knell.live.>")
	if err != nil {
		t.Fatal(err)
	}
	reports, err := other.SubscribeSync("knell.report.n1.*")
	if err != nil {
		t.Fatal(err)
	}
	own, err := nc.SubscribeSync("knell.report.j1.*")
	if err != nil {
		t.Fatal(err)
	}
	var seq uint64
	retry(t, func(ctx context.Context) (err error) {
		seq, err = publish(ctx, nc, "knell.node.j1")
		return err
	})
	for { // what the attempts before stored comes first
		m, err := live.NextMsgWithContext(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		if m.Subject != "knell.live.knell.node.j1" {
			t.Fatalf("%s was sent on", m.Subject)
		}
		if m.Header.Get("Nats-Sequence") == fmt.Sprint(seq) {
			break
		}
	}
	if err := errors.Join(nc.Publish("knell.report.n1.j1", nil), other.Publish("knell.report.j1.n1", nil)); err != nil {
		t.Fatal(err)
	}
	for _, sub := range []*nats.Subscription{reports, own} {
		if _, err := sub.NextMsgWithContext(testContext(t)); err != nil {
			t.Errorf("%s: %v", sub.Subject, err)
		}
	}
	readThrough(t, nc, seq)
	checkPeers(t, c)
	if err := s.Stop(testContext(t)); err != nil {
		t.Error(err)
	}
	checkPeers(t, c)
}

// readThrough reads the stream to seq through a consumer, by way of the domain.
func readThrough(t testing.TB, nc *nats.Conn, seq uint64) {
	t.Helper()
	js, err := jetstream.NewWithDomain(nc, Domain)
	if err != nil {
		t.Fatal(err)
	}
	ctx := testContext(t)
	consumer, err := js.OrderedConsumer(ctx, StreamName, jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy})
	if err != nil {
		t.Fatal(err)
	}
	for last := uint64(0); last < seq; {
		m, err := consumer.Next(jetstream.FetchMaxWait(10 * time.Second))
		if err != nil {
			t.Fatal(err)
		}
		meta, err := m.Metadata()
		if err != nil {
			t.Fatal(err)
		}
		last = meta.Sequence.Stream
	}
}

// checkPeers checks that JetStream counts three peers, and that each knows the two others.
func checkPeers(t testing.TB, c *testCluster) {
	t.Helper()
	for _, s := range c.servers {
		z, err := s.srv.Jsz(nil)
		if err != nil {
			t.Fatal(err)
		}
		if z.Meta == nil || z.Meta.Size != 3 || s.srv.JetStreamIsLeader() && len(z.Meta.Replicas) != 2 {
			t.Errorf("%s: the group is %+v", s.name, z.Meta)
		}
		if n := len(s.srv.ActivePeers()); n != 3 {
			t.Errorf("%s knows %d servers", s.name, n)
		}
	}
}

// TestJoinSurvives: a server that joined goes on when the server that it is attached to dies, and when it is silent.
func TestJoinSurvives(t *testing.T) {
	c, cfg := startJoinable(t, nil, nil)
	s := startTest(t, cfg)
	nc := connectTest(t, s)
	append1 := func(ctx context.Context) error {
		_, err := publish(ctx, nc, "knell.node.j1")
		return err
	}
	retry(t, append1)
	first := c.hub(t, s)
	c.servers[first].Kill()
	began := time.Now()
	retry(t, append1)
	t.Logf("appended again %v after the server had been killed", time.Since(began).Round(time.Millisecond))
	c.servers[first] = startTest(t, c.cfgs[first])

	// Nothing is published, so that the next one is silent, too.
	second := c.hub(t, s)
	retry(t, func(context.Context) error {
		if now := c.hub(t, s); now == second {
			return fmt.Errorf("still attached to server %d", second)
		}
		return nil
	})
	retry(t, append1)
}

// TestJoinRights: the replica on a server that joined has the rights of any replica, but creates no stream.
func TestJoinRights(t *testing.T) {
	s := startTest(t, Config{Dir: t.TempDir(), Name: "j1", Join: &Join{Name: "test", Servers: freeAddrs(t, 1), Silence: time.Second}})
	for _, c := range []struct {
		verb, subjects string
		allowed        bool
	}{
		{"publish", "knell.event.session.1 knell.secret.1 knell.node.j1 knell.report.n2.j1 $JS.knell.API.INFO", true},
		{"publish", "$JS.knell.API.STREAM.INFO.KNELL $JS.knell.API.CONSUMER.CREATE.KNELL.c $JS.knell.API.CONSUMER.MSG.NEXT.KNELL.c", true},
		{"publish", "knell.node.n1 knell.report.n2.n1 knell.live.x $JS.knell.API.STREAM.CREATE.KNELL $JS.API.STREAM.CREATE.KNELL", false},
		{"publish", "$JS.knell.API.STREAM.DELETE.KNELL $JS.knell.API.STREAM.PURGE.KNELL $JS.knell.API.STREAM.UPDATE.KNELL $SYS.x _JOINED.j2.x", false},
		{"subscribe", "knell.live.> knell.report.j1.* _JOINED.j1.>", true},
		{"subscribe", "> knell.> knell.event.> knell.secret.> knell.report.> _JOINED.> _JOINED.j2.> $JS.> $SYS.>", false},
	} {
		for _, subject := range strings.Fields(c.subjects) {
			nc := connectTest(t, s)
			var err error
			if c.verb == "publish" {
				err = nc.Publish(subject, nil)
			} else {
				_, err = nc.SubscribeSync(subject)
			}
			if err := errors.Join(err, nc.FlushWithContext(testContext(t))); err != nil {
				t.Fatal(err)
			}
			if err := nc.LastError(); errors.Is(err, nats.ErrPermissionViolation) == c.allowed {
				t.Errorf("%s %s: allowed is %v, error is %v", c.verb, subject, c.allowed, err)
			}
			nc.Close()
		}
	}
}

// TestJoinHeld: the servers of a cluster hold whoever joins to the rights of replicas, whatever it allows its own users.
func TestJoinHeld(t *testing.T) {
	cfgs := clusterConfigs(t, nil)[:1]
	cfgs[0].Cluster.JoinListen = freeAddrs(t, 1)[0]
	hub := startTest(t, cfgs[0])
	users, err := newUsers()
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Name: "rogue", Join: &Join{Name: "test", Servers: []string{cfgs[0].Cluster.JoinListen}, Secret: testSecret}}
	creds, err := cfg.credentials()
	if err != nil {
		t.Fatal(err)
	}
	o, err := joinOptions(cfg, users, creds)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range o.Nkeys {
		u.Permissions = nil
	}
	o.NoLog = true
	srv, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() {
		srv.Shutdown()
		srv.WaitForShutdown()
	})
	rogue := &Server{name: "rogue", srv: srv, users: users, log: newServerLog(Config{Name: "rogue"}, ""), inbox: "_INBOX"}
	nc, listener := connectTest(t, rogue), connectTest(t, hub)
	heard, err := listener.SubscribeSync("knell.live.>")
	if err != nil {
		t.Fatal(err)
	}
	reports, err := listener.SubscribeSync("knell.report.n1.*")
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.FlushWithContext(testContext(t)); err != nil {
		t.Fatal(err)
	}
	// Each attempt sends the forgery first, on the same way.
	retry(t, func(ctx context.Context) error {
		if err := errors.Join(nc.Publish("knell.live.forged", nil), nc.Publish("knell.report.n1.rogue", nil)); err != nil {
			return err
		}
		_, err := reports.NextMsgWithContext(ctx)
		return err
	})
	if n, _, err := heard.Pending(); n != 0 || err != nil {
		t.Errorf("%d forged messages, %v", n, err)
	}
}

// TestJoinTLS: servers join over mutual TLS, whatever name is in their certificate, with the secret or without one.
func TestJoinTLS(t *testing.T) {
	ca := newAuthority(t)
	for _, secret := range []string{testSecret, ""} {
		cfgs := clusterConfigs(t, nil)[:1]
		cfgs[0].Cluster.JoinListen, cfgs[0].Cluster.Secret = freeAddrs(t, 1)[0], secret
		ca.withTLS(t, cfgs[0].Cluster, "127.0.0.1")
		join := &Join{Name: "test", Servers: []string{cfgs[0].Cluster.JoinListen}, Secret: secret, CAFile: ca.file, Silence: time.Minute}
		join.CertFile, join.KeyFile = ca.files(t, "joined.example")
		hub := startTest(t, cfgs[0])
		startTest(t, Config{Dir: t.TempDir(), Name: "j1", Join: join})
		retry(t, func(context.Context) error {
			if hub.srv.NumLeafNodes() != 1 {
				return errors.New("it does not join")
			}
			return nil
		})
	}
}

// TestForeignJoin: a server that is not of the cluster cannot join it.
func TestForeignJoin(t *testing.T) {
	ca, foreign := newAuthority(t), newAuthority(t)
	for _, c := range []struct {
		name   string
		tls    bool
		change func(*Join)
		want   []string
	}{
		{"another secret", false, func(j *Join) { j.Secret = "another secret of servers" }, []string{"the peers refuse this replica"}},
		{"another cluster", false, func(j *Join) { j.Name = "other" }, []string{"the peers refuse this replica"}},
		{"no TLS", true, func(j *Join) { j.CertFile, j.KeyFile, j.CAFile = "", "", "" }, []string{"TLS leafnode handshake error", "tls: unknown", "secure"}},
		{"certificate of another CA", true, func(j *Join) { j.CertFile, j.KeyFile = foreign.files(t, "127.0.0.1") }, []string{"unknown authority", "bad certificate", "certificate required"}},
		{"another CA", true, func(j *Join) { j.CAFile = foreign.file }, []string{"unknown authority", "bad certificate"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			log, logger := newLines()
			cfgs := clusterConfigs(t, logger)[:1]
			cfgs[0].Cluster.JoinListen = freeAddrs(t, 1)[0]
			join := &Join{Name: "test", Servers: []string{cfgs[0].Cluster.JoinListen}, Secret: testSecret, Silence: time.Second}
			if c.tls {
				ca.withTLS(t, cfgs[0].Cluster, "127.0.0.1")
				join.CertFile, join.KeyFile = ca.files(t, "127.0.0.1")
				join.CAFile = ca.file
			}
			c.change(join)
			hub := startTest(t, cfgs[0])
			startTest(t, Config{Dir: t.TempDir(), Name: "j1", Logger: logger, Join: join})
			log.await(t, c.want...)
			log.never(t, userKey)
			if hub.srv.NumLeafNodes() != 0 {
				t.Error("it has joined")
			}
		})
	}
}
