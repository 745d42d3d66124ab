package natsd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// renew replaces the files of a server: its certificate, whom it trusts, its secrets.
func (a *authority) renew(t *testing.T, c *Cluster, trusts []*authority, secrets ...string) {
	t.Helper()
	if c.CertFile == "" {
		dir := t.TempDir()
		c.CertFile, c.KeyFile, c.CAFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "ca.pem")
		c.Secret, c.SecretFile = "", filepath.Join(dir, "secret")
	}
	cert, key := a.files(t, "127.0.0.1")
	err := errors.Join(os.Rename(cert, c.CertFile), os.Rename(key, c.KeyFile), os.WriteFile(c.SecretFile, []byte(strings.Join(secrets, "\n")), 0o600))
	var all []byte
	for _, ca := range trusts {
		data, e := os.ReadFile(ca.file)
		all, err = append(all, data...), errors.Join(err, e)
	}
	if err := errors.Join(err, os.WriteFile(c.CAFile, all, 0o600)); err != nil {
		t.Fatal(err)
	}
}

// TestRotation: a server takes up a new certificate, authority and secret while it runs, and lets nobody in with the old ones once they
// are gone from its files.
func TestRotation(t *testing.T) {
	const next = "the next secret of servers"
	before, after := newAuthority(t), newAuthority(t)
	log, logger := newLines()
	cfgs := clusterConfigs(t, logger)
	a, b, c := cfgs[0], cfgs[1], cfgs[2]
	before.renew(t, a.Cluster, []*authority{before}, testSecret)
	before.renew(t, b.Cluster, []*authority{before}, testSecret)
	routes := func(s *Server, want bool) {
		t.Helper()
		retry(t, func(context.Context) error {
			if n := s.srv.NumRoutes(); n > 0 != want {
				return fmt.Errorf("%d routes", n)
			}
			return nil
		})
	}
	first, second := startTest(t, a), startTest(t, b)
	routes(first, true)
	takesUp := func(secrets int) {
		t.Helper()
		first.Reload()
		retry(t, func(context.Context) error {
			if n := len(first.creds.current.Load().secrets); n != secrets {
				return fmt.Errorf("%d secrets", n)
			}
			return nil
		})
	}

	after.renew(t, a.Cluster, []*authority{after, before}, next, testSecret)
	takesUp(2)
	routes(second, true)
	second.Kill()
	routes(first, false)
	after.renew(t, b.Cluster, []*authority{after}, next)
	second = startTest(t, b)
	routes(second, true)

	after.renew(t, a.Cluster, []*authority{after}, next)
	takesUp(1)
	before.renew(t, c.Cluster, []*authority{after, before}, next)
	startTest(t, c)
	log.await(t, "unknown authority", "bad certificate")
	log.await(t, "took up")
}

// TestCredentialsHalf: what does not fit together is refused, but said only if it stays so.
func TestCredentialsHalf(t *testing.T) {
	ca := newAuthority(t)
	cluster := &Cluster{}
	ca.renew(t, cluster, []*authority{ca}, testSecret)
	cfg := Config{Cluster: cluster}
	creds, err := cfg.credentials()
	if err != nil {
		t.Fatal(err)
	}
	look := func(changed, said bool) {
		t.Helper()
		if got, err := creds.look(time.Now()); got != changed || (err != nil) != said {
			t.Errorf("changed %v, error %v", got, err)
		}
	}
	look(false, false)
	old, err := os.ReadFile(cluster.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	ca.renew(t, cluster, []*authority{ca}, testSecret)
	fresh, err := os.ReadFile(cluster.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	write := func(data []byte) {
		t.Helper()
		if err := os.WriteFile(cluster.KeyFile, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(old)
	look(false, false)
	look(false, true)
	look(false, false)
	write(fresh)
	look(true, false)
	newAuthority(t).renew(t, cluster, []*authority{ca}, testSecret) // of an authority that it does not trust itself
	look(false, false)
	look(false, true)
}

// TestCredentialsExpire: from 30 days before the end of a certificate it is said, once a day.
func TestCredentialsExpire(t *testing.T) {
	ca := newAuthority(t)
	log, logger := newLines()
	cluster := &Cluster{}
	ca.renew(t, cluster, []*authority{ca}, testSecret)
	creds, err := (&Config{Cluster: cluster, Logger: logger}).credentials()
	if err != nil {
		t.Fatal(err)
	}
	end := creds.expires()
	for _, c := range []struct {
		before time.Duration
		said   int
	}{{31 * 24 * time.Hour, 0}, {29 * 24 * time.Hour, 1}, {29*24*time.Hour - time.Minute, 1}, {27 * 24 * time.Hour, 2}, {-time.Hour, 3}} {
		creds.warn(end.Add(-c.before))
		log.mu.Lock()
		if got := len(log.all); got != c.said {
			t.Errorf("%v before: said %d times, want %d", c.before, got, c.said)
		}
		log.mu.Unlock()
	}
}
