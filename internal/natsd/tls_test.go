package natsd

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// authority is a CA that issues certificates into files.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(t testing.TB) *authority {
	a := &authority{file: filepath.Join(t.TempDir(), "ca.pem")}
	a.cert, a.key = a.issue(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, a.file)
	return a
}

// files issues a certificate for a host and returns the paths of it and its key.
func (a *authority) files(t testing.TB, host string) (cert, key string) {
	return a.filesUntil(t, host, time.Time{})
}

// filesUntil is files for a certificate that ends at a time; zero: in an hour. Without a host it is one for clients.
func (a *authority) filesUntil(t testing.TB, host string, end time.Time) (cert, key string) {
	template := &x509.Certificate{NotAfter: end, Subject: pkix.Name{CommonName: host},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else if host != "" {
		template.DNSNames = []string{host}
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	_, k := a.issue(t, template, cert)
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err := errors.Join(err, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)); err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// issue signs a certificate, or lets it sign itself when it is the CA's own, and writes it to file.
func (a *authority) issue(t testing.TB, template *x509.Certificate, file string) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(1)
	template.NotBefore = time.Now().Add(-time.Hour)
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(time.Hour)
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err := errors.Join(err, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)); err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// withTLS turns mutual TLS on, with a certificate for host.
func (a *authority) withTLS(t testing.TB, c *Cluster, host string) {
	c.CertFile, c.KeyFile = a.files(t, host)
	c.CAFile = a.file
}

// TestRouteTLS: a cluster forms over mutual TLS.
func TestRouteTLS(t *testing.T) {
	ca := newAuthority(t)
	cfgs := clusterConfigs(t, nil)
	var servers []*Server
	for _, cfg := range cfgs {
		ca.withTLS(t, cfg.Cluster, "127.0.0.1")
		servers = append(servers, startTest(t, cfg))
	}
	nc := connectTest(t, servers[0])
	createStream(t, nc, 3)
	retry(t, func(ctx context.Context) error { // until this server knows of the stream's leader
		_, err := publish(ctx, nc, "knell.node.n1")
		return err
	})
}

// TestOwnRoute: a server is known to the others under the route that its certificate is for.
func TestOwnRoute(t *testing.T) {
	ca := newAuthority(t)
	for _, c := range []struct{ host, routes, want string }{
		{"b", "a:1,b:1,c:1", "b:1"},
		{"10.0.0.2", "10.0.0.1:1,10.0.0.2:1,10.0.0.3:1", "10.0.0.2:1"},
		{"127.0.0.1", "127.0.0.1:1,127.0.0.1:2,127.0.0.1:3", ""},
		{"d", "a:1,b:1,c:1", ""},
	} {
		cluster := &Cluster{Name: "c", Listen: "127.0.0.1:0", Routes: strings.Split(c.routes, ",")}
		ca.withTLS(t, cluster, c.host)
		creds, err := (&Config{Cluster: cluster, Logger: slog.New(slog.DiscardHandler)}).credentials()
		if err != nil {
			t.Fatal(err)
		}
		o := &server.Options{}
		if err := setCluster(o, cluster, creds); err != nil || o.Cluster.Advertise != c.want {
			t.Errorf("%s of %s: %q, %v", c.host, c.routes, o.Cluster.Advertise, err)
		}
	}
}

// TestForeignRoutes: a server that is not of the cluster gets no route, whichever of the two dials. Both sides refuse, so
// it does not matter which refusal is seen first. Whoever dials has a route in its list until the refusal of the other side arrives.
func TestForeignRoutes(t *testing.T) {
	ca, foreignCA := newAuthority(t), newAuthority(t)
	for _, c := range []struct {
		name   string
		tls    bool
		change func(*Cluster)
		want   []string // one of these is in the log
	}{
		{"another cluster", false, func(c *Cluster) { c.Name = "other" }, []string{"Cluster Name Conflict", "does not match"}},
		{"another secret", false, func(c *Cluster) { c.Secret = "another secret of servers" }, []string{"Authorization Violation", "authentication error"}},
		{"no TLS", true, func(c *Cluster) { c.CertFile, c.KeyFile, c.CAFile = "", "", "" }, []string{"TLS route handshake error"}},
		{"another CA", true, func(c *Cluster) { foreignCA.withTLS(t, c, "127.0.0.1") }, []string{"unknown authority", "bad certificate"}},
		{"certificate of another CA", true, func(c *Cluster) {
			c.CertFile, c.KeyFile = foreignCA.files(t, "127.0.0.1")
		}, []string{"unknown authority", "bad certificate"}},
		{"another host", true, func(c *Cluster) { ca.withTLS(t, c, "client.example") }, []string{"names no host", "not client.example"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			log, logger := newLines()
			cfgs := clusterConfigs(t, logger)[:2]
			if c.tls {
				ca.withTLS(t, cfgs[0].Cluster, "127.0.0.1")
				ca.withTLS(t, cfgs[1].Cluster, "127.0.0.1")
			}
			c.change(cfgs[1].Cluster)
			a, b := startTest(t, cfgs[0]), startTest(t, cfgs[1])
			log.await(t, c.want...)
			retry(t, func(context.Context) error {
				if n, m := a.srv.NumRoutes(), b.srv.NumRoutes(); n != 0 || m != 0 {
					return fmt.Errorf("routes: %d, %d", n, m)
				}
				return nil
			})
		})
	}
}

// TestNamesOneOf: certificates are pinned to the hosts of the routes.
func TestNamesOneOf(t *testing.T) {
	ca := newAuthority(t)
	for _, c := range []struct {
		host  string
		hosts string
		ok    bool
	}{
		{"n1.example", "n1.example n2.example", true},
		{"n2.example", "n1.example N2.example", true},
		{"n3.example", "n1.example n2.example", false},
		{"10.0.0.1", "10.0.0.1", true},
		{"10.0.0.2", "10.0.0.1", false},
		{"*.example", "n1.example", true},
	} {
		file, _ := ca.files(t, c.host)
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(data)
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if err := namesOneOf(cert, strings.Fields(c.hosts)); (err == nil) != c.ok {
			t.Errorf("%s among %s: %v", c.host, c.hosts, err)
		}
	}
}

// TestClientTLS: with a certificate, clients must speak TLS, and the replica's own connection need not.
func TestClientTLS(t *testing.T) {
	ca := newAuthority(t)
	cert, key := ca.files(t, "127.0.0.1")
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err := user.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	s := startTest(t, Config{Dir: t.TempDir(), Name: "n1", ClientListen: "127.0.0.1:0", ClientCertFile: cert, ClientKeyFile: key,
		Users: []User{{Key: public}}})
	connectTest(t, s)
	nc, err := nats.Connect(s.ClientURL(), nats.Nkey(public, user.Sign), nats.RootCAs(ca.file))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := errors.Join(nc.Publish("x", nil), nc.FlushWithContext(testContext(t))); err != nil || nc.LastError() == nil {
		t.Errorf("a user without rights published: %v", err)
	}
	if nc, err := nats.Connect(s.ClientURL(), nats.Nkey(public, user.Sign)); err == nil {
		t.Error("connected without trusting the CA")
		nc.Close()
	}
}
