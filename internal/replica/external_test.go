package replica

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/events/eventstest"
	"github.com/knell-auth/knell/internal/natsd"
	"github.com/knell-auth/knell/node"
)

// startNATS starts a server as its operator would, with a user for each of the names that has the documented rights of a
// replica, and the user "operator" that has all. It returns its URL.
func startNATS(t *testing.T, names ...string) string {
	t.Helper()
	var variables, users strings.Builder
	for _, name := range names {
		fmt.Fprintf(&variables, "RIGHTS_%s: {%s\n}\n", name, rightsText(t, name))
		fmt.Fprintf(&users, "{ user: %s, password: secret, permissions: $RIGHTS_%s }\n", name, name)
	}
	o := &server.Options{}
	if err := o.ProcessConfigString(fmt.Sprintf("listen: \"127.0.0.1:-1\"\njetstream { store_dir: %q, sync_interval: always }\n"+
		"%saccounts { SYS: {}, K: { jetstream: enabled, users: [ { user: operator, password: secret }\n%s ] } }\nsystem_account: SYS\n",
		t.TempDir(), &variables, &users)); err != nil {
		t.Fatal(err)
	}
	o.NoSigs, o.NoLog = true, true
	return run(t, o)
}

// rightsText returns the documented rights of a replica as a configuration has them.
func rightsText(t *testing.T, name string) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/external-nats.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rights, _ := strings.Cut(string(page), "\nR1: {")
	rights, _, ok := strings.Cut(rights, "\n}\n")
	if !ok {
		t.Fatal("no rights in the page")
	}
	return strings.NewReplacer(".r1\"", "."+name+"\"", ".r1.*", "."+name+".*", "_INBOX_r1", "_INBOX_"+name).Replace(rights)
}

// documentedRights returns the documented rights of a replica.
func documentedRights(t *testing.T, name string) *server.Permissions {
	t.Helper()
	o := &server.Options{}
	if err := o.ProcessConfigString(fmt.Sprintf("authorization { users: [ { user: u, password: p, permissions: {%s} } ] }", rightsText(t, name))); err != nil {
		t.Fatal(err)
	}
	return o.Users[0].Permissions
}

// run runs a server until the test ends, and returns its URL.
func run(t *testing.T, o *server.Options) string {
	t.Helper()
	s, err := server.NewServer(o)
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
	return s.ClientURL()
}

// externalTo returns the configuration of a replica on the server at url.
func externalTo(t *testing.T, url, name string) Config {
	t.Helper()
	cfg := standalone(t, filepath.Join(t.TempDir(), name))
	cfg.Name = name
	cfg.External = &natsd.ExternalConfig{URLs: []string{url}, User: name, Password: "secret"}
	return cfg
}

// TestExternal: two replicas share a server that neither of them runs; a logout at one is complete at the other.
func TestExternal(t *testing.T) {
	url := startNATS(t, "r1", "r2")
	cfg := externalTo(t, url, "r1")
	cfg.HTTP.Sync = "not attested"
	base := "http://" + cfg.Listener.Addr().String()
	a, b := start(t, cfg), start(t, externalTo(t, url, "r2"))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := a.Node().CreateUser(ctx, node.NewUser{Name: "alice", Password: "wonderland-1865"}, node.Origin{}); err != nil {
		t.Fatal(err)
	}
	tokens, err := b.Node().Login(ctx, node.LoginRequest{Name: "alice", Password: "wonderland-1865"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Node().Verify(ctx, tokens.AccessToken); err != nil {
		t.Error(err)
	}
	if err := a.Node().Logout(ctx, tokens.AccessToken, node.Origin{}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Node().Verify(ctx, tokens.AccessToken); err == nil {
		t.Error("a token is accepted after its logout returned")
	}
	resp, err := http.Get(base + "/status")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var status struct{ Sync string }
	if err := json.NewDecoder(resp.Body).Decode(&status); err != nil || status.Sync != "not attested" {
		t.Errorf("status %+v, %v", status, err)
	}
	if got := a.ClientURL(); got != url {
		t.Errorf("the log is at %q, want %q", got, url)
	}
}

// failing waits until a replica has failed and returns why.
func failing(t *testing.T, cfg Config) error {
	t.Helper()
	r := Start(cfg)
	t.Cleanup(func() { stop(t, r) })
	select {
	case <-r.Failed():
	case <-r.Ready():
		t.Fatal("ready")
	case <-time.After(30 * time.Second):
		t.Fatal("neither ready nor failed")
	}
	return r.Err()
}

// TestExternalFails: a stream that is not as it has to be is named and left alone, and so are servers that say no.
func TestExternalFails(t *testing.T) {
	url := startNATS(t, "r1")
	js, err := jetstream.New(operator(t, url))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: events.StreamName, Subjects: []string{"knell.>"}, MaxAge: time.Hour}); err != nil {
		t.Fatal(err)
	}
	err = failing(t, externalTo(t, url, "r1"))
	if !errors.Is(err, events.ErrStreamConfig) || !strings.Contains(err.Error(), "max_age is 3600000000000, want 0") {
		t.Errorf("error %v", err)
	}
	s, err := js.Stream(t.Context(), events.StreamName)
	if err != nil || s.CachedInfo().Config.MaxAge != time.Hour {
		t.Errorf("the stream was changed: %v", err)
	}

	cfg := externalTo(t, url, "r1")
	cfg.External.Password = "guessed"
	if err := failing(t, cfg); !strings.Contains(err.Error(), "refuses the credentials") || strings.Contains(err.Error(), "guessed") {
		t.Errorf("error %v", err)
	}
	cfg = externalTo(t, startNATS(t, "r1"), "r1")
	cfg.Copies = 3
	if err := failing(t, cfg); !strings.Contains(err.Error(), "replicas > 1 not supported in non-clustered mode") {
		t.Errorf("error %v", err)
	}
}

// operator returns a connection with all rights.
func operator(t *testing.T, url string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, nats.UserInfo("operator", "secret"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// wire is the way of one node to the server.
type wire struct {
	mu    sync.Mutex
	down  bool
	conns []net.Conn
}

// Dial implements nats.CustomDialer.
func (w *wire) Dial(network, address string) (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down {
		return nil, errors.New("cut off")
	}
	c, err := net.Dial(network, address)
	if err == nil {
		w.conns = append(w.conns, c)
	}
	return c, err
}

func (w *wire) set(down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = down
	for _, c := range w.conns {
		c.Close()
	}
	w.conns = nil
}

// elsewhere is a log on a server elsewhere, as the conformance suite wants it.
type elsewhere struct {
	t     *testing.T
	logs  map[string]*events.Log
	wires map[string]*wire
	admin jetstream.JetStream
}

func (e *elsewhere) Node(name string) eventstest.Log { return e.logs[name] }
func (e *elsewhere) Cut(name string)                 { e.wires[name].set(true) }
func (e *elsewhere) Heal(name string)                { e.wires[name].set(false) }

func (e *elsewhere) Recreate() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	s, err := e.admin.Stream(ctx, events.StreamName)
	if err == nil {
		err = e.admin.DeleteStream(ctx, events.StreamName)
	}
	if err == nil {
		_, err = e.admin.CreateStream(ctx, s.CachedInfo().Config)
	}
	if err != nil {
		e.t.Error(err)
	}
}

// TestExternalConformance: a log on a server elsewhere, used with the documented rights, is a log.
func TestExternalConformance(t *testing.T) {
	t.Parallel()
	eventstest.Run(t, func(t *testing.T) eventstest.Cluster {
		names := []string{"a", "b", "c"}
		url := startNATS(t, names...)
		e := &elsewhere{t: t, logs: map[string]*events.Log{}, wires: map[string]*wire{}}
		for _, name := range names {
			server, err := natsd.OpenExternal(natsd.ExternalConfig{Dir: t.TempDir(), Name: name, URLs: []string{url}, User: name, Password: "secret"})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { server.Stop(context.Background()) })
			e.wires[name] = &wire{}
			nc, err := server.Connect(t.Context(), nats.SetCustomDialer(e.wires[name]))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(nc.Close)
			if e.logs[name], err = events.Open(t.Context(), nc, events.Config{Node: name, MaxBytes: 64 << 20}); err != nil {
				t.Fatal(err)
			}
		}
		var err error
		if e.admin, err = jetstream.New(operator(t, url)); err != nil {
			t.Fatal(err)
		}
		return e
	})
}
