package natsd

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// credentialFiles name what a replica shows to others, and whom it trusts. "" is none.
type credentialFiles struct {
	cert, key, ca string // PEM
	secret        string // lines: all are accepted, the first one is shown
}

// credentials are what the files hold. They are read again when they change: connections that begin afterwards use what is new,
// others go on. What is not good is said once, and what was before stays in use.
type credentials struct {
	files   credentialFiles
	log     *slog.Logger
	current atomic.Pointer[proof]

	// The watcher's.
	seen   [sha256.Size]byte // what the files held, good or not
	half   [sha256.Size]byte // the same, where it was not good and may be half of a change
	warned time.Time         // when it was last said that the certificate ends
}

// proof is one state of the files.
type proof struct {
	cert    *tls.Certificate // nil: none
	trusted *x509.CertPool   // nil: no file
	secrets []string
}

// How often the files are looked at, from when on it is said that the certificate ends, and how often.
const (
	credentialsEvery = 5 * time.Second
	expiryNotice     = 30 * 24 * time.Hour
	expiryEvery      = 24 * time.Hour
)

// maxCredentials bounds the size of each file, in bytes.
const maxCredentials = 1 << 20

// loadCredentials reads the files for the first time. A certificate that has expired is no error: a replica that does not start
// helps nobody.
func loadCredentials(files credentialFiles, log *slog.Logger) (*credentials, error) {
	p, seen, err := files.read()
	if err != nil {
		return nil, fmt.Errorf("natsd: %w", err)
	}
	c := &credentials{files: files, log: log, seen: seen}
	c.current.Store(p)
	return c, nil
}

// read returns what the files hold, and a hash of it in any case.
func (f credentialFiles) read() (p *proof, seen [sha256.Size]byte, err error) {
	hash := sha256.New()
	get := func(file string) []byte {
		if file == "" {
			return nil
		}
		data, e := readRegular(file)
		err = errors.Join(err, e)
		fmt.Fprintf(hash, "%d %v\n", len(data), e)
		hash.Write(data)
		return data
	}
	cert, key, ca, secret := get(f.cert), get(f.key), get(f.ca), get(f.secret)
	seen = [sha256.Size]byte(hash.Sum(nil))
	if err != nil {
		return nil, seen, err
	}
	p = &proof{}
	if f.cert != "" {
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return nil, seen, fmt.Errorf("certificate %s and key %s: %w", f.cert, f.key, err)
		}
		p.cert = &pair
	}
	if f.ca != "" {
		p.trusted = x509.NewCertPool()
		if !p.trusted.AppendCertsFromPEM(ca) {
			return nil, seen, fmt.Errorf("CA: no certificate in %s", f.ca)
		}
	}
	if f.secret != "" {
		if p.secrets, err = readSecrets(secret); err != nil {
			return nil, seen, fmt.Errorf("cluster secret %s: %w", f.secret, err)
		}
	}
	return p, seen, nil
}

// readRegular reads a file that can be read again: whoever reads a pipe waits for what may never come.
func readRegular(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", file)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxCredentials+1))
	if err == nil && len(data) > maxCredentials {
		err = fmt.Errorf("%s has more than %d bytes", file, maxCredentials)
	}
	return data, err
}

var errSecret = fmt.Errorf("want at least %d characters", minSecret)

// readSecrets returns the lines of a secret's file.
func readSecrets(data []byte) (secrets []string, err error) {
	for line := range bytes.Lines(data) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if len(line) < minSecret {
			return nil, errSecret
		}
		secrets = append(secrets, string(line))
	}
	if len(secrets) == 0 {
		return nil, errSecret
	}
	return secrets, nil
}

// usable returns why the others would refuse p.
func (p *proof) usable(now time.Time) error {
	if p.cert == nil {
		return nil
	}
	if end := p.cert.Leaf.NotAfter; now.After(end) {
		return fmt.Errorf("the certificate expired at %v", end)
	}
	return p.own(now)
}

// own returns an error unless the certificate comes from an authority that this replica trusts itself.
func (p *proof) own(now time.Time) error {
	if p.trusted == nil {
		return nil
	}
	if begin := p.cert.Leaf.NotBefore; now.Before(begin) { // of a clock that is behind
		now = begin
	}
	_, err := p.cert.Leaf.Verify(x509.VerifyOptions{Roots: p.trusted, Intermediates: intermediates(p.cert.Certificate), CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err
}

// intermediates returns the certificates behind the first one.
func intermediates(chain [][]byte) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, der := range chain[1:] {
		if c, err := x509.ParseCertificate(der); err == nil { // what cannot be read vouches for nothing
			pool.AddCert(c)
		}
	}
	return pool
}

// look takes over what the files hold and reports whether that is something else. Files are replaced one after the other: what does
// not fit together is an error only when it is the same at the next look.
func (c *credentials) look(now time.Time) (changed bool, err error) {
	p, seen, err := c.files.read()
	if seen == c.seen {
		return false, nil
	}
	if err == nil {
		err = p.usable(now)
	}
	if err != nil && c.half != seen {
		c.half = seen
		return false, nil
	}
	c.seen = seen
	if err != nil {
		return false, err
	}
	c.current.Store(p)
	return true, nil
}

// watch looks at the files again and again, and at once upon a poke, until ending is closed.
func (c *credentials) watch(ending, poke <-chan struct{}) {
	tick := time.NewTicker(credentialsEvery)
	defer tick.Stop()
	for {
		c.warn(time.Now())
		select {
		case <-ending:
			return
		case <-tick.C:
		case <-poke:
		}
		switch changed, err := c.look(time.Now()); {
		case err != nil:
			c.log.Error("what this replica shows to the others has changed and is not good; what was before stays in use", "error", err)
		case changed:
			c.log.Info("took up the files of this replica's identity again", "certificate", c.files.cert, "expires", c.expires())
		}
	}
}

// warn says that the certificate ends, or has ended, or is of no use here: once a day.
func (c *credentials) warn(now time.Time) {
	end := c.expires()
	if end.IsZero() || now.Sub(c.warned) < expiryEvery {
		return
	}
	if err := c.current.Load().own(now); err != nil || now.Add(expiryNotice).After(end) {
		c.warned = now
		c.log.Warn("the certificate that this replica shows to the others ends soon, or is not good: they will refuse new connections; renew it",
			"certificate", c.files.cert, "expires", end, "left", end.Sub(now).Round(time.Minute), "error", err)
	}
}

// expires returns when the certificate in use ends; zero: there is none.
func (c *credentials) expires() time.Time {
	if cert := c.current.Load().cert; cert != nil {
		return cert.Leaf.NotAfter
	}
	return time.Time{}
}

// secret returns what is shown, "" for none.
func (c *credentials) secret() string {
	if s := c.current.Load().secrets; len(s) > 0 {
		return s[0]
	}
	return ""
}

// CheckSecrets returns what is wrong with the text of a secret's file.
func CheckSecrets(data []byte) error {
	_, err := readSecrets(data)
	return err
}
