package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/doctor"
	"github.com/knell-auth/knell/internal/natsd"
	"github.com/knell-auth/knell/internal/replica"
	"github.com/knell-auth/knell/node"
)

// doctorCmd examines a replica. It takes the settings of serve, so that it can be called as serve is, and looks at what they name. Nothing
// needs to run.
type doctorCmd struct {
	Serve    serveCmd `embed:""`
	Targets  []string `name:"target" group:"What to examine:" placeholder:"URL" help:"Ask this replica, too, such as http://10.0.0.2:8080. Repeat it for more."`
	TargetCA string   `name:"target-ca" group:"What to examine:" type:"path" placeholder:"FILE" help:"Authority of their certificates. Default: the system's."`
	JSON     bool     `name:"json" group:"What to examine:" help:"Print JSON."`
}

// Run prints what it found. The exit status is that of the worst finding.
func (c *doctorCmd) Run(ctx context.Context, t *terminal) error {
	asker, err := c.asker()
	if err != nil {
		return err
	}
	watch := doctor.Watch()
	r := &doctor.Report{}
	r.OK("version", "knell %s, schema level %d, %s/%s", version(), events.Level, runtime.GOOS, runtime.GOARCH)
	own, pid := c.own(ctx, r)
	c.directory(r, own)
	var planned *node.Announced
	if c.settings(r, own) {
		planned = c.planned(own)
		c.secrets(r)
		c.certificates(r)
		c.peers(ctx, r)
		if own == nil {
			c.addresses(r)
		}
	}
	r.Limits(doctor.Process{PID: pid, Workers: c.workers()})
	var all []replicaStatus
	if own != nil {
		examine(r, own)
		all = append(all, *own)
	}
	for _, target := range c.Targets {
		if s := asker.ask(ctx, r, target); s != nil {
			examine(r, s)
			all = append(all, *s)
		}
	}
	compare(r, all, planned)
	r.Look(watch)
	if err := printReport(t, r, c.JSON); err != nil {
		return err
	}
	if worst := r.Worst(); worst != doctor.OK {
		return exitCode(worst)
	}
	return nil
}

// printReport prints one line for each finding, or JSON.
func printReport(t *terminal, r *doctor.Report, asJSON bool) error {
	if asJSON {
		return printJSON(t, map[string]any{"worst": r.Worst(), "findings": r.Findings})
	}
	for _, f := range r.Findings {
		line := fmt.Sprintf("%-8s %-12s %s", f.Level, f.Check, f.Text)
		if f.Do != "" {
			line += "; " + f.Do
		}
		if _, err := fmt.Fprintln(t.out, line); err != nil {
			return err
		}
	}
	return nil
}

// workers returns how many processes that hash passwords a replica with these settings has at most.
func (c *doctorCmd) workers() int {
	if n := c.Serve.Tokens.HashWorkers; n > 0 {
		return n
	}
	return max(1, runtime.GOMAXPROCS(0)/2)
}

// directory examines the data directory and the disk that it is on.
func (c *doctorCmd) directory(r *doctor.Report, own *replicaStatus) {
	dir := c.Serve.Data
	if !r.Directory(dir) {
		return
	}
	if err := node.CheckDir(dir); err != nil {
		r.Bad("directory", "", "%v", err)
	}
	if path, err := replica.SocketPath(dir); err != nil {
		r.Bad("directory", "", "%s: %v", path, err)
	}
	m := c.Serve.mode()
	kept := m == standalone || m == clustered
	r.Disk(dir, kept)
	if !kept {
		r.Space(dir, 0)
		return
	}
	limit := int64(c.Serve.Cluster.LogMaxBytes)
	if own != nil && own.LogMaxBytes > 0 {
		limit = own.LogMaxBytes
	}
	r.Space(dir, limit+limit/8+events.SnapshotBytes(limit)-bytesIn(dir))
}

// bytesIn returns how much lies in a directory, as far as it can be seen.
func bytesIn(dir string) (sum int64) {
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return nil // it is gone, or not for this user
		}
		if info, err := e.Info(); err == nil {
			sum += info.Size()
		}
		return nil
	})
	return sum
}

// settings examines the settings, as far as they were given, and reports whether they were.
func (c *doctorCmd) settings(r *doctor.Report, own *replicaStatus) bool {
	const check = "settings"
	owner, err := natsd.ReadOwner(c.Serve.Data)
	m := c.Serve.mode()
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		r.Bad("directory", "restore it, or start with another --data directory", "%v", err)
		return false
	case err == nil && !owner.Standalone && m == standalone:
		r.Warn(check, "call doctor with the flags or in the environment of knell serve ("+owner.Start+")",
			"they were not given: no addresses, certificates and secrets were looked at")
		return false
	case err == nil && owner.Standalone && m != standalone:
		r.Bad(check, owner.Start, "%s holds the store of a standalone replica", c.Serve.Data)
	case err == nil && c.Serve.Name != "" && c.Serve.Name != owner.Server:
		r.Bad(check, "", "--name %s, but %s belongs to %s", c.Serve.Name, c.Serve.Data, owner.Server)
	}
	if c.Serve.Name == "" && err == nil {
		c.Serve.Name = owner.Server
	}
	if _, err := c.Serve.config(); err != nil {
		r.Bad(check, "", "%v", err)
		return true
	}
	if own == nil {
		r.OK(check, "consistent")
		return true
	}
	for _, s := range []struct{ flag, given, runs, unset string }{
		{"issuer", c.Serve.Tokens.Issuer, own.Issuer, defaultIssuer},
		{"audience", c.Serve.Tokens.Audience, own.Audience, defaultIssuer},
		{"lease", c.Serve.Cluster.Lease.String(), (time.Duration(own.LeaseLength) * time.Millisecond).String(), time.Duration(0).String()},
	} {
		if s.given != s.runs && s.given != s.unset {
			r.Warn(check, "start it again with what it should have", "--%s is %q, but the replica runs with %q", s.flag, s.given, s.runs)
		}
	}
	r.OK(check, "consistent")
	return true
}

// defaultIssuer is what --issuer and --audience are unless they are given.
const defaultIssuer = "knell"

// secrets examines the modes of the files with secrets.
func (c *doctorCmd) secrets(r *doctor.Report) {
	k, e := &c.Serve.Cluster, &c.Serve.External
	for _, f := range []struct{ flag, path string }{
		{"cluster-secret-file", k.ClusterSecretFile}, {"route-key", k.RouteKey}, {"nats-key", k.NatsKey}, {"tls-key", c.Serve.Edges.TLSKey},
		{"nats-creds", e.NatsCreds}, {"nats-nkey", e.NatsNkey}, {"nats-user-file", e.NatsUserFile},
	} {
		if f.path != "" {
			r.Secret(f.flag, f.path)
		}
	}
}

// certificates examines the certificates that the settings name.
func (c *doctorCmd) certificates(r *doctor.Report) {
	k := &c.Serve.Cluster
	var hosts []string
	for _, a := range k.Routes {
		hosts = append(hosts, host(a))
	}
	for _, p := range []doctor.Pair{
		{Flag: "route-cert", CertFile: k.RouteCert, KeyFile: k.RouteKey, CAFile: k.RouteCA, Hosts: hosts, Both: true},
		{Flag: "nats-cert", CertFile: k.NatsCert, KeyFile: k.NatsKey},
		{Flag: "tls-cert", CertFile: c.Serve.Edges.TLSCert, KeyFile: c.Serve.Edges.TLSKey},
	} {
		if p.CertFile != "" {
			r.Certificate(p)
		}
	}
	if c.Serve.External.NatsCreds != "" {
		examineCredentials(r, c.Serve.External.NatsCreds)
	}
	if k.RouteCA != "" {
		r.Authority("route-ca", k.RouteCA)
	}
	if c.Serve.External.NatsCA != "" {
		r.Authority("nats-ca", c.Serve.External.NatsCA)
	}
}

// examineCredentials examines the JWT in a file of credentials for NATS.
func examineCredentials(r *doctor.Report, file string) {
	data, err := os.ReadFile(file)
	var text string
	if err == nil {
		text, err = jwt.ParseDecoratedJWT(data)
	}
	var user *jwt.UserClaims
	if err == nil {
		user, err = jwt.DecodeUserClaims(text)
	}
	if err != nil {
		r.Bad("certificate", "", "--nats-creds %s: %v", file, err)
		return
	}
	var end time.Time // it has none
	if user.Expires != 0 {
		end = time.Unix(user.Expires, 0)
	}
	r.Ending("--nats-creds "+file, time.Unix(user.IssuedAt, 0), end)
}

// addresses examines whether a replica could listen where it is to.
func (c *doctorCmd) addresses(r *doctor.Report) {
	const check = "addresses"
	seen := map[string]string{}
	for _, l := range []struct {
		flag string
		at   address
	}{
		{"listen", c.Serve.Listen}, {"ext-authz-listen", c.Serve.Authz}, {"cluster-listen", c.Serve.Cluster.ClusterListen},
		{"join-listen", c.Serve.Cluster.JoinListen}, {"nats-listen", c.Serve.Cluster.NatsListen},
	} {
		if l.at == "" {
			continue
		}
		other := seen[host(l.at)+" "+port(l.at)]
		seen[host(l.at)+" "+port(l.at)] = l.flag
		if other != "" && port(l.at) != "0" {
			r.Bad(check, "give each its own", "--%s and --%s are both %s", other, l.flag, l.at)
			continue
		}
		if err := free(l.flag, l.at); err != nil {
			r.Bad(check, "", "%v", err)
			continue
		}
		n, _ := strconv.Atoi(port(l.at)) // it was parsed as a number
		r.Address(l.flag, string(l.at), n)
	}
}

// own asks the replica on the data directory and returns what it answers and its process: nil and 0 if it does not run, or does not
// answer yet, which is said.
func (c *doctorCmd) own(ctx context.Context, r *doctor.Report) (*replicaStatus, int) {
	const check = "replica"
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	a, err := online(ctx, c.Serve.Data)
	switch {
	case errors.Is(err, errNotRunning) && natsd.InUse(c.Serve.Data):
		r.Warn(check, "wait, and look at what it logs", "the replica on %s does not listen yet", c.Serve.Data)
		return nil, 0
	case errors.Is(err, errNotRunning):
		r.Warn(check, "start it", "none is running on %s", c.Serve.Data)
		return nil, 0
	case err != nil:
		r.Bad(check, "run doctor as the user that the replica runs as", "%v", err)
		return nil, 0
	}
	defer a.close()
	pid := processAt(ctx, c.Serve.Data)
	var s replicaStatus
	if err := a.probe(ctx, "/status", &s); err != nil {
		r.Warn(check, "wait, and look at what it logs", "%v", err)
		return nil, pid
	}
	var hooks struct {
		Webhooks []struct {
			Name   string `json:"name"`
			Paused *struct{ Cause, Text string }
		} `json:"webhooks"`
	}
	if err := a.call(ctx, "GET", "/webhooks", nil, &hooks); err != nil {
		r.Warn("webhooks", "", "%v", err)
	}
	for _, h := range hooks.Webhooks {
		if h.Paused != nil {
			r.Warn("webhooks", "knell webhook resume "+h.Name, "%s is paused: %s", h.Name, strings.TrimSpace(h.Paused.Cause+" "+h.Paused.Text))
		}
	}
	return &s, pid
}

// processAt returns the process that serves the socket of a data directory, 0 if that cannot be told.
func processAt(ctx context.Context, dir string) int {
	path, err := replica.SocketPath(dir)
	if err != nil {
		return 0
	}
	c, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return 0
	}
	defer c.Close()
	u, _ := c.(*net.UnixConn)
	return doctor.PeerPID(u)
}

// asker checks the targets and returns who asks them.
func (c *doctorCmd) asker() (*asker, error) {
	for _, target := range c.Targets {
		u, err := url.Parse(target)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
			return nil, usagef("--target %q: want http://host:port or https://host:port", target)
		}
	}
	if c.TargetCA == "" {
		return newAsker(nil), nil
	}
	pem, err := os.ReadFile(c.TargetCA)
	if err != nil {
		return nil, usagef("--target-ca: %w", err)
	}
	a := newAsker(pem)
	if a == nil {
		return nil, usagef("--target-ca %s: no certificate in it", c.TargetCA)
	}
	return a, nil
}
