package natsd

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// clientTLS returns the configuration of the client listener.
func clientTLS(certFile, keyFile string) (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("natsd: certificate of the client listener: %w", err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}}, nil
}

// routeTLS returns the configuration of routes in both directions: each side shows its certificate, trusts c.CAFile only,
// and accepts only a peer whose certificate names the host of a route.
func routeTLS(c *Cluster) (*tls.Config, error) {
	config, err := mutualTLS(c.CertFile, c.KeyFile, c.CAFile)
	if err != nil {
		return nil, err
	}
	hosts := make([]string, len(c.Routes))
	for i, r := range c.Routes {
		if hosts[i], _, err = splitAddr(r); err != nil {
			return nil, err
		}
	}
	config.VerifyConnection = func(cs tls.ConnectionState) error { return namesOneOf(cs.PeerCertificates[0], hosts) }
	return config, nil
}

// ownRoute returns the one of the routes that this server's certificate is for, "" if that cannot be told. Without it a server tells the others of
// a third one by the address that it sees, and they dial that: where routes are names, no certificate is for it, and each attempt is
// followed by the next.
func ownRoute(c *Cluster) string {
	pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
	if err != nil {
		return "" // routeTLS says so
	}
	var own []string
	for _, r := range c.Routes {
		if host, _, err := splitAddr(r); err == nil && pair.Leaf.VerifyHostname(host) == nil {
			own = append(own, r)
		}
	}
	if len(own) != 1 {
		return ""
	}
	return own[0]
}

// mutualTLS returns a configuration for both directions, in which each side shows its certificate and trusts the CA only.
func mutualTLS(certFile, keyFile, caFile string) (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("natsd: certificate of routes: %w", err)
	}
	pool, err := readCA(caFile)
	if err != nil {
		return nil, fmt.Errorf("natsd: CA of routes: %w", err)
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{cert},
		RootCAs:      pool,
		ClientCAs:    pool,
		ClientAuth:   tls.RequireAndVerifyClientCert,
	}, nil
}

// readCA returns the certificates in a file.
func readCA(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("no certificate in %s", file)
	}
	return pool, nil
}

// namesOneOf returns nil when cert is valid for one of the hosts (names or IP addresses).
func namesOneOf(cert *x509.Certificate, hosts []string) error {
	for _, h := range hosts {
		if cert.VerifyHostname(h) == nil {
			return nil
		}
	}
	return fmt.Errorf("certificate %q names no host of the cluster's routes", cert.Subject.CommonName)
}
