package natsd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
)

// TestExternalTLS: a server with TLS, and ways to miss it.
func TestExternalTLS(t *testing.T) {
	ca, foreign := newAuthority(t), newAuthority(t)
	cert, key := ca.files(t, "127.0.0.1")
	secure := startNATS(t, fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q, verify: true }\n", cert, key, ca.file)+
		oneServer(t, "", permissions(replicaRights("r1")))).ClientURL()
	plain := startNATS(t, oneServer(t, "", permissions(replicaRights("r1")))).ClientURL()
	for _, c := range []struct{ name, url, ca, cert, key, want string }{
		{"good", secure, ca.file, cert, key, ""},
		{"without", strings.Replace(secure, "tls:", "nats:", 1), "", "", "", "unknown authority"},
		{"another CA", secure, foreign.file, cert, key, "unknown authority"},
		{"without a certificate", secure, ca.file, "", "", "tls"},
		{"server without TLS", plain, ca.file, cert, key, "has no TLS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := openTest(t, ExternalConfig{URLs: []string{c.url}, User: "r1", Password: "p", CAFile: c.ca, CertFile: c.cert, KeyFile: c.key})
			nc, err := e.Connect(testContext(t))
			if err == nil {
				nc.Close()
			}
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// TestExternalReconnect: when the server is gone, nothing is kept for later; when it is back, so is the connection.
func TestExternalReconnect(t *testing.T) {
	addr := freeAddrs(t, 1)[0]
	config := strings.Replace(oneServer(t, "", permissions(replicaRights("r1"))), "127.0.0.1:-1", addr, 1)
	s := startNATS(t, config)
	nc, err := openTest(t, ExternalConfig{URLs: []string{"nats://" + addr}, User: "r1", Password: "p"}).Connect(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	changed := nc.StatusChanged(nats.RECONNECTING, nats.CONNECTED)
	s.Shutdown()
	s.WaitForShutdown()
	if got := <-changed; got != nats.RECONNECTING {
		t.Fatalf("status %v", got)
	}
	if err := nc.Publish("knell.node.r1", nil); !errors.Is(err, nats.ErrReconnectBufExceeded) {
		t.Errorf("a publish without a connection: %v", err)
	}
	startNATS(t, config)
	if got := <-changed; got != nats.CONNECTED {
		t.Fatalf("status %v", got)
	}
}

// TestOpenExternalFails: each wrong setting has an error that says what to do.
func TestOpenExternalFails(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	busy, standalone := t.TempDir(), t.TempDir()
	openTest(t, ExternalConfig{Dir: busy, URLs: []string{"nats://127.0.0.1:1"}})
	startTest(t, Config{Dir: standalone, Name: "r1"}).Kill()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("nothing of use"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := []string{"nats://127.0.0.1:1"}
	for _, c := range []struct {
		cfg  ExternalConfig
		want string
	}{
		{ExternalConfig{URLs: good, Name: "r1"}, "no data directory"},
		{ExternalConfig{URLs: good, Name: "R1", Dir: "d"}, "replica name"},
		{ExternalConfig{Name: "r1", Dir: "d"}, "no URL"},
		{ExternalConfig{URLs: []string{"nats://n1.example:4222"}, Name: "r1", Dir: "d"}, "needs TLS"},
		{ExternalConfig{URLs: []string{"nats://u:p@127.0.0.1"}, Name: "r1", Dir: "d"}, "belong into a file"},
		{ExternalConfig{URLs: []string{"127.0.0.1:4222"}, Name: "r1", Dir: "d"}, "want nats://"},
		{ExternalConfig{URLs: []string{"nats://127.0.0.1/x"}, Name: "r1", Dir: "d"}, "want nats://"},
		{ExternalConfig{URLs: good, Name: "r1", Dir: "d", CertFile: file}, "needs its key"},
		{ExternalConfig{URLs: good, Name: "r1", Dir: "d", CredsFile: file, User: "u"}, "alternatives"},
		{ExternalConfig{URLs: good, Name: "r1", Dir: "d", CredsFile: file + "x"}, "no such file"},
		{ExternalConfig{URLs: good, Name: "r1", Dir: "d", NkeyFile: file}, "NKey for NATS: " + file},
		{ExternalConfig{URLs: good, Name: "r1", Dir: "d", CAFile: file}, "no certificate in " + file},
		{ExternalConfig{URLs: good, Name: "r1", Dir: "d", CertFile: file, KeyFile: file}, "certificate " + file},
		{ExternalConfig{URLs: good, Name: "r1", Dir: busy}, "in use"},
		{ExternalConfig{URLs: good, Name: "r1", Dir: standalone}, "another kind (standalone): start without"},
		{ExternalConfig{URLs: good, Name: "r2", Dir: busy}, "in use"},
	} {
		if c.cfg.Dir == "d" {
			c.cfg.Dir = t.TempDir()
		}
		e, err := OpenExternal(c.cfg)
		if err == nil {
			e.Stop(t.Context())
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "natsd: ") {
			t.Errorf("error %v, want %q", err, c.want)
		}
	}
}
