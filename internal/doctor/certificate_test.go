package doctor

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// authority signs certificates.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, left time.Duration) *authority {
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.make("ca", &x509.Certificate{
		NotAfter: time.Now().Add(left), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	return a
}

// make writes a certificate and its key to name.pem and name.key; without an authority it signs itself.
func (a *authority) make(name string, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber, template.Subject = big.NewInt(1), pkix.Name{CommonName: name}
	if template.NotBefore.IsZero() {
		template.NotBefore = time.Now().Add(-1000 * time.Hour)
	}
	parent, signer := template, key
	if a.cert != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{name + ".pem": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(filepath.Join(a.dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	return cert, key
}

func TestCertificates(t *testing.T) {
	const long = 1000 * time.Hour
	a, other := newAuthority(t, long), newAuthority(t, long)
	both := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	leaf := func(left time.Duration, uses ...x509.ExtKeyUsage) *x509.Certificate {
		return &x509.Certificate{NotAfter: time.Now().Add(left), ExtKeyUsage: uses, IPAddresses: []net.IP{net.IPv4(10, 0, 0, 1)}}
	}
	a.make("good", leaf(long, both...))
	a.make("soon", leaf(48*time.Hour, both...))
	a.make("old", leaf(-time.Hour, both...))
	a.make("server", leaf(long, both[0]))
	early := leaf(long, both...)
	early.NotBefore = time.Now().Add(time.Hour)
	a.make("early", early)
	for _, c := range []struct {
		cert, key, ca, host string
		level               Level
		text                string
	}{
		{"good", "good", a.dir, "10.0.0.1", OK, "--route-cert " + a.dir + "/good.pem, until 20"},
		{"good", "good", a.dir, "10.0.0.2", Bad, "names none of 10.0.0.2"},
		{"good", "good", other.dir, "", Bad, "unknown authority"},
		{"good", "soon", a.dir, "", Bad, "private key does not match"},
		{"soon", "soon", a.dir, "", Warning, "expires at"},
		{"old", "old", a.dir, "", Bad, "expired at"},
		{"early", "early", a.dir, "", Bad, "good from"},
		{"server", "server", a.dir, "", Bad, "as that of a client"},
		{"none", "none", a.dir, "", Bad, "no such file"},
	} {
		p := Pair{Flag: "route-cert", CertFile: a.dir + "/" + c.cert + ".pem", KeyFile: a.dir + "/" + c.key + ".key", CAFile: c.ca + "/ca.pem", Both: true}
		if c.host != "" {
			p.Hosts = []string{c.host}
		}
		one(t, "certificate", func(r *Report) { r.Certificate(p) }).is(t, c.cert, c.level, c.text)
	}
	one(t, "certificate", func(r *Report) { r.Authority("route-ca", a.dir+"/ca.pem") }).is(t, "authority", OK, "1 in it")
	one(t, "certificate", func(r *Report) { r.Authority("route-ca", a.dir+"/ca.key") }).is(t, "a key", Bad, "no certificate in")
	one(t, "certificate", func(r *Report) { r.Authority("route-ca", newAuthority(t, -time.Hour).dir+"/ca.pem") }).is(t, "old authority", Bad, "expired at")
	one(t, "certificate", func(r *Report) { r.Ending("credentials", time.Time{}, time.Time{}) }).is(t, "endless", OK, "without an end")
}
