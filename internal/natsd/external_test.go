package natsd

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
)

// startNATS starts a server as its operator would, from a configuration file's text.
func startNATS(t testing.TB, config string) *server.Server {
	t.Helper()
	o := &server.Options{}
	if err := o.ProcessConfigString(config); err != nil {
		t.Fatal(err)
	}
	o.NoSigs, o.NoLog = true, true
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
	return s
}

// openTest returns the replica r1 for the servers of cfg, until the test ends.
func openTest(t testing.TB, cfg ExternalConfig) *External {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	cfg.Name = "r1"
	e, err := OpenExternal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return e
}

// documented returns the configuration in docs/external-nats.md.
func documented(t testing.TB) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/external-nats.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```conf\n")
	config, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("no configuration in the page")
	}
	return config
}

// TestExternalAsDocumented runs the three servers of the documentation and connects a replica to them.
func TestExternalAsDocumented(t *testing.T) {
	ca := newAuthority(t)
	cert, key := ca.files(t, "127.0.0.1")
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, _ := user.PublicKey()
	seed, _ := user.Seed()
	nkey := filepath.Join(t.TempDir(), "r1.nk")
	if err := os.WriteFile(nkey, seed, 0o600); err != nil {
		t.Fatal(err)
	}
	clients, routes := freeAddrs(t, 3), freeAddrs(t, 3)
	cfg := ExternalConfig{NkeyFile: nkey, CAFile: ca.file, CertFile: cert, KeyFile: key}
	for i := range clients {
		config := strings.NewReplacer(
			"server_name: n1", fmt.Sprintf("server_name: n%d", i+1),
			"0.0.0.0:4222", clients[i], "0.0.0.0:6222", routes[i],
			`client_advertise: "n1.example:4222"`, fmt.Sprintf("client_advertise: %q", called(clients[i])),
			`advertise: "n1.example:6222"`, fmt.Sprintf("advertise: %q", routes[i]), "n1.example:6222", routes[0], "n2.example:6222", routes[1], "n3.example:6222", routes[2],
			"/etc/nats/route.pem", cert, "/etc/nats/route-key.pem", key, "/etc/nats/ca.pem", ca.file,
			"/var/lib/nats", t.TempDir(),
			"UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4", public,
		).Replace(documented(t))
		s := startNATS(t, config)
		cfg.URLs = append(cfg.URLs, "tls://"+clients[i])
		if z, err := s.Jsz(nil); err != nil || !z.Config.SyncAlways {
			t.Errorf("sync is %+v, %v", z, err)
		}
	}
	nc, err := openTest(t, cfg).Connect(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	retry(t, func(context.Context) error { // told under the names that were given, not under all addresses of the machine
		for _, url := range nc.DiscoveredServers() {
			if !slices.ContainsFunc(clients, func(c string) bool { return strings.HasSuffix(url, "//"+called(c)) }) {
				t.Fatalf("the servers tell clients of %s", url)
			}
		}
		if n := len(nc.DiscoveredServers()); n < len(clients) {
			return fmt.Errorf("the servers tell clients of %d", n)
		}
		return nil
	})
	createStream(t, nc, 3)
	retry(t, func(ctx context.Context) error {
		_, err := publish(ctx, nc, "knell.node.r1")
		return err
	})
}

// called is an address of loopback by name.
func called(address string) string { return strings.Replace(address, "127.0.0.1", "localhost", 1) }

// TestDocumentedRights: the configuration of the documentation is the one that is written for an operator, and its rights are those of
// an embedded replica.
func TestDocumentedRights(t *testing.T) {
	written := Servers{
		Name:    "knell-nats",
		Servers: []ExternalServer{{"n1", "n1.example:4222"}, {"n2", "n2.example:4222"}, {"n3", "n3.example:4222"}},
		Replicas: []ExternalReplica{
			{"r1", []string{"UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"}},
		},
	}
	if got, want := documented(t), written.Config("n1"); got != want {
		t.Errorf("documented:\n%s\nwritten:\n%s", got, want)
	}
	plain := written.Config("n1")
	written.Trim = true
	purge := `      "$JS.API.STREAM.PURGE.KNELL"   # see --retain` + "\n"
	denied := strings.Index(plain, "deny:")
	if trims := written.Config("n1"); strings.Index(plain, purge) < denied || strings.Index(trims, purge) > denied+len(purge) || strings.Count(trims, purge) != 1 {
		t.Errorf("with the right to trim:\n%s", trims)
	}
	o := &server.Options{}
	if err := o.ProcessConfigString(strings.NewReplacer("verify: true", "", "tls {", "authorization {",
		`cert_file: "/etc/nats/route.pem", key_file: "/etc/nats/route-key.pem", ca_file: "/etc/nats/ca.pem", min_version: "1.3"`, "",
	).Replace(documented(t))); err != nil {
		t.Fatal(err)
	}
	if len(o.Nkeys) != 1 || o.Nkeys[0].Permissions == nil {
		t.Fatalf("users %+v", o.Nkeys)
	}
	got, want := o.Nkeys[0].Permissions, replicaRights("r1")
	for _, c := range []struct {
		what      string
		got, want []string
	}{
		{"publish", got.Publish.Allow, want.Publish.Allow},
		{"publish not", got.Publish.Deny, want.Publish.Deny},
		{"subscribe", got.Subscribe.Allow, want.Subscribe.Allow},
	} {
		slices.Sort(c.got)
		slices.Sort(c.want)
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%s: %q, want %q", c.what, c.got, c.want)
		}
	}
}

// permissions returns rights as a configuration has them.
func permissions(p *server.Permissions) string {
	return fmt.Sprintf("{ publish: { allow: [%s] }, subscribe: { allow: [%s] } }", quoted(p.Publish.Allow), quoted(p.Subscribe.Allow))
}

func quoted(subjects []string) string { return `"` + strings.Join(subjects, `", "`) + `"` }

// without removes the subjects that begin with a prefix.
func without(p *server.Permissions, prefix string) *server.Permissions {
	begins := func(s string) bool { return strings.HasPrefix(s, prefix) }
	p.Publish.Allow = slices.DeleteFunc(p.Publish.Allow, begins)
	p.Subscribe.Allow = slices.DeleteFunc(p.Subscribe.Allow, begins)
	return p
}

// oneServer returns the configuration of one server with a user.
func oneServer(t testing.TB, jetstream, rights string) string {
	return fmt.Sprintf("listen: \"127.0.0.1:-1\"\n%s\naccounts { SYS: {}, K: { %s users: [{ user: r1, password: p, permissions: %s }] } }\nsystem_account: SYS\n",
		map[bool]string{true: fmt.Sprintf("jetstream { store_dir: %q }", t.TempDir())}[jetstream != "off"],
		map[string]string{"": "jetstream: enabled,"}[jetstream], rights)
}

// TestExternalRefused: whatever is wrong with the servers or the user has a name.
func TestExternalRefused(t *testing.T) {
	all := permissions(replicaRights("r1"))
	lacking := func(prefix string) string { return permissions(without(replicaRights("r1"), prefix)) }
	for _, c := range []struct{ name, config, password, want string }{
		{"password", oneServer(t, "", all), "wrong", "refuses the credentials"},
		{"server without JetStream", oneServer(t, "off", all), "p", "JetStream is off"},
		{"account without JetStream", oneServer(t, "not here", all), "p", "JetStream is off"},
		{"small payload", "max_payload: 4096\n" + oneServer(t, "", all), "p", "messages of 4096 bytes only"},
		{"secret", oneServer(t, "", lacking("knell.secret.")), "p", "publish to knell.secret.>"},
		{"another's beats", oneServer(t, "", strings.ReplaceAll(all, "knell.node.r1", "knell.node.r2")), "p", "publish to knell.node.r1"},
		{"reports", oneServer(t, "", lacking("knell.report.")), "p", "publish to knell.report.*.r1; subscribe to knell.report.r1.*"},
		{"live", oneServer(t, "", lacking("knell.live.")), "p", "subscribe to knell.live.>"},
		{"inbox", oneServer(t, "", lacking("_INBOX_")), "p", "subscribe to _INBOX_r1.>"},
		{"consumers", oneServer(t, "", lacking("$JS.API.CONSUMER.MSG")), "p", "publish to $JS.API.CONSUMER.MSG.NEXT.KNELL.*"},
		{"no stream", oneServer(t, "", lacking("$JS.API.STREAM.CREATE")), "p", "publish to $JS.API.STREAM.CREATE.KNELL (there is no stream KNELL yet)"},
		{"none at all", oneServer(t, "", `{ publish: { deny: ">" }, subscribe: { deny: ">" } }`), "p", "publish to knell.event.>"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := startNATS(t, c.config)
			e := openTest(t, ExternalConfig{URLs: []string{s.ClientURL()}, User: "r1", Password: c.password})
			nc, err := e.Connect(testContext(t))
			if err == nil {
				nc.Close()
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "wrong") {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// TestExternalChecksLeaveNoTrace: trying the rights out stores nothing, and a replica of the same name that runs hears nothing of it.
func TestExternalChecksLeaveNoTrace(t *testing.T) {
	s := startNATS(t, oneServer(t, "", permissions(replicaRights("r1"))))
	e := openTest(t, ExternalConfig{URLs: []string{s.ClientURL()}, User: "r1", Password: "p"})
	running, err := nats.Connect(s.ClientURL(), nats.UserInfo("r1", "p"))
	if err != nil {
		t.Fatal(err)
	}
	defer running.Close()
	told, err := running.SubscribeSync("knell.report.r1.*")
	if err != nil {
		t.Fatal(err)
	}
	if err := running.Flush(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := running.Flush(); err != nil { // what the probes were sent came before the answer
			t.Error(err)
		}
		if n, _, err := told.Pending(); n != 0 || err != nil {
			t.Errorf("told %d times, %v", n, err)
		}
	}()
	for range 2 {
		nc, err := e.Connect(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		js := createStream(t, nc, 1)
		for name, subject := range map[string]string{TileStream: "knell.tile.>", snapshotStreamName: "knell.snapshot.*.*.*"} {
			_, err := js.CreateStream(testContext(t), jetstream.StreamConfig{Name: name, Subjects: []string{subject}, AllowDirect: true})
			if err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range []string{StreamName, TileStream, snapshotStreamName} {
			stream, err := js.Stream(testContext(t), name)
			if err != nil {
				t.Fatal(err)
			}
			if got := stream.CachedInfo().State; got.LastSeq != 0 || got.Consumers != 0 {
				t.Errorf("%s: state %+v", name, got)
			}
		}
		nc.Close()
	}
}

// TestExternalWithoutSnapshots: a user who may not keep snapshots gets a log all the same, and its operator hears what follows from it.
func TestExternalWithoutSnapshots(t *testing.T) {
	s := startNATS(t, oneServer(t, "", permissions(without(replicaRights("r1"), "knell.snapshot."))))
	var logged bytes.Buffer
	e := openTest(t, ExternalConfig{URLs: []string{s.ClientURL()}, User: "r1", Password: "p", Logger: slog.New(slog.NewTextHandler(&logged, nil))})
	nc, err := e.Connect(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
	for _, want := range []string{"each start reads the whole log", "the log grows until it is full", `rights="publish to knell.snapshot.*.r1.*"`} {
		if !strings.Contains(logged.String(), want) {
			t.Errorf("not said: %s in %s", want, &logged)
		}
	}
}

// TestExternalUnreachable: nobody there is said with the address, a name that does not exist likewise.
func TestExternalUnreachable(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	url := "nats://" + freeAddrs(t, 1)[0]
	if _, err := openTest(t, ExternalConfig{URLs: []string{url}}).Connect(ctx); err == nil || !strings.Contains(err.Error(), "no NATS server answers at "+url) {
		t.Errorf("error %v", err)
	}
}
