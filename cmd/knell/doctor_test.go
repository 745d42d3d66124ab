package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/knell-auth/knell/httpapi"
	"github.com/knell-auth/knell/internal/doctor"
	"github.com/knell-auth/knell/node"
)

// examined is what knell doctor printed.
type examined struct {
	Worst    string
	Findings []struct{ Check, Level, Text, Do string }
}

// examineWith runs knell doctor in dir and checks that its exit status is that of its worst finding.
func examineWith(t *testing.T, dir string, args ...string) examined {
	t.Helper()
	cmd := knell(t, append([]string{"doctor", "--json"}, args...)...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	var e examined
	if err := json.Unmarshal(out, &e); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	worst := 0
	for _, f := range e.Findings {
		worst = max(worst, map[string]int{"ok": 0, "warning": 1, "bad": 2}[f.Level])
	}
	if code := cmd.ProcessState.ExitCode(); code != worst || e.Worst != []string{"ok", "warning", "bad"}[worst] {
		t.Errorf("exit %d, worst %q: %s", code, e.Worst, out)
	}
	return e
}

// want reports an error unless a finding of this check and level contains text.
func (e examined) want(t *testing.T, check, level, text string) {
	t.Helper()
	for _, f := range e.Findings {
		if f.Check == check && f.Level == level && strings.Contains(f.Text, text) {
			if level != "ok" && f.Do == "" && check == "lease" {
				t.Errorf("%s: nothing to do about it", f.Text)
			}
			return
		}
	}
	t.Errorf("no finding %s, %s, %q in %+v", check, level, text, e.Findings)
}

// TestDoctor examines a replica that runs, with a webhook that is paused, and then the same when it has stopped.
func TestDoctor(t *testing.T) {
	provesCommands(t)
	dir := t.TempDir()
	p := launch(t, dir, "serve", "--listen", "127.0.0.1:0", "--drain", "0")
	base := attribute(t, p.await(t, "msg=ready"), "http")
	for _, args := range [][]string{
		{"webhook", "add", "audit", "https://localhost", "--paused"},
	} {
		if code, out := once(t, dir, "", args...); code != 0 {
			t.Fatalf("%v: exit %d: %s", args, code, out)
		}
	}
	e := examineWith(t, dir, "--target", base, "--issuer", "https://other.example.com")
	e.want(t, "lease", "ok", "knell: ")
	e.want(t, "directory", "ok", "knell-data")
	e.want(t, "disk", "ok", "a synced write takes")
	e.want(t, "settings", "warning", `--issuer is "https://other.example.com", but the replica runs with "knell"`)
	e.want(t, "webhooks", "warning", "audit is paused: operator")
	e.want(t, "log time", "ok", "of the clock of knell")
	e.want(t, "clock", "ok", "knell agrees with this machine")
	e.want(t, "snapshot", "ok", "there is none")
	e.want(t, "open files", "ok", "the replica's limit")
	e = examineWith(t, dir, "--lease", "9s")
	e.want(t, "settings", "warning", `--lease is "9s", but the replica runs with "5s"`)

	// Another replica before its first start.
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("a-secret-of-the-cluster"), 0o600); err != nil {
		t.Fatal(err)
	}
	e = examineWith(t, dir, "--data", "new", "--name", "new", "--target", base, "--issuer", "https://other.example.com", "--lease", "9s", "--join", "127.0.0.1:1",
		"--cluster-secret-file", "secret")
	e.want(t, "issuer", "bad", "they differ: https://other.example.com for knell (the flags), knell for knell (knell)")
	e.want(t, "lease length", "warning", "they differ: 5s (knell), 9s (the flags)")

	if err := os.Chmod(filepath.Join(dir, "knell-data"), 0o777); err != nil {
		t.Fatal(err)
	}
	if code, out := p.stop(t, syscall.SIGTERM); code != 0 {
		t.Fatalf("exit %d:\n%s", code, out)
	}
	e = examineWith(t, dir, "--target", base)
	e.want(t, "replica", "warning", "none is running on")
	e.want(t, "replica", "bad", base+": dial tcp")
	e.want(t, "directory", "bad", "mode 0777: others can replace what is in it")
	if code, out := once(t, dir, "", "doctor", "--data", "nowhere"); code != 1 || !strings.Contains(out, "warning  directory") {
		t.Errorf("exit %d: %s", code, out)
	}
	if code, out := once(t, dir, "", "doctor", "--target", "r2:8080"); code != 2 || !strings.Contains(out, `--target "r2:8080": want http`) {
		t.Errorf("exit %d: %s", code, out)
	}
}

// TestDoctorReadsSettings: what the flags of serve name is examined, whether anything runs or not.
func TestDoctorReadsSettings(t *testing.T) {
	provesCommands(t)
	dir := t.TempDir()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	writeTestCertificate(t, dir, "expired", -time.Hour)
	writeTestCertificate(t, dir, "soon", 24*time.Hour)
	for file, mode := range map[string]os.FileMode{"secret": 0o644, "good-secret": 0o600} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte("a-secret-of-the-cluster"), mode); err != nil {
			t.Fatal(err)
		}
	}
	cluster := "--name a --cluster-listen 127.0.0.1:6221 --routes 127.0.0.1:6221,127.0.0.1:6222,127.0.0.1:6223 --cluster-secret-file "
	for _, c := range []struct{ args, check, level, text string }{
		{"--tls-cert expired.pem --tls-key expired.key", "certificate", "bad", "--tls-cert " + dir + "/expired.pem expired at"},
		{"--tls-cert soon.pem --tls-key soon.key", "certificate", "warning", "soon.pem expires at"},
		{"--tls-cert soon.pem --tls-key expired.key", "certificate", "bad", "private key does not match"},
		{"--listen " + busy.Addr().String(), "addresses", "bad", "address already in use"},
		{"--listen 127.0.0.1:19090 --nats-listen 127.0.0.1:19090", "addresses", "bad", "--listen and --nats-listen are both"},
		{cluster + "secret", "secrets", "warning", "--cluster-secret-file secret has mode 0644"},
		{cluster + "good-secret", "secrets", "ok", "good-secret"},
		{"--lease 1ms", "settings", "bad", "--lease 1ms is too short"},
		{cluster + "good-secret --route-cert soon.pem --route-key soon.key --route-ca soon.pem", "certificate", "warning", "--route-cert soon.pem expires"},
	} {
		examineWith(t, dir, append([]string{"--data", dir}, strings.Fields(c.args)...)...).want(t, c.check, c.level, c.text)
	}
}

// writeTestCertificate writes a certificate that signs itself, good for so long from now on, as name.pem, and its key as name.key.
func writeTestCertificate(t *testing.T, dir, name string, left time.Duration) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-1000 * time.Hour), NotAfter: time.Now().Add(left),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		name + ".pem": {Type: "CERTIFICATE", Bytes: cert}, name + ".key": {Type: "PRIVATE KEY", Bytes: secret},
	} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestExamine: what a replica says of itself, and what is made of it.
func TestExamine(t *testing.T) {
	now := time.Now()
	good := replicaStatus{
		Announced: node.Announced{Version: "v1", Level: 2, LeaseLength: 5000, Issuer: "i", Audience: "a"},
		Standing:  node.Standing{Time: now, LogTime: now, LogFirst: 1},
		Node:      "r1", Applied: 1000, Ready: true, LeaseMS: 4500, Sync: syncAlways, statusLog: statusLog{LogBytes: 1, LogMaxBytes: 100},
		Servers: &httpapi.LogServers{Connected: 2, Others: 2},
	}
	for _, c := range []struct {
		name        string
		change      func(*replicaStatus)
		check, text string
		level       doctor.Level
	}{
		{"well", func(*replicaStatus) {}, "lease", "r1: 4.5s of 5s left", doctor.OK},
		{"no lease", func(s *replicaStatus) { s.LeaseMS, s.Ready = 0, false }, "lease", "holds none", doctor.Bad},
		{"no keys", func(s *replicaStatus) { s.Ready = false }, "lease", "is not ready", doctor.Bad},
		{"old lease", func(s *replicaStatus) { s.LeaseMS = 2000 }, "lease", "2s of 5s left", doctor.Warning},
		{"fenced", func(s *replicaStatus) { s.Fenced = "it differs" }, "lease", "r1 has fenced itself: it differs", doctor.Bad},
		{"one away", func(s *replicaStatus) { s.Servers.Connected = 1 }, "log", "misses 1 of 2", doctor.Warning},
		{"no majority", func(s *replicaStatus) { s.Servers.Connected = 0 }, "log", "no majority", doctor.Bad},
		{"behind", func(s *replicaStatus) { s.LogCopy = "behind" }, "log", "the copy of r1 is behind", doctor.Warning},
		{"filling", func(s *replicaStatus) { s.LogSheds = "logins" }, "log", "no room for logins", doctor.Warning},
		{"full", func(s *replicaStatus) { s.LogSheds = "everything" }, "log", "it is full", doctor.Bad},
		{"sync", func(s *replicaStatus) { s.Sync = syncNotAttested }, "log", "nobody has said", doctor.Warning},
		{"old snapshot", func(s *replicaStatus) { s.Applied, s.Snapshot = 2e6, 1e6 }, "snapshot", "1000000 messages old", doctor.Warning},
		{"no snapshot", func(s *replicaStatus) { s.Applied, s.Snapshot = 2e6, 0 }, "snapshot", "there is none that most replicas have made; the log has 2000000", doctor.Warning},
		{"log time ahead", func(s *replicaStatus) { s.LogTime = now.Add(time.Hour) }, "log time", "1h0m0s ahead", doctor.Bad},
		{"log time behind", func(s *replicaStatus) { s.LogTime = now.Add(-time.Hour) }, "log time", "1h0m0s behind", doctor.Warning},
	} {
		s, servers := good, *good.Servers
		s.Servers = &servers
		c.change(&s)
		r := &doctor.Report{}
		examine(r, &s)
		found(t, c.name, r, c.check, c.level, c.text)
	}
	other := good
	other.Node, other.Version, other.Issuer, other.LeaseLength = "r2", "v2", "j", 6000
	good.Peers = []peerStatus{{Node: "r3", Announced: good.Announced, HorizonMS: 1}, {Node: "r0", Announced: node.Announced{Version: "v0", Level: 1}}}
	r := &doctor.Report{}
	compare(r, []replicaStatus{good, other}, nil)
	found(t, "different", r, "versions", doctor.Warning, "they differ: v1 (r1, r3), v2 (r2)")
	found(t, "different", r, "issuer", doctor.Bad, "they differ: i for a (r1, r3), j for a (r2)")
	found(t, "different", r, "lease length", doctor.Warning, "they differ: 5s (r1, r3), 6s (r2)")
	r = &doctor.Report{}
	compare(r, []replicaStatus{good}, nil)
	found(t, "alike", r, "versions", doctor.OK, "v1 (r1, r3)")
}

// found reports an error unless r has a finding of this check and level that contains text.
func found(t *testing.T, name string, r *doctor.Report, check string, level doctor.Level, text string) {
	t.Helper()
	for _, f := range r.Findings {
		if f.Check == check && f.Level == level && strings.Contains(f.Text, text) {
			return
		}
	}
	var b bytes.Buffer
	_ = printReport(&terminal{out: &b}, r, false)
	t.Errorf("%s: no finding %s, %v, %q in\n%s", name, check, level, text, &b)
}
