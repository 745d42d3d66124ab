package identity

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nkeys"
)

// peers are three replicas and one that joins.
func peers() Cluster {
	return Cluster{Name: "test", Days: 90, Joined: []Member{{Name: "j1"}}, Replicas: []Member{
		{Name: "r1", Address: "r1.example:6222"}, {Name: "r2", Address: "10.0.0.2:6222"}, {Name: "r3", Address: "r3.example:6222"},
	}}
}

// elsewhere are two replicas on a NATS server elsewhere.
func elsewhere() Cluster {
	return Cluster{Name: "test", Days: 90, Replicas: []Member{{Name: "r1"}, {Name: "r2"}}, Servers: []Member{{Name: "n1", Address: "n1.example:4222"}}}
}

// keysOf is a configuration that names the keys of all replicas.
func keysOf(c *Cluster, server string) string {
	text := server
	for _, r := range c.Replicas {
		text += fmt.Sprintf(" %s=%v", r.Name, r.Keys)
	}
	return text
}

func newStore(t *testing.T, c Cluster) *Store {
	t.Helper()
	s, err := Init(filepath.Join(t.TempDir(), "ids"), c, keysOf)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// must fails the test at an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// files is what one member had at one time.
type files struct {
	cert   tls.Certificate
	ca     *x509.CertPool
	secret string
}

func (s *Store) files(t *testing.T, name string) files {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(s.path(name, CertFile), s.path(name, KeyFile))
	must(t, err)
	ca, err := os.ReadFile(s.path(name, CAFile))
	must(t, err)
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		t.Fatal("no authority")
	}
	secret, err := os.ReadFile(s.path(name, SecretFile))
	must(t, err)
	return files{cert, pool, string(secret)}
}

// trusts reports whether who has these files takes a connection from somebody with the others, and dials him at host.
func (f files) trusts(t *testing.T, other files, host string) (accepts, dials bool) {
	t.Helper()
	between := x509.NewCertPool()
	for _, der := range other.cert.Certificate[1:] {
		c, err := x509.ParseCertificate(der)
		must(t, err)
		between.AddCert(c)
	}
	verify := func(use x509.ExtKeyUsage, host string) bool {
		_, err := other.cert.Leaf.Verify(x509.VerifyOptions{Roots: f.ca, Intermediates: between, DNSName: host, KeyUsages: []x509.ExtKeyUsage{use}})
		return err == nil
	}
	return verify(x509.ExtKeyUsageClientAuth, ""), verify(x509.ExtKeyUsageServerAuth, host)
}

func TestInit(t *testing.T) {
	s := newStore(t, peers())
	err := filepath.WalkDir(s.dir, func(path string, e fs.DirEntry, err error) error {
		must(t, err)
		info, err := e.Info()
		must(t, err)
		if want := map[bool]fs.FileMode{true: 0o700, false: 0o600}[e.IsDir()]; info.Mode().Perm() != want {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return nil
	})
	must(t, err)
	r1, r2, j1 := s.files(t, "r1"), s.files(t, "r2"), s.files(t, "j1")
	for _, c := range []struct {
		name           string
		other          files
		host           string
		accepts, dials bool
	}{
		{"r1", r1, "r1.example", true, true}, {"r2", r2, "10.0.0.2", true, true},
		{"r2 as r1", r2, "r1.example", true, false},
		{"j1", j1, "j1", true, false},
		{"another cluster", newStore(t, peers()).files(t, "r1"), "r1.example", false, false},
	} {
		if accepts, dials := r1.trusts(t, c.other, c.host); accepts != c.accepts || dials != c.dials {
			t.Errorf("%s: accepts %v, dials %v", c.name, accepts, dials)
		}
	}
	if r1.secret != j1.secret || len(strings.TrimSpace(r1.secret)) < 32 || strings.Count(r1.secret, "\n") != 1 {
		t.Error("the secret is none")
	}
	if end, err := s.Expires("r1"); err != nil || time.Until(end) < 89*day || time.Until(end) > 90*day {
		t.Errorf("ends %v, %v", end, err)
	}
}

// TestRotation: at each step everybody accepts everybody, whoever has his new files already; in the end who has only the old ones is
// out.
func TestRotation(t *testing.T) {
	s := newStore(t, peers())
	before := s.files(t, "r1")
	must(t, s.Renew(nil, true, true))
	if err := s.Renew(nil, true, false); !errors.Is(err, ErrChanging) {
		t.Errorf("a change within a change: %v", err)
	}
	during := s.files(t, "r1")
	all := []files{before, during}
	must(t, s.Renew([]string{"r1"}, false, false))
	all = append(all, s.files(t, "r1"))
	for i, a := range all {
		for j, b := range all {
			if accepts, dials := a.trusts(t, b, "r1.example"); !accepts || !dials {
				t.Errorf("files %d and %d: accepts %v, dials %v", i, j, accepts, dials)
			}
		}
	}
	if !strings.HasSuffix(during.secret, "\n"+before.secret) {
		t.Error("the old secret is not good any more, or the first")
	}

	reopened, err := Open(s.dir, keysOf)
	must(t, err)
	must(t, reopened.Finish())
	after := s.files(t, "r1")
	if accepts, dials := after.trusts(t, before, "r1.example"); accepts || dials {
		t.Error("the old authority is still good")
	}
	if accepts, dials := after.trusts(t, during, "r1.example"); !accepts || !dials {
		t.Error("the new authority is not good")
	}
	if accepts, dials := during.trusts(t, after, "r1.example"); !accepts || !dials {
		t.Error("the new files are not good for who has not got them yet")
	}
	if after.secret+before.secret != during.secret {
		t.Error("the old secret is still good")
	}
	must(t, reopened.Renew(nil, true, false)) // the next one
	if accepts, dials := after.trusts(t, s.files(t, "r1"), "r1.example"); !accepts || !dials {
		t.Error("the authority after the next one is not good")
	}
	if reopened.Finish() != nil || reopened.Finish() == nil {
		t.Error("finished twice, or not at all")
	}
}

// TestRevoke: who was taken out has nothing that is good in the end.
func TestRevoke(t *testing.T) {
	s := newStore(t, peers())
	if err := s.Revoke("r2"); err == nil || !strings.Contains(err.Error(), "add its successor first") {
		t.Errorf("two peers are left: %v", err)
	}
	s, err := Open(s.dir, keysOf)
	must(t, err)
	must(t, s.Add([]Member{{Name: "r4", Address: "r4.example:6222"}}, nil))
	gone := s.files(t, "r2")
	must(t, s.Revoke("r2"))
	must(t, s.Finish())
	if _, err := os.Stat(s.path("r2")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("its files are still there")
	}
	r4 := s.files(t, "r4")
	if accepts, _ := r4.trusts(t, gone, "10.0.0.2"); accepts || r4.secret == gone.secret {
		t.Error("what it had is still good")
	}
	if err := s.Revoke("r2"); err == nil {
		t.Error("revoked twice")
	}
}

// obstruct has nobody read or write a file until what is returned is called.
func obstruct(t *testing.T, path string) (clear func()) {
	t.Helper()
	must(t, os.Rename(path, path+".away"))
	must(t, os.MkdirAll(filepath.Join(path, "x"), 0o700))
	return func() {
		must(t, os.RemoveAll(path))
		must(t, os.Rename(path+".away", path))
	}
}

// TestPending: what a change has left undone is not finished before it is done, and done once.
func TestPending(t *testing.T) {
	for _, file := range [][]string{{authorityDir, SecretFile}, {"r1", CertFile}, {"r3", CAFile}} {
		s := newStore(t, peers())
		must(t, s.Add([]Member{{Name: "r4", Address: "r4.example:6222"}}, nil))
		before, gone := s.files(t, "r1"), s.files(t, "r2")
		clear := obstruct(t, s.path(file...))
		if err := s.Revoke("r2"); err == nil {
			t.Fatalf("%v: revoked all the same", file)
		}
		s, err := Open(s.dir, keysOf)
		must(t, err)
		if err := s.Renew(nil, false, false); err == nil {
			t.Errorf("%v: renewed all the same", file)
		}
		clear()
		for what, err := range map[string]error{
			"finish": s.Finish(), "revoke": s.Revoke("r3"), "renew": s.Renew([]string{"r1"}, false, false), "add": s.Add(nil, []Member{{Name: "j2"}}),
		} {
			if !errors.Is(err, ErrPending) {
				t.Errorf("%v: %s: %v", file, what, err)
			}
		}
		must(t, s.Revoke("r2"))
		during := s.files(t, "r1")
		if accepts, dials := during.trusts(t, before, "r1.example"); !accepts || !dials {
			t.Errorf("%v: the authority before is not good any more", file)
		}
		if !strings.HasSuffix(during.secret, "\n"+before.secret) || strings.Count(during.secret, "\n") != 2 {
			t.Errorf("%v: other secrets than the new one and the one before", file)
		}
		must(t, s.Finish())
		after := s.files(t, "r1")
		if accepts, _ := after.trusts(t, gone, "10.0.0.2"); accepts || strings.Contains(after.secret, strings.TrimSpace(gone.secret)) {
			t.Errorf("%v: what r2 had is still good", file)
		}
		if _, err := os.Stat(s.path("r2")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v: its files are still there", file)
		}
	}
}

// TestAddAgain: who was not added to the end is added by a second attempt.
func TestAddAgain(t *testing.T) {
	s := newStore(t, peers())
	clear := obstruct(t, s.path(authorityDir, SecretFile))
	if err := s.Add(nil, []Member{{Name: "j2"}}); err == nil {
		t.Fatal("added without a secret")
	}
	clear()
	s, err := Open(s.dir, keysOf)
	must(t, err)
	must(t, s.Add(nil, []Member{{Name: "j2"}}))
	if accepts, _ := s.files(t, "r1").trusts(t, s.files(t, "j2"), ""); !accepts {
		t.Error("it is not let in")
	}
}

// TestElsewhere: replicas on NATS servers elsewhere have NKeys, of which servers know two while they are changed.
func TestElsewhere(t *testing.T) {
	s := newStore(t, elsewhere())
	public := func() string {
		seed, err := os.ReadFile(s.path("r1", SeedFile))
		must(t, err)
		pair, err := nkeys.ParseDecoratedUserNKey(seed)
		must(t, err)
		key, err := pair.PublicKey()
		must(t, err)
		return key
	}
	knows := func(key string) bool {
		config, err := os.ReadFile(s.path("n1", ConfigFile))
		must(t, err)
		return strings.Contains(string(config), key)
	}
	old := public()
	must(t, s.Renew(nil, false, true))
	if next := public(); next == old || !knows(next) || !knows(old) {
		t.Error("the servers do not know both keys")
	}
	must(t, s.Finish())
	if knows(old) || !knows(public()) {
		t.Error("the servers know the old key, or not the new one")
	}
	must(t, s.Add([]Member{{Name: "r3"}}, nil))
	if !knows("r3=[U") {
		t.Error("the servers do not know who was added")
	}
	if _, err := os.Stat(s.path("r1", SecretFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Error("there is a cluster secret")
	}
}

func TestRefused(t *testing.T) {
	change := func(f func(*Cluster)) Cluster {
		c := peers()
		f(&c)
		return c
	}
	for want, c := range map[string]Cluster{
		"cluster name":             change(func(c *Cluster) { c.Name = "A" }),
		"0 days":                   change(func(c *Cluster) { c.Days = 0 }),
		"at least 3":               change(func(c *Cluster) { c.Replicas = c.Replicas[:2] }),
		"the name r1 is taken":     change(func(c *Cluster) { c.Joined[0].Name = "r1" }),
		"the name ca is taken":     change(func(c *Cluster) { c.Joined[0].Name = "ca" }),
		`name "../x"`:              change(func(c *Cluster) { c.Joined[0].Name = "../x" }),
		"want host:port":           change(func(c *Cluster) { c.Replicas[0].Address = "r1.example" }),
		"neither the name":         change(func(c *Cluster) { c.Replicas[0].Address = "bad/host:6222" }),
		"cannot reach that":        change(func(c *Cluster) { c.Replicas[0].Address = "0.0.0.0:6222" }),
		"have the same address":    change(func(c *Cluster) { c.Replicas[0].Address = c.Replicas[1].Address }),
		"none of them joins":       change(func(c *Cluster) { c.Servers = []Member{{Name: "n1", Address: "n1:4222"}} }),
		"a replica has no address": change(func(c *Cluster) { c.Servers, c.Joined = []Member{{Name: "n1", Address: "n1:4222"}}, nil }),
	} {
		dir := filepath.Join(t.TempDir(), "ids")
		if _, err := Init(dir, c, keysOf); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
		if left, _ := filepath.Glob(filepath.Join(filepath.Dir(dir), "*")); len(left) > 0 {
			t.Errorf("%s: left %v", want, left)
		}
	}
	s := newStore(t, peers())
	if _, err := Init(s.dir, peers(), keysOf); err == nil || !strings.Contains(err.Error(), "is not empty") {
		t.Errorf("overwritten: %v", err)
	}
	if err := s.Renew([]string{"r9"}, false, false); err == nil {
		t.Error("renewed somebody who is not there")
	}
	if _, err := Open(t.TempDir(), keysOf); err == nil || !strings.Contains(err.Error(), "knell cluster init") {
		t.Errorf("opened what is none: %v", err)
	}
	if err := s.Add(nil, []Member{{Name: "j1"}}); err == nil || !strings.Contains(err.Error(), "the name j1 is taken") {
		t.Errorf("overwritten: %v", err)
	}
}
