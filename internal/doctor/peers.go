package doctor

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"syscall"
	"time"
)

// Bounds of what a peer is asked.
const (
	peerPatience  = 10 * time.Second // for all up to the end of the handshake
	refusalWithin = 3 * time.Second  // after it: with TLS 1.3, only then the peer looks at the certificate
	maxGreeting   = 64 << 10
)

// Peer shakes hands with a peer at an address, as a replica does that shows p's certificate, and goes no further. Nobody there is no
// failure. greets: the peer says who it is before TLS begins, as peers do to who joins them.
func (r *Report) Peer(ctx context.Context, p Pair, address string, greets bool) {
	const check = "peers"
	pair, err := tls.LoadX509KeyPair(p.CertFile, p.KeyFile)
	if err != nil {
		return // Certificate says so
	}
	ctx, cancel := context.WithTimeout(ctx, peerPatience)
	defer cancel()
	switch reached, err := p.shake(ctx, pair, address, greets); {
	case err != nil:
		r.Bad(check, "look whether both have their certificates from the authority of this cluster",
			"--%s %s does not go with the peer at %s: %v", p.Flag, p.CertFile, address, err)
	case !reached:
		r.OK(check, "nobody answers at %s", address)
	default:
		r.OK(check, "the one at %s takes --%s %s", address, p.Flag, p.CertFile)
	}
}

// shake reports whether a peer answered, and why one of the two sides refuses the other.
func (p *Pair) shake(ctx context.Context, pair tls.Certificate, address string, greets bool) (reached bool, err error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return false, nil
	}
	defer conn.Close()
	end, _ := ctx.Deadline() // it was set
	if err := conn.SetDeadline(end); err != nil {
		return false, nil
	}
	if greets {
		// The peer says no more before the handshake has begun, so that nothing of that is read here.
		if _, err := bufio.NewReader(io.LimitReader(conn, maxGreeting)).ReadSlice('\n'); err != nil {
			return false, nil
		}
	}
	server := Pair{CAFile: p.CAFile, Hosts: p.Hosts}
	secure := tls.Client(conn, &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair},
		InsecureSkipVerify: true, // VerifyConnection does it: an IP address may be named by the certificate of any of the hosts
		VerifyConnection:   func(cs tls.ConnectionState) error { return server.verify(cs.PeerCertificates) },
	})
	if err := secure.HandshakeContext(ctx); gone(err) {
		return false, nil
	} else if err != nil {
		return true, err
	}
	if err := secure.SetReadDeadline(time.Now().Add(refusalWithin)); err != nil {
		return false, nil
	}
	_, err = secure.Read(make([]byte, 1))
	if op := (*net.OpError)(nil); errors.As(err, &op) && op.Op == "remote error" { // an alert of TLS
		return true, err
	}
	return true, nil
}

// gone reports whether err says that the other side ended, or did not answer, rather than that it refused.
func gone(err error) bool {
	var late net.Error
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.As(err, &late) && late.Timeout()
}
