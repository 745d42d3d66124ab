package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/knell-auth/knell/internal/natsd"
)

// shell returns a replica whose process is a shell command; nothing listens at its URL.
func shell(t *testing.T, command string) *Replica {
	dir := t.TempDir()
	r := &Replica{
		Name: "r0", URL: "http://127.0.0.1:1", Data: filepath.Join(dir, "data"), logFile: filepath.Join(dir, "log"),
		binary: "/bin/sh", args: []string{"-c", command},
	}
	if err := os.Mkdir(r.Data, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func TestReplicaLifeCycle(t *testing.T) {
	r := shell(t, "exec sleep 60")
	if err := r.Kill(); err == nil {
		t.Error("a replica that never ran was killed")
	}
	for range 2 {
		if err := r.Start(); err != nil {
			t.Fatal(err)
		}
		if err := r.Start(); err == nil {
			t.Error("it was started twice")
		}
		if err := r.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.WaitReady(context.Background()); !errors.Is(err, ErrExited) {
		t.Errorf("waiting for a dead process: %v", err)
	}
}

func TestReplicaThatDoesNotStart(t *testing.T) {
	r := shell(t, "echo the disk is on fire; exit 3")
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	err := r.WaitReady(context.Background())
	if !errors.Is(err, ErrExited) || !strings.Contains(err.Error(), "the disk is on fire") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("error does not tell what happened: %v", err)
	}
	if r.LastLine() != "the disk is on fire" {
		t.Errorf("last line %q", r.LastLine())
	}
}

func TestLeaderIsWhoBeganLast(t *testing.T) {
	var c Cluster
	if c.Leader() != -1 {
		t.Error("a cluster without replicas has a leader")
	}
	for _, log := range []string{
		"time=2026-01-02T03:04:05.100Z level=DEBUG msg=\"nats-server: JetStream cluster new stream leader for 'K > K'\" server=r0\n" +
			"time=2026-01-02T03:04:07.100Z level=DEBUG msg=\"nats-server: JetStream cluster new stream leader for 'K > K'\" server=r0\n",
		"=== start\ntime=2026-01-02T03:04:06.100Z level=DEBUG msg=\"nats-server: JetStream cluster new stream leader for 'K > K'\" server=r1\n",
		"time=2026-01-02T03:04:08.100Z level=DEBUG msg=\"something else\" server=r2\n",
	} {
		r := shell(t, "exit")
		if err := os.WriteFile(r.logFile, []byte(log), 0o600); err != nil {
			t.Fatal(err)
		}
		c.Replicas = append(c.Replicas, r)
	}
	if got := c.Leader(); got != 0 {
		t.Errorf("leader %d, want 0", got)
	}
}

func TestReplicaThatIsNeverReady(t *testing.T) {
	r := shell(t, "exec sleep 60")
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if err := r.WaitReady(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	if err := r.Stop(context.Background()); err == nil {
		t.Error("an end by a signal passes for a clean one")
	}
}

func TestDataIsSavedAndRestored(t *testing.T) {
	r := shell(t, "exit")
	file := filepath.Join(r.Data, "store", "file")
	write := func(text string) {
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	write("old")
	saved, err := r.SaveData()
	if err != nil {
		t.Fatal(err)
	}
	write("new")
	if err := os.WriteFile(filepath.Join(r.Data, "later"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.RestoreData(saved); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(file); string(got) != "old" {
		t.Errorf("restored %q", got)
	}
	if _, err := os.Stat(filepath.Join(r.Data, "later")); err == nil {
		t.Error("a file from after the copy is still there")
	}
	if err := r.Wipe(); err != nil {
		t.Fatal(err)
	}
	if entries, _ := os.ReadDir(r.Data); len(entries) != 0 {
		t.Errorf("left after wiping: %v", entries)
	}
}

func TestFreePortsDiffer(t *testing.T) {
	ports, err := natsd.LoopbackRoutes(6)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, p := range ports {
		if seen[p] {
			t.Errorf("%s twice", p)
		}
		seen[p] = true
	}
}

func TestCertificatesServeBothDirections(t *testing.T) {
	ca, err := newAuthority()
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca.pem)
	certPEM, keyPEM, err := ca.issue(net.ParseIP("10.202.0.11"))
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	for _, use := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		_, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: "10.202.0.11", KeyUsages: []x509.ExtKeyUsage{use}})
		if err != nil {
			t.Errorf("usage %d: %v", use, err)
		}
	}
}

func TestNamespacesNeedASandbox(t *testing.T) {
	t.Setenv(sandboxVariable, "")
	if _, err := New(Config{Dir: t.TempDir(), Namespaces: true}); err == nil {
		t.Error("namespaces were made outside of a sandbox")
	}
	if _, err := New(Config{Dir: t.TempDir(), DiskBytes: 1 << 20}); err == nil {
		t.Error("a disk was mounted outside of a sandbox")
	}
	if _, err := New(Config{Dir: t.TempDir(), Forgetful: true}); err == nil {
		t.Error("a forgetful disk was mounted outside of a sandbox")
	}
}
