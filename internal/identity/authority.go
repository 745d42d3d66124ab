package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"slices"
	"time"
)

const (
	day = 24 * time.Hour

	authorityDays = 3650
	maxDays       = authorityDays / 2 // so that an authority outlives what it issues for years

	skew = time.Hour // certificates are good from so long ago: clocks of machines differ
)

// authority is who issues certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	// cross is the same authority as the one before it vouches for, nil when none does any more. With it in a chain, a new
	// certificate is good for those who do not know the new authority yet: the order in which files are copied does not matter.
	cross []byte
}

// newAuthority makes an authority. If there is one already, both are trusted until Finish.
func (s *Store) newAuthority(now time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := newSerial()
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "Knell cluster " + s.Name + " " + hex.EncodeToString(serial.Bytes()[:4])},
		NotBefore:    now.Add(-skew), NotAfter: now.Add(authorityDays * day),
		IsCA: true, BasicConstraintsValid: true, MaxPathLen: 1, // the next authority
		KeyUsage: x509.KeyUsageCertSign,
	}
	own, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	next := &authority{key: key}
	if next.cert, err = x509.ParseCertificate(own); err != nil {
		return err
	}
	trusted := encodeCert(own)
	before, err := s.authority()
	switch {
	case err == nil:
		template.NotAfter, template.MaxPathLen, template.MaxPathLenZero = before.cert.NotAfter, 0, true
		cross, err := x509.CreateCertificate(rand.Reader, template, before.cert, key.Public(), before.key)
		if err != nil {
			return err
		}
		next.cross = encodeCert(cross)
		trusted = append(trusted, encodeCert(before.cert.Raw)...)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	// In this order: an authority that is trusted but does not exist does no harm.
	if err := s.write(trusted, authorityDir, CAFile); err != nil {
		return err
	}
	return s.writeAuthority(next)
}

// writeAuthority writes certificate, key and, if there is one, cross certificate into one file, so that they always match.
func (s *Store) writeAuthority(a *authority) error {
	key, err := encodeKey(a.key)
	if err != nil {
		return err
	}
	return s.write(slices.Concat(encodeCert(a.cert.Raw), key, a.cross), authorityDir, authorityFile)
}

// authority returns the one that issues certificates now.
func (s *Store) authority() (*authority, error) {
	path := s.path(authorityDir, authorityFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	cert, rest := pem.Decode(data)
	if cert == nil {
		return nil, fmt.Errorf("%s: no certificate", path)
	}
	private, cross := pem.Decode(rest)
	if private == nil {
		return nil, fmt.Errorf("%s: no key", path)
	}
	a := &authority{cross: cross}
	if a.cert, err = x509.ParseCertificate(cert.Bytes); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	key, err := x509.ParsePKCS8PrivateKey(private.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var ok bool
	if a.key, ok = key.(*ecdsa.PrivateKey); !ok || !a.key.PublicKey.Equal(a.cert.PublicKey) {
		return nil, fmt.Errorf("%s: the key is not that of the certificate", path)
	}
	return a, nil
}

// issue makes certificates and the other files of members, in place of those that they have.
func (s *Store) issue(members []Member) error {
	a, err := s.authority()
	if err != nil {
		return err
	}
	now := time.Now()
	if a.cert.NotAfter.Before(now.Add(time.Duration(s.Days) * day)) {
		return fmt.Errorf("the authority ends at %v, before a new certificate would: it needs a successor (--new-ca)", a.cert.NotAfter)
	}
	for _, m := range members {
		cert, key, err := a.certificate(m, s.external(m), now, now.Add(time.Duration(s.Days)*day))
		if err != nil {
			return err
		}
		if err := s.write(key, m.Name, KeyFile); err != nil {
			return err
		}
		if err := s.write(cert, m.Name, CertFile); err != nil {
			return err
		}
	}
	return s.share(members)
}

// external reports whether m is one of the NATS servers elsewhere.
func (s *Store) external(m Member) bool {
	return slices.ContainsFunc(s.Servers, func(o Member) bool { return o.Name == m.Name })
}

// certificate issues one for m. Who has an address is reached at it, so that its certificate names the host; who only dials has one
// that names nobody, which is no good for a server.
func (a *authority) certificate(m Member, server bool, from, until time.Time) (cert, key []byte, err error) {
	serial, err := newSerial()
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: m.Name}, NotBefore: from.Add(-skew), NotAfter: until,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if server || m.Address != "" {
		host, _, err := net.SplitHostPort(m.Address)
		if err != nil {
			return nil, nil, err
		}
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = []net.IP{ip}
		} else {
			template.DNSNames = []string{host}
		}
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, private.Public(), a.key)
	if err != nil {
		return nil, nil, err
	}
	key, err = encodeKey(private)
	return slices.Concat(encodeCert(der), a.cross), key, err
}

// Expires returns when the certificate of a member ends.
func (s *Store) Expires(name string) (time.Time, error) {
	data, err := os.ReadFile(s.path(name, CertFile))
	if err != nil {
		return time.Time{}, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return time.Time{}, fmt.Errorf("%s: no certificate", s.path(name, CertFile))
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s: %w", s.path(name, CertFile), err)
	}
	return cert.NotAfter, nil
}

// newSerial returns a random serial number that does not begin with zeros.
func newSerial() (*big.Int, error) {
	b := make([]byte, 16)
	_, err := rand.Read(b)
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b), err
}

func encodeCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
