package natsd

import (
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"fmt"

	"github.com/nats-io/nats-server/v2/server"
)

// clientTLS returns the configuration of the client listener.
func clientTLS(certFile, keyFile string) (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("natsd: certificate of the client listener: %w", err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}}, nil
}

// routeTLS returns the configuration of routes in both directions: each side shows its certificate, trusts the CA only, and accepts
// only a peer whose certificate names the host of a route.
func (c *credentials) routeTLS(routes []string) (*tls.Config, error) {
	hosts, err := hostsOf(routes)
	if err != nil {
		return nil, err
	}
	return c.mutualTLS(hosts, func(cert *x509.Certificate) error { return namesOneOf(cert, hosts) }), nil
}

// joinTLS returns the configuration of who dials one of these servers.
func (c *credentials) joinTLS(servers []string) (*tls.Config, error) {
	hosts, err := hostsOf(servers)
	if err != nil {
		return nil, err
	}
	return c.mutualTLS(hosts, nil), nil
}

func hostsOf(addresses []string) (hosts []string, err error) {
	for _, a := range addresses {
		host, _, err := splitAddr(a)
		if err != nil {
			return nil, err
		}
		hosts = append(hosts, host)
	}
	return hosts, nil
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

// mutualTLS returns a configuration for both directions, in which each side shows the certificate that it has now and trusts the CA
// that it has now. hosts are those of servers that are dialed; accept looks at who dials, nil takes everybody whom the CA vouches for.
//
// A client's crypto/tls has one set of roots for its life, and nats-server keeps the configuration for its own. So the client's half
// leaves the verification to VerifyConnection, which does all of it: chain, time, use, name.
func (c *credentials) mutualTLS(hosts []string, accept func(*x509.Certificate) error) *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{*c.current.Load().cert}, // for nats-server's monitoring
		ClientAuth:   tls.RequireAndVerifyClientCert,            // the same
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return c.current.Load().cert, nil
		},
		InsecureSkipVerify: true, // see VerifyConnection
		VerifyConnection:   func(cs tls.ConnectionState) error { return c.verifyServer(cs, hosts) },
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.serverTLS(accept), nil },
	}
}

// serverTLS returns the configuration for one connection that somebody else began.
func (c *credentials) serverTLS(accept func(*x509.Certificate) error) *tls.Config {
	p := c.current.Load()
	config := &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{*p.cert},
		ClientCAs:              p.trusted,
		ClientAuth:             tls.RequireAndVerifyClientCert,
		SessionTicketsDisabled: true, // whoever comes again is looked at again
	}
	if accept != nil {
		config.VerifyConnection = func(cs tls.ConnectionState) error { return accept(cs.PeerCertificates[0]) }
	}
	return config
}

// verifyServer verifies the certificate of a server that was dialed. Where that was done by name, it has to have this name. An IP
// address is not in cs: it has to name one of those that may be dialed.
func (c *credentials) verifyServer(cs tls.ConnectionState, hosts []string) error {
	if len(cs.PeerCertificates) == 0 {
		return fmt.Errorf("natsd: the server has no certificate")
	}
	opts := x509.VerifyOptions{Roots: c.current.Load().trusted, Intermediates: x509.NewCertPool(), DNSName: cs.ServerName}
	for _, cert := range cs.PeerCertificates[1:] {
		opts.Intermediates.AddCert(cert)
	}
	_, err := cs.PeerCertificates[0].Verify(opts)
	if err == nil {
		err = namesOneOf(cs.PeerCertificates[0], hosts)
	}
	if err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: cs.PeerCertificates, Err: err}
	}
	return nil
}

// namesOneOf returns nil when cert is valid for one of the hosts (names or IP addresses).
func namesOneOf(cert *x509.Certificate, hosts []string) error {
	for _, h := range hosts {
		if cert.VerifyHostname(h) == nil {
			return nil
		}
	}
	return fmt.Errorf("certificate %q names no host of the cluster's servers", cert.Subject.CommonName)
}

// routeSecrets lets in who dials a route with one of the secrets that are good now.
type routeSecrets struct{ c *credentials }

// Check implements server.Authentication.
func (r routeSecrets) Check(c server.ClientAuthentication) bool {
	shown, good := c.GetOpts(), 0
	for _, s := range r.c.current.Load().secrets {
		good |= subtle.ConstantTimeCompare([]byte(s), []byte(shown.Password))
	}
	return shown.Username == secretUser && good == 1
}
