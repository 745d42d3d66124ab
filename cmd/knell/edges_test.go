package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/knell-auth/knell/events"
)

// certify writes a certificate for loopback, and its key, into one file, which serves for both.
func certify(t *testing.T, file string, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	both := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
	if err := os.WriteFile(file, both, 0o600); err != nil {
		t.Fatal(err)
	}
}

// serial returns the serial number of the certificate that a replica shows, over a new connection.
func serial(t *testing.T, base string) (number int64) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(s tls.ConnectionState) error {
			number = s.PeerCertificates[0].SerialNumber.Int64()
			return nil
		}},
	}}
	resp, err := client.Get(base + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Strict-Transport-Security") == "" {
		t.Errorf("%s with %v", resp.Status, resp.Header)
	}
	return number
}

// HTTPS, with a certificate that is replaced while it serves; one that is not good is not taken.
func TestServeTLS(t *testing.T) {
	provesCommands(t)
	dir := t.TempDir()
	file := dir + "/pair.pem"
	certify(t, file, 1)
	p := launch(t, dir, "serve", "--listen", "127.0.0.1:0", "--drain", "0", "--tls-cert", file, "--tls-key", file)
	base := attribute(t, p.await(t, "msg=ready"), "http")
	if !strings.HasPrefix(base, "https://") || serial(t, base) != 1 {
		t.Errorf("%s shows another certificate", base)
	}
	certify(t, file, 2)
	p.hangup(t)
	p.await(t, "TLS certificate replaced")
	if n := serial(t, base); n != 2 {
		t.Errorf("it shows certificate %d", n)
	}
	if err := os.WriteFile(file, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.hangup(t)
	p.await(t, "the one before stays in use")
	if n := serial(t, base); n != 2 {
		t.Errorf("it shows certificate %d", n)
	}
	certify(t, file, 3) // found without a signal
	p.await(t, "TLS certificate replaced")
	if n := serial(t, base); n != 3 {
		t.Errorf("it shows certificate %d", n)
	}
	if code, out := p.stop(t, syscall.SIGTERM); code != 0 {
		t.Fatalf("exit %d: %s", code, out)
	}
}

// TestExplain: flags are named only where the number of copies is what differs.
func TestExplain(t *testing.T) {
	for diff, named := range map[string]bool{"num_replicas is 1, want 3": true, "max_age is 3600000000000, want 0": false} {
		err := explain(fmt.Errorf("opening the log: %w: %s", events.ErrStreamConfig, diff))
		if !errors.Is(err, events.ErrStreamConfig) || strings.Contains(err.Error(), "--log-copies") != named {
			t.Errorf("%s: %v", diff, err)
		}
	}
}
