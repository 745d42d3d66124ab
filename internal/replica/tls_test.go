package replica

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/knell-auth/knell/httpapi"
)

// writePair writes a certificate for 127.0.0.1 with this serial number, and its key.
func writePair(t *testing.T, files TLS, serial int64) {
	t.Helper()
	writePairUntil(t, files, serial, time.Now().Add(time.Hour))
}

func writePairUntil(t *testing.T, files TLS, serial int64, end time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "knell"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: end.Add(-2 * time.Hour), NotAfter: end, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, files.CertFile, "CERTIFICATE", cert)
	writePEM(t, files.KeyFile, "PRIVATE KEY", private)
}

func writePEM(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	// At once, as who replaces certificates should: a look may be under way.
	half := file + ".new"
	err := os.WriteFile(half, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
	if err = errors.Join(err, os.Rename(half, file)); err != nil {
		t.Fatal(err)
	}
}

// tlsRig is the part of a replica that serves HTTPS.
type tlsRig struct {
	*Replica
	t       *testing.T
	files   TLS
	address string
	logged  bytes.Buffer // of the watcher alone, read when it waits
	mu      sync.Mutex
}

func (r *tlsRig) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.logged.Write(p)
}

func (r *tlsRig) log() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.logged.String()
}

func newTLSRig(t *testing.T) *tlsRig {
	dir := t.TempDir()
	r := &tlsRig{t: t, files: TLS{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}}
	writePair(t, r.files, 1)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.address = l.Addr().String()
	r.Replica = &Replica{
		cfg: Config{TLS: &r.files}, failure: failure{failed: make(chan struct{})}, poke: make(chan struct{}, 1), log: slog.New(slog.NewTextHandler(r, nil)),
	}
	r.http = httpapi.Server("", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Header().Set("X-Proto", r.Proto) }))
	r.http.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	ctx, cancel := context.WithCancel(context.Background())
	r.work.Go(func() { r.serveHTTP(ctx, r.http, limited(l)) })
	t.Cleanup(func() {
		cancel()
		r.http.Close()
		r.work.Wait()
	})
	return r
}

// served returns the serial number of the certificate that a new connection gets.
func (r *tlsRig) served(cfg *tls.Config) (int64, error) {
	cfg.InsecureSkipVerify = true // it is the certificate that is looked at
	c, err := tls.Dial("tcp", r.address, cfg)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64(), nil
}

// reloaded returns when the files have been looked at after this call: the third poke is taken in when the first was served.
func (r *tlsRig) reloaded() {
	for range 3 {
		r.poke <- struct{}{}
	}
}

func TestTLS(t *testing.T) {
	r := newTLSRig(t)
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	resp := get(t, client, "https://"+r.address)
	if resp.Header.Get("X-Proto") != "HTTP/2.0" || !strings.HasPrefix(resp.Header.Get("Strict-Transport-Security"), "max-age=") {
		t.Errorf("%s with %v", resp.Header.Get("X-Proto"), resp.Header)
	}
	if _, err := r.served(&tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
	if _, err := r.served(&tls.Config{MaxVersion: tls.VersionTLS12}); err != nil {
		t.Errorf("TLS 1.2: %v", err)
	}
	if resp := get(t, http.DefaultClient, "http://"+r.address); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("without TLS: %d", resp.StatusCode)
	}
}

// A new pair is taken over while connections go on; one that is not good is refused, and said once.
func TestTLSReload(t *testing.T) {
	r := newTLSRig(t)
	serves := func(want int64) {
		t.Helper()
		if got, err := r.served(&tls.Config{}); err != nil || got != want {
			t.Errorf("certificate %d (%v), want %d", got, err, want)
		}
	}
	serves(1)
	old, err := tls.Dial("tcp", r.address, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()

	writePair(t, r.files, 2)
	r.ReloadTLS()
	r.reloaded()
	serves(2)
	if _, err := old.Write([]byte("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")); err != nil {
		t.Error(err)
	}
	if n, err := old.Read(make([]byte, 12)); err != nil || n == 0 {
		t.Errorf("a connection from before: %v", err)
	}

	good, err := os.ReadFile(r.files.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	other := TLS{filepath.Join(t.TempDir(), "c"), r.files.KeyFile} // a key alone, of another certificate
	writePair(t, other, 3)
	r.reloaded()
	r.reloaded()
	serves(2)
	if n := strings.Count(r.log(), "the one before stays"); n != 1 {
		t.Errorf("said %d times that the new pair is not good: %s", n, r.log())
	}
	if err := os.Remove(r.files.KeyFile); err != nil {
		t.Fatal(err)
	}
	r.reloaded()
	serves(2)
	if strings.Contains(r.log(), string(good)) {
		t.Error("the key is in the log")
	}
	writePair(t, r.files, 4)
	r.reloaded()
	serves(4)
	writePairUntil(t, r.files, 5, time.Now().Add(-time.Minute))
	r.reloaded()
	serves(4)
	if !strings.Contains(r.log(), "it expired at") {
		t.Errorf("not said that the new certificate has expired: %s", r.log())
	}
}

// A start with a certificate that has expired is no failure: a replica that does not start helps nobody.
func TestTLSExpired(t *testing.T) {
	dir := t.TempDir()
	p := &pair{files: TLS{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}}
	writePairUntil(t, p.files, 1, time.Now().Add(-time.Minute))
	if err := p.load(); err != nil || expired(p.current.Load()) == nil {
		t.Errorf("%v; not known for one that has expired", err)
	}
}

// A pipe would be read once and waited for ever after; a device has no end.
func TestTLSFilesAreFiles(t *testing.T) {
	dir := t.TempDir()
	good := TLS{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	writePair(t, good, 1)
	pipe, long, link := filepath.Join(dir, "pipe"), filepath.Join(dir, "long"), filepath.Join(dir, "link")
	err := errors.Join(syscall.Mkfifo(pipe, 0o600), os.WriteFile(long, make([]byte, maxPEM+1), 0o600), os.Symlink(good.KeyFile, link))
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{pipe, long, dir, os.DevNull} {
		if _, err := LoadPair(good.CertFile, bad); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("key %s: %v", bad, err)
		}
		if _, err := LoadPair(bad, good.KeyFile); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("certificate %s: %v", bad, err)
		}
	}
	if _, err := LoadPair(good.CertFile, link); err != nil {
		t.Errorf("a link: %v", err)
	}
}

func TestTLSWithoutAPairFails(t *testing.T) {
	cfg := standalone(t, t.TempDir())
	cfg.TLS = &TLS{CertFile: "nowhere.pem", KeyFile: "nowhere.key"}
	r := Start(cfg)
	defer stop(t, r)
	select {
	case <-r.Failed():
	case <-time.After(30 * time.Second):
		t.Error("it serves without a certificate")
	}
}
