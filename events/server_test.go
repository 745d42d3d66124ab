package events_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/events/eventstest"
)

const maxBytes = 64 << 20

// startServer starts one NATS server with JetStream that takes in-process connections only.
func startServer(t testing.TB, change func(*server.Options)) *server.Server {
	t.Helper()
	opts := &server.Options{ServerName: "s1", DontListen: true, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true}
	if change != nil {
		change(opts)
	}
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(20 * time.Second) {
		t.Fatal("the server does not start")
	}
	return s
}

// startServers starts three servers with routes between them.
func startServers(t testing.TB) []*server.Server {
	t.Helper()
	ports, routes := make([]int, 3), make([]*url.URL, 3)
	for i := range ports {
		// A server in a cluster has to know the others' addresses before they start.
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ports[i] = l.Addr().(*net.TCPAddr).Port
		routes[i] = &url.URL{Scheme: "nats", Host: l.Addr().String()}
		l.Close()
	}
	var all []*server.Server
	for i, port := range ports {
		all = append(all, startServer(t, func(o *server.Options) {
			o.ServerName = fmt.Sprintf("s%d", i+1)
			o.DontListen, o.Host, o.Port = false, "127.0.0.1", -1 // routes wait for the listener
			o.Cluster = server.ClusterOpts{Name: "events", Host: "127.0.0.1", Port: port}
			o.Routes = routes
		}))
	}
	return all
}

// link is the way from a client to a server, which can be cut and led to another server.
type link struct {
	mu    sync.Mutex
	to    *server.Server
	cut   bool
	conns []net.Conn
}

// InProcessConn implements nats.InProcessConnProvider.
func (l *link) InProcessConn() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut {
		return nil, errors.New("cut off")
	}
	c, err := l.to.InProcessConn()
	if err == nil {
		l.conns = append(l.conns, c)
	}
	return c, err
}

func (l *link) set(cut bool, to *server.Server) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut, l.to = cut, to
	for _, c := range l.conns {
		c.Close()
	}
	l.conns = nil
}

// connect returns a connection as Open wants it.
func connect(t testing.TB, l *link) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect("", nats.InProcessServer(l), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond),
		nats.ReconnectBufSize(-1), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// jetStream is a log over JetStream as the conformance suite wants it.
type jetStream struct {
	links map[string]*link
	logs  map[string]*events.Log
	conns map[string]*nats.Conn
	admin jetstream.JetStream
	cfg   events.Config
	t     testing.TB
}

// newJetStream opens a log, which is new, on the servers: nodes "a", "b" and "c" are connected to them in turn.
func newJetStream(t testing.TB, servers []*server.Server, cfg events.Config) *jetStream {
	t.Helper()
	j := &jetStream{links: map[string]*link{}, logs: map[string]*events.Log{}, conns: map[string]*nats.Conn{}, cfg: cfg, t: t}
	var err error
	if j.admin, err = jetstream.New(connect(t, &link{to: servers[0]})); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for len(servers) > 1 { // shared by tests
		try, cancel := context.WithTimeout(ctx, time.Second)
		err := j.admin.DeleteStream(try, events.StreamName)
		cancel()
		if err == nil || errors.Is(err, jetstream.ErrStreamNotFound) {
			break
		}
		if ctx.Err() != nil {
			t.Fatal(err) // until then there may be no leader
		}
	}
	for i, name := range []string{"a", "b", "c"} {
		j.links[name] = &link{to: servers[i%len(servers)]}
		j.conns[name] = connect(t, j.links[name])
		j.logs[name] = j.open(ctx, name)
	}
	return j
}

func (j *jetStream) open(ctx context.Context, name string) *events.Log {
	j.t.Helper()
	cfg := j.cfg
	cfg.Node = name
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = maxBytes
	}
	l, err := events.Open(ctx, j.conns[name], cfg)
	if err != nil {
		j.t.Fatal(err)
	}
	return l
}

func (j *jetStream) Node(name string) eventstest.Log { return j.logs[name] }
func (j *jetStream) Cut(name string)                 { j.links[name].set(true, j.links[name].to) }
func (j *jetStream) Heal(name string)                { j.links[name].set(false, j.links[name].to) }

func (j *jetStream) Trim(first uint64) {
	if err := j.logs["a"].Trim(context.Background(), first); err != nil {
		j.t.Error(err)
	}
}

func (j *jetStream) Recreate() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	s, err := j.admin.Stream(ctx, events.StreamName)
	if err == nil {
		err = j.admin.DeleteStream(ctx, events.StreamName)
	}
	if err == nil {
		_, err = j.admin.CreateStream(ctx, s.CachedInfo().Config)
	}
	// The server says that a stream is gone before its directory is.
	var refused *jetstream.APIError
	for errors.As(err, &refused) && refused.ErrorCode == 10049 && ctx.Err() == nil {
		_, err = j.admin.CreateStream(ctx, s.CachedInfo().Config)
	}
	if err != nil {
		j.t.Error(err)
	}
}

// newEvent returns an event of its own.
func newEvent(node string) *events.Event {
	id := events.NewID()
	return &events.Event{ID: id, Time: time.Now(), Node: node, Actor: "system", Data: &events.SessionRevoked{Session: id}}
}

// collect follows l from after on, checks that nothing is missing, and counts what has come.
type collect struct {
	t      testing.TB
	cancel context.CancelFunc
	ended  chan error

	mu   sync.Mutex
	last uint64
	ids  map[events.ID]uint64
	news chan struct{} // holds a token when something has come
}

func startCollect(t testing.TB, l *events.Log, after uint64) *collect {
	ctx, cancel := context.WithCancel(context.Background())
	c := &collect{t: t, cancel: cancel, ended: make(chan error, 1), last: after, ids: map[events.ID]uint64{}, news: make(chan struct{}, 1)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.ended <- l.Follow(ctx, after, c.take)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return c
}

func (c *collect) take(batch []events.Message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range batch {
		var e events.Event
		if err := events.Decode(m.Data, &e); err != nil || m.Seq != c.last+1 {
			c.t.Errorf("message %d after %d: %v", m.Seq, c.last, err)
		}
		c.last = m.Seq
		c.ids[e.ID] = m.Seq
	}
	select {
	case c.news <- struct{}{}:
	default:
	}
	return nil
}

// reach waits until the message seq has come.
func (c *collect) reach(seq uint64, patience time.Duration) {
	c.t.Helper()
	deadline := time.After(patience)
	for {
		c.mu.Lock()
		last := c.last
		c.mu.Unlock()
		if last >= seq {
			return
		}
		select {
		case <-c.news:
		case err := <-c.ended:
			c.t.Fatalf("follow ended at %d: %v", last, err)
		case <-deadline:
			c.t.Fatalf("message %d has not come; the last one was %d", seq, last)
		}
	}
}

func (c *collect) end(patience time.Duration) error {
	c.t.Helper()
	select {
	case err := <-c.ended:
		return err
	case <-time.After(patience):
		c.t.Fatal("follow does not end")
		return nil
	}
}

func mustAppend(t testing.TB, l *events.Log, node string) uint64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	seq, err := l.Append(ctx, newEvent(node))
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

func TestConformance(t *testing.T) {
	t.Parallel() // as others below that mostly wait
	eventstest.Run(t, func(t *testing.T) eventstest.Cluster {
		return newJetStream(t, []*server.Server{startServer(t, nil)}, events.Config{})
	})
}

func TestConformanceCluster(t *testing.T) {
	t.Parallel()
	servers := startServers(t)
	eventstest.Run(t, func(t *testing.T) eventstest.Cluster { return newJetStream(t, servers, events.Config{Replicas: 3}) })
}
