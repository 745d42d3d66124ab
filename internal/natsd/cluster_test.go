package natsd

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

const testSecret = "a secret+of/servers?"

func timeout(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// freeAddrs returns addresses on loopback that were free a moment ago: the servers of a cluster must know each other's
// before they start.
func freeAddrs(t testing.TB, n int) []string {
	t.Helper()
	addrs, err := LoopbackRoutes(n)
	if err != nil {
		t.Fatal(err)
	}
	return addrs
}

// clusterConfigs returns the configurations of a cluster of three on loopback.
func clusterConfigs(t testing.TB, log *slog.Logger) []Config {
	t.Helper()
	addrs := freeAddrs(t, 3)
	cfgs := make([]Config, len(addrs))
	for i := range cfgs {
		cfgs[i] = Config{Dir: t.TempDir(), Name: fmt.Sprintf("n%d", i+1), Logger: log,
			Cluster: &Cluster{Name: "test", Listen: addrs[i], Routes: addrs, Secret: testSecret}}
	}
	return cfgs
}

// lines is a log whose lines can be waited for.
type lines struct {
	mu   sync.Mutex
	all  []string
	more chan struct{} // closed and replaced with each line
}

func newLines() (*lines, *slog.Logger) {
	l := &lines{more: make(chan struct{})}
	return l, slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// Write implements io.Writer.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, string(p))
	close(l.more)
	l.more = make(chan struct{})
	return len(p), nil
}

// await returns when a line holds one of the texts.
func (l *lines) await(t testing.TB, texts ...string) {
	t.Helper()
	for ctx := testContext(t); ; {
		l.mu.Lock()
		all, more := slices.Clone(l.all), l.more
		l.mu.Unlock()
		for _, line := range all {
			if slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(line, s) }) {
				return
			}
		}
		select {
		case <-more:
		case <-ctx.Done():
			t.Fatalf("no line with %q in:\n%s", texts, strings.Join(all, ""))
		}
	}
}

// never fails the test when a line matches.
func (l *lines) never(t testing.TB, what *regexp.Regexp) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.all {
		if what.MatchString(line) {
			t.Errorf("in the log: %s", line)
		}
	}
}

// testCluster is a cluster of three with the stream in three copies.
type testCluster struct {
	cfgs    []Config
	servers []*Server
}

func startCluster(t testing.TB, log *slog.Logger) *testCluster {
	t.Helper()
	c := &testCluster{cfgs: clusterConfigs(t, log)}
	for _, cfg := range c.cfgs {
		c.servers = append(c.servers, startTest(t, cfg))
	}
	createStream(t, connectTest(t, c.servers[0]), 3)
	c.awaitWhole(t)
	if connected, others := c.servers[0].Peers(); connected != 2 || others != 2 || !HasLog(c.cfgs[0].Dir) {
		t.Errorf("connected to %d of %d, log %v", connected, others, HasLog(c.cfgs[0].Dir))
	}
	return c
}

// awaitWhole returns the index of the stream's leader when all three copies are equal.
func (c *testCluster) awaitWhole(t testing.TB) (leader int) {
	t.Helper()
	nc, err := c.servers[0].connect(testContext(t), c.servers[0].users.keeper, adminInbox("n1"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	retry(t, func(ctx context.Context) error {
		var info streamInfo
		if err := request(ctx, nc, askStreamInfo, nil, &info); err != nil {
			return err
		}
		for _, r := range info.Cluster.Replicas {
			if r.Offline || r.Lag > 0 {
				return fmt.Errorf("%+v", info)
			}
		}
		leader = slices.IndexFunc(c.servers, func(s *Server) bool { return s.name == info.Cluster.Leader })
		if leader < 0 || len(info.Cluster.Replicas) != 2 || !c.servers[leader].srv.JetStreamIsStreamLeader(Account, StreamName) {
			return fmt.Errorf("%+v", info)
		}
		for _, s := range c.servers {
			if !s.srv.JetStreamIsStreamCurrent(Account, StreamName) {
				return fmt.Errorf("%s is not current", s.name)
			}
		}
		return nil
	})
	return leader
}

// gaps ends the stream's leader a number of times and starts it again. For each, it returns the longest time between two
// appends of a client of another server, from before the end until after the server had ended.
func (c *testCluster) gaps(t testing.TB, rounds int, end func(*Server)) (longest []time.Duration) {
	for range rounds {
		leader := c.awaitWhole(t)
		nc := connectTest(t, c.servers[(leader+1)%3])
		begun, ended, result := make(chan struct{}), make(chan struct{}), make(chan time.Duration)
		go func() { result <- gap(testContext(t), t, nc, begun, ended) }()
		<-begun
		end(c.servers[leader])
		close(ended)
		longest = append(longest, <-result)
		nc.Close()
		c.servers[leader] = startTest(t, c.cfgs[leader])
	}
	return longest
}

// gap appends one message after the other, closes begun after the first, and returns after the first that was begun after
// ended was closed. A request without an answer is given up after 20 ms, as the answer of a dead leader never comes.
func gap(ctx context.Context, t testing.TB, nc *nats.Conn, begun, ended chan struct{}) (longest time.Duration) {
	var last time.Time
	for ctx.Err() == nil {
		over := false
		select {
		case <-ended:
			over = true
		default:
		}
		try, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		_, err := publish(try, nc, "knell.event.session.1")
		if err != nil {
			<-try.Done()
		}
		cancel()
		if err != nil {
			continue
		}
		if last.IsZero() {
			close(begun)
		} else {
			longest = max(longest, time.Since(last))
		}
		if last = time.Now(); over {
			return longest
		}
	}
	t.Error("appends did not go on")
	if last.IsZero() {
		close(begun)
	}
	return longest
}

// TestElection reports how long appends wait when the stream's leader dies.
func TestElection(t *testing.T) {
	c := startCluster(t, nil)
	gaps := c.gaps(t, 4, (*Server).Kill)
	t.Logf("leader killed, appends waited %v", gaps)
	if slices.Max(gaps) > 8*time.Second {
		t.Error("too long")
	}
}

// TestHandOver reports how long appends wait when the stream's leader is stopped.
func TestHandOver(t *testing.T) {
	log, logger := newLines()
	c := startCluster(t, logger)
	gaps := c.gaps(t, 4, func(s *Server) {
		if err := s.Stop(testContext(t)); err != nil {
			t.Error(err)
		}
	})
	t.Logf("leader stopped, appends waited %v", gaps)
	if slices.Min(gaps) > time.Second || slices.Max(gaps) > 8*time.Second {
		t.Error("too long")
	}
	// The last two have nobody to hand over to, and end all the same.
	leader := c.awaitWhole(t)
	for i := range c.servers {
		if err := c.servers[(leader+1+i)%3].Stop(testContext(t)); err != nil {
			t.Error(err)
		}
	}
	log.mu.Lock()
	defer log.mu.Unlock()
	for _, line := range log.all {
		if strings.Contains(line, testSecret) || strings.Contains(line, "servers?") || strings.Contains(line, "servers%3F") {
			t.Errorf("the secret was logged: %s", line)
		}
	}
}

// TestReports: what one replica tells another arrives over a route, and the sender can't be another.
func TestReports(t *testing.T) {
	c := startCluster(t, nil)
	ctx := testContext(t)
	sub, err := connectTest(t, c.servers[0]).SubscribeSync("knell.report.n1.*")
	if err != nil {
		t.Fatal(err)
	}
	nc := connectTest(t, c.servers[1])
	retry(t, func(try context.Context) error { // until n2 knows of the subscription
		if err := nc.Publish("knell.report.n1.n2", nil); err != nil {
			return err
		}
		_, err := sub.NextMsgWithContext(try)
		return err
	})
	if err := nc.Publish("knell.report.n1.n3", nil); err != nil || nc.FlushWithContext(ctx) != nil || nc.LastError() == nil {
		t.Error("n2 may report as n3")
	}
}

// TestClosedListener: in a cluster without a client address, nobody can use the listener that nats-server needs.
func TestClosedListener(t *testing.T) {
	s := startTest(t, clusterConfigs(t, nil)[0])
	if s.ClientURL() != "" || s.RouteAddr() == "" {
		t.Errorf("client %q, route %q", s.ClientURL(), s.RouteAddr())
	}
	if nc, err := nats.Connect(s.srv.ClientURL()); err == nil {
		t.Error("connected without a user")
		nc.Close()
	}
}
