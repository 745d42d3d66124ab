package doctor

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"strings"
	"time"
)

// Pair is a certificate that a replica shows.
type Pair struct {
	Flag     string // that names it, such as "route-cert"
	CertFile string
	KeyFile  string
	CAFile   string   // that it has to come from; "": not known
	Hosts    []string // one of which it has to name; none: not known
	Both     bool     // it is used by clients as well as by servers
}

// soon is how long before its end a certificate is worth a warning, if a third of its life is not shorter.
const soon = 30 * 24 * time.Hour

// Certificate checks a certificate with its key: that they belong together, its chain, its names, its end.
func (r *Report) Certificate(p Pair) {
	const check = "certificate"
	pair, err := tls.LoadX509KeyPair(p.CertFile, p.KeyFile)
	if err != nil {
		r.Bad(check, "", "--%s %s: %v", p.Flag, p.CertFile, err)
		return
	}
	chain := []*x509.Certificate{pair.Leaf}
	for _, der := range pair.Certificate[1:] {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			r.Bad(check, "", "--%s %s: %v", p.Flag, p.CertFile, err)
			return
		}
		chain = append(chain, c)
	}
	what := fmt.Sprintf("--%s %s", p.Flag, p.CertFile)
	if !r.ending(what, chain) {
		return
	}
	if err := p.verify(chain); err != nil {
		r.Bad(check, "make another one", "%s: %v", what, err)
		return
	}
	r.until(what, pair.Leaf.NotAfter)
}

// verify checks chain and names.
func (p *Pair) verify(chain []*x509.Certificate) error {
	if len(p.Hosts) > 0 {
		var named bool
		for _, h := range p.Hosts {
			named = named || chain[0].VerifyHostname(h) == nil
		}
		if !named {
			return fmt.Errorf("it names none of %s", strings.Join(p.Hosts, ", "))
		}
	}
	if p.CAFile == "" {
		return nil
	}
	authorities, err := readCertificates(p.CAFile)
	if err != nil {
		return err
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range authorities {
		roots.AddCert(c)
	}
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	uses := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	if p.Both {
		uses = append(uses, x509.ExtKeyUsageClientAuth)
	}
	for _, use := range uses { // of several, Verify would be content with one
		o := x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{use}}
		if _, err := chain[0].Verify(o); err != nil {
			return fmt.Errorf("as that of a %s: %w", map[bool]string{true: "client", false: "server"}[use == x509.ExtKeyUsageClientAuth], err)
		}
	}
	return nil
}

// Authority checks the end of the certificates of a file of authorities.
func (r *Report) Authority(flag, file string) {
	const check = "certificate"
	what := fmt.Sprintf("--%s %s", flag, file)
	chain, err := readCertificates(file)
	if err != nil {
		r.Bad(check, "", "--%s: %v", flag, err)
		return
	}
	if r.ending(what, chain) {
		r.OK(check, "%s, %d in it", what, len(chain))
	}
}

func readCertificates(file string) ([]*x509.Certificate, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var list []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		list = append(list, c)
	}
	if list == nil {
		return nil, fmt.Errorf("no certificate in %s", file)
	}
	return list, nil
}

// Shown checks the end of the certificates that a server showed.
func (r *Report) Shown(who string, state *tls.ConnectionState) {
	if r.ending(who, state.PeerCertificates) {
		r.until(who, state.PeerCertificates[0].NotAfter)
	}
}

// Ending checks something that is good for a time; a zero end is none.
func (r *Report) Ending(what string, begin, end time.Time) {
	if r.inTime(what, begin, end) {
		r.until(what, end)
	}
}

func (r *Report) until(what string, end time.Time) {
	if end.IsZero() {
		r.OK("certificate", "%s, without an end", what)
		return
	}
	r.OK("certificate", "%s, until %s", what, end.Format(time.DateOnly))
}

// ending reports whether none of these certificates has ended or ends soon, and says what does.
func (r *Report) ending(what string, chain []*x509.Certificate) bool {
	for i, c := range chain {
		name := what
		if i > 0 {
			name = fmt.Sprintf("%s, %q of its chain", what, c.Subject.CommonName)
		}
		if !r.inTime(name, c.NotBefore, c.NotAfter) {
			return false
		}
	}
	return true
}

// inTime reports whether something has begun and does not end soon, and says so if not.
func (r *Report) inTime(what string, begin, end time.Time) bool {
	const check = "certificate"
	now := time.Now()
	switch {
	case now.Before(begin):
		r.Bad(check, "look at the clocks, or wait", "%s is good from %s on", what, begin.Format(time.RFC3339))
	case end.IsZero():
		return true
	case now.After(end):
		r.Bad(check, "replace it", "%s expired at %s", what, end.Format(time.RFC3339))
	case now.Add(min(soon, end.Sub(begin)/3)).After(end):
		r.Warn(check, "replace it", "%s expires at %s", what, end.Format(time.RFC3339))
	default:
		return true
	}
	return false
}
