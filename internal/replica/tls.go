package replica

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

// TLS names the files of a certificate with its chain, and of its key (PEM).
type TLS struct{ CertFile, KeyFile string }

// pairEvery is how often the files of a certificate are looked at.
const pairEvery = 5 * time.Second

// pair is the certificate in use. It is replaced by what its files hold, when that is good: handshakes that begin afterwards get
// the new one, connections go on.
type pair struct {
	files   TLS
	current atomic.Pointer[tls.Certificate]
	seen    [sha256.Size]byte // of what the files held last, good or not; the watcher's
}

// LoadPair reads a certificate and its key, and checks that they belong together.
func LoadPair(certFile, keyFile string) (tls.Certificate, error) {
	c, _, err := readPair(TLS{certFile, keyFile})
	return c, err
}

// readPair is LoadPair with a hash of what was read.
func readPair(files TLS) (c tls.Certificate, seen [sha256.Size]byte, err error) {
	cert, err := readPEM(files.CertFile)
	if err != nil {
		return c, seen, err
	}
	key, err := readPEM(files.KeyFile)
	if err != nil {
		return c, seen, err
	}
	seen = sha256.Sum256(bytes.Join([][]byte{cert, key}, []byte{0}))
	if c, err = tls.X509KeyPair(cert, key); err != nil {
		return c, seen, fmt.Errorf("%s and %s: %w", files.CertFile, files.KeyFile, err)
	}
	return c, seen, nil
}

// maxPEM bounds the file of a certificate with its chain, and of a key.
const maxPEM = 1 << 20

// readPEM reads a file that can be read again: whoever reads a pipe waits for what may never come.
func readPEM(file string) ([]byte, error) {
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no regular file", file)
	case info.Size() > maxPEM:
		return nil, fmt.Errorf("%s has more than %d bytes", file, maxPEM)
	}
	return os.ReadFile(file)
}

// expired returns an error if clients will refuse c because of its age.
func expired(c *tls.Certificate) error {
	if end := c.Leaf.NotAfter; time.Now().After(end) {
		return fmt.Errorf("it expired at %v", end)
	}
	return nil
}

// load reads the files for the first time.
func (p *pair) load() error {
	c, seen, err := readPair(p.files)
	if err != nil {
		return err
	}
	p.seen = seen
	p.current.Store(&c)
	return nil
}

// reload takes over what the files hold and reports whether that is another certificate. What is not good is an error once, and
// the certificate in use stays.
func (p *pair) reload() (changed bool, err error) {
	c, seen, err := readPair(p.files)
	if seen == p.seen {
		return false, nil
	}
	p.seen = seen
	if err == nil {
		err = expired(&c)
	}
	if err != nil {
		return false, err
	}
	p.current.Store(&c)
	return true, nil
}

// certificate returns the one in use.
func (p *pair) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return p.current.Load(), nil
}

// reloaded looks at the files again and says what came of it.
func (r *Replica) reloaded(p *pair) {
	switch changed, err := p.reload(); {
	case err != nil:
		r.log.Error("the new TLS certificate is not good; the one before stays in use", "error", err)
	case changed:
		r.log.Info("TLS certificate replaced", "file", p.files.CertFile, "expires", p.current.Load().Leaf.NotAfter)
	}
}

// watchPair looks at the files again and again, and at once upon a poke, until ctx ends.
func (r *Replica) watchPair(ctx context.Context, p *pair, poke <-chan struct{}) {
	tick := time.NewTicker(pairEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-poke:
		}
		r.reloaded(p)
	}
}

// ReloadTLS has the files of certificates looked at now: that of HTTPS and those of the replica's identity. It does not wait for that.
func (r *Replica) ReloadTLS() {
	select {
	case r.poke <- struct{}{}:
	default:
	}
	select {
	case <-r.serving:
		r.server.Reload()
	default: // the server may not be there yet, and reads its files when it starts
	}
}

// serveHTTP serves the listener of cfg until the server is shut down: by TLS if there is a certificate, HTTP/2 included.
func (r *Replica) serveHTTP(ctx context.Context, s *http.Server, l net.Listener) {
	if r.cfg.TLS == nil {
		r.serve(l, s.Serve)
		return
	}
	p := &pair{files: *r.cfg.TLS}
	if err := p.load(); err != nil {
		l.Close()
		r.fail(fmt.Errorf("TLS: %w", err))
		return
	}
	r.noteCertificate("https", p.expires)
	if err := expired(p.current.Load()); err != nil {
		r.log.Warn("clients will refuse the TLS certificate", "file", p.files.CertFile, "error", err)
	}
	r.work.Go(func() { r.watchPair(ctx, p, r.poke) })
	s.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: p.certificate}
	r.serve(l, func(l net.Listener) error { return s.ServeTLS(l, "", "") })
}
