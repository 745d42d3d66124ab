package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/knell-auth/knell/httpapi"
	"github.com/knell-auth/knell/internal/fence"
	"github.com/knell-auth/knell/internal/natsd"
	"github.com/knell-auth/knell/internal/password"
	"github.com/knell-auth/knell/internal/replica"
	"github.com/knell-auth/knell/node"
)

// standaloneName is the name of a replica that is alone.
const standaloneName = "knell"

// Bounds of --lease. A lease must outlast the election of a stream leader, or every replica refuses whenever a leader
// dies: 1.0 to 1.8 s with our timers, up to 3.0 s when a vote is split; 9 s with those of nats-server. The upper bound leaves a logout time
// to outwait a lost replica's lease before it is given up (httpapi.Config.LogoutWait, 30 s).
const (
	minLeaseAlone = 500 * time.Millisecond
	minLease      = 3 * time.Second
	minLeaseFixed = 12 * time.Second
	maxLease      = 25 * time.Second
)

// minLog is the smallest log that is worth a start, in bytes: beats alone take 13 MB a day.
const minLog = 64 << 20

// minRetain is how long events are kept at least, if they are not kept for ever.
const minRetain = time.Hour

var namePattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)

// config checks the settings without touching anything but the files they name, and returns what they ask for. All its
// errors are usageErrors.
func (c *serveCmd) config() (replica.Config, error) {
	m := c.mode()
	if c.Name == "" {
		c.Name = defaultName(m)
	}
	if err := firstError(c.takeIdentity(m)); err != nil {
		return replica.Config{}, err
	}
	checks := append(append(c.checkNames(), c.Tokens.check()...), c.checkMode())
	checks = append(append(append(checks, c.Limits.check()...), c.Edges.check()...), c.Webhooks.check())
	checks = append(append(append(checks, c.Cluster.check(m)...), c.External.check(&c.Cluster)...), c.checkLease())
	checks = append(checks, c.Seen.check(c)...)
	if err := firstError(checks...); err != nil {
		return replica.Config{}, err
	}
	if err := refuseDevData(c.Data); err != nil {
		return replica.Config{}, err
	}
	broken, err := mutation()
	if err != nil {
		return replica.Config{}, err
	}
	cfg := replica.Config{
		Name: c.Name, Dir: c.Data, Drain: c.Drain,
		NATS: natsd.Config{
			FixedTimers: c.Cluster.FixedTimers, NoSync: broken&fence.NoSync != 0,
		},
		Copies:      c.Cluster.copies(m),
		LogMaxBytes: int64(c.Cluster.LogMaxBytes),
		Node:        c.Tokens.node(),
		HTTP:        httpapi.Config{Sync: c.External.sync(), PasswordGrant: c.Tokens.PasswordGrant, AccessLog: c.Seen.AccessLog},
		Tracing:     c.Seen.tracing(),
	}
	cfg.Node.Retention.Age = time.Duration(c.Cluster.Retain)
	if err := oftener(&cfg.Node.Retention); err != nil {
		return replica.Config{}, err
	}
	cfg.Node.Limits, cfg.HTTP.Origins = c.Limits.limits(), c.Edges.CORSOrigin
	cfg.Node.Limits.Webhooks, cfg.Node.Recording = c.Webhooks.webhooks(), c.Privacy.recording()
	if c.Edges.TLSCert != "" {
		cfg.TLS = &replica.TLS{CertFile: c.Edges.TLSCert, KeyFile: c.Edges.TLSKey}
	}
	if c.Cluster.NatsListen != "" && c.Cluster.NatsCert != "" {
		cfg.ReadersTLS = &replica.TLS{CertFile: c.Cluster.NatsCert, KeyFile: c.Cluster.NatsKey}
	}
	cfg.Node.Lease, cfg.Node.Version, cfg.Node.Break = c.lease(), version(), broken
	for _, n := range c.Tokens.TrustedProxies {
		cfg.HTTP.TrustedProxies = append(cfg.HTTP.TrustedProxies, netip.Prefix(n))
	}
	switch m {
	case clustered:
		cfg.NATS.Cluster, err = c.Cluster.cluster()
	case joined:
		cfg.NATS.Join, err = c.Cluster.join(cfg.Node.Lease)
	case external:
		cfg.Copies = c.External.copies()
		cfg.External, err = c.External.config(&c.Cluster)
	}
	return cfg, err
}

// defaultName returns the name of a replica that was given none. Of those that join there are as many as the load asks for, all started by one
// line, each on a machine or in a container with a name of its own; a name that cannot be a replica's is none.
func defaultName(m mode) string {
	switch m {
	case standalone:
		return standaloneName
	case joined:
		host, _ := os.Hostname()
		host, _, _ = strings.Cut(strings.ToLower(host), ".")
		if namePattern.MatchString(host) {
			return host
		}
	}
	return ""
}

func (c *serveCmd) checkNames() []error {
	return []error{
		unless(c.Name != "", "--name is required unless the replica is alone: a stable name that no other replica has"),
		unless(namePattern.MatchString(c.Name), "--name %q: want %s", c.Name, nameRule),
		unless(c.Drain >= 0 && c.Drain <= time.Minute, "--drain %v: want 0 to 1m", c.Drain),
	}
}

func (f *tokenFlags) check() []error {
	return []error{
		unless(f.Issuer != "" && f.Issuer == strings.TrimSpace(f.Issuer), "--issuer %q: want a name or a URL", f.Issuer),
		unless(f.Audience != "" && f.Audience == strings.TrimSpace(f.Audience), "--audience %q: want a name or a URL", f.Audience),
		unless(f.AccessTTL >= 10*time.Second && f.AccessTTL <= 24*time.Hour, "--access-ttl %v: want 10s to 24h", f.AccessTTL),
		unless(f.RefreshIdle >= f.AccessTTL, "--refresh-idle %v is shorter than --access-ttl %v", f.RefreshIdle, f.AccessTTL),
		unless(f.SessionTTL >= f.AccessTTL, "--session-ttl %v is shorter than --access-ttl %v", f.SessionTTL, f.AccessTTL),
		unless(f.SessionTTL <= 5*365*24*time.Hour, "--session-ttl %v: want at most 5 years", f.SessionTTL),
		unless(f.RememberIdle == 0 || f.RememberIdle >= f.RefreshIdle, "--remember-idle %v is shorter than --refresh-idle %v", f.RememberIdle, f.RefreshIdle),
		unless(f.RememberTTL == 0 || f.RememberTTL >= f.SessionTTL, "--remember-ttl %v is shorter than --session-ttl %v", f.RememberTTL, f.SessionTTL),
		unless(f.RememberTTL <= 5*365*24*time.Hour, "--remember-ttl %v: want at most 5 years", f.RememberTTL),
		unless(f.Grace >= 0 && f.Grace <= 5*time.Minute, "--grace %v: want 0 to 5m", f.Grace),
		unless(f.HashWorkers >= 0 && f.HashWorkers <= 1024, "--hash-workers %d: want 0 to 1024", f.HashWorkers),
	}
}

// node returns the settings of package node.
func (f *tokenFlags) node() node.Config {
	cfg := node.Config{
		Issuer: f.Issuer, Audience: f.Audience, Alg: f.SigningAlg, Basic: f.Basic,
		AccessTTL: f.AccessTTL, RefreshIdle: f.RefreshIdle, SessionTTL: f.SessionTTL, Grace: f.Grace,
		Remembered: node.Remembered{Idle: f.RememberIdle, TTL: f.RememberTTL},
		Password:   password.Config{Workers: f.HashWorkers, Params: hashParams},
	}
	if f.Grace == 0 { // there, zero is the default
		cfg.Grace = -1
	}
	return cfg
}

func (f *clusterFlags) check(m mode) []error {
	return []error{
		unless(namePattern.MatchString(f.ClusterName), "--cluster-name %q: want %s", f.ClusterName, nameRule),
		f.checkRoutes(m),
		f.checkTLS(),
		unless(slices.Contains([]int{0, 1, 3, 5}, f.Replicas), "--replicas %d: want 1, 3 or 5", f.Replicas),
		unless(m != clustered || f.Replicas != 1, "--replicas 1: a cluster keeps at least 3 copies"),
		unless(m == clustered || f.Replicas <= 1, "--replicas %d needs a cluster: --cluster-listen and --routes", f.Replicas),
		unless(m != clustered || f.Replicas <= len(f.Routes), "--replicas %d: --routes names only %d replicas", f.Replicas, len(f.Routes)),
		unless(f.LogMaxBytes >= minLog, "--log-max-bytes %d: want at least 64MiB", f.LogMaxBytes),
		unless(f.Retain == 0 || time.Duration(f.Retain) >= minRetain, "--retain %v: want 1h or more, or forever", time.Duration(f.Retain)),
	}
}

// checkRoutes checks the addresses between replicas.
func (f *clusterFlags) checkRoutes(m mode) error {
	if m != clustered && m != joined {
		return nil
	}
	if m == clustered && len(f.Routes) < 3 {
		return errors.New("--routes: name the cluster addresses of all replicas, this one included, at least three: host:port,host:port,host:port")
	}
	if m == clustered {
		if err := checkRouteList(f.ClusterListen, f.Routes); err != nil {
			return err
		}
	}
	tls := f.RouteCert != "" && f.RouteKey != "" && f.RouteCA != ""
	for _, a := range slices.Concat([]address{f.ClusterListen, f.JoinListen}, f.Routes, f.Join) {
		if a != "" && !a.loopback() && !tls {
			return fmt.Errorf("%s is not on loopback: connections between replicas need --identity, or --route-cert, --route-key and --route-ca", a)
		}
	}
	if f.ClusterSecretFile == "" && !tls {
		return errors.New("--identity, or --cluster-secret-file is required without --route-cert: any local user could join the cluster")
	}
	return nil
}

// checkTLS checks that certificates are complete and can be read.
func (f *clusterFlags) checkTLS() error {
	if some := f.RouteCert + f.RouteKey + f.RouteCA; some != "" && (f.RouteCert == "" || f.RouteKey == "" || f.RouteCA == "") {
		return errors.New("--route-cert, --route-key and --route-ca belong together")
	}
	if (f.NatsCert == "") != (f.NatsKey == "") {
		return errors.New("--nats-cert and --nats-key belong together")
	}
	if f.NatsListen != "" && !f.NatsListen.loopback() && f.NatsCert == "" {
		return fmt.Errorf("--nats-listen %s is not on loopback: it needs --nats-cert and --nats-key", f.NatsListen)
	}
	for _, file := range []struct{ flag, path string }{
		{"route-cert", f.RouteCert}, {"route-key", f.RouteKey}, {"route-ca", f.RouteCA}, {"nats-cert", f.NatsCert}, {"nats-key", f.NatsKey},
	} {
		if file.path == "" {
			continue
		}
		if _, err := os.ReadFile(file.path); err != nil {
			return fmt.Errorf("--%s: %w", file.flag, err)
		}
	}
	return nil
}

// copies returns how many copies of the log there are.
func (f *clusterFlags) copies(m mode) int {
	switch {
	case f.Replicas != 0:
		return f.Replicas
	case m == clustered:
		return 3
	}
	return 1
}

// cluster returns the cluster's settings.
func (f *clusterFlags) cluster() (*natsd.Cluster, error) {
	return &natsd.Cluster{
		Name: f.ClusterName, Listen: string(f.ClusterListen), Routes: toStrings(f.Routes), JoinListen: string(f.JoinListen),
		SecretFile: f.ClusterSecretFile, CertFile: f.RouteCert, KeyFile: f.RouteKey, CAFile: f.RouteCA,
	}, f.checkSecret()
}

// join returns the settings of a replica that joins. A peer that has been silent for half a lease is left while there is
// time to get the next lease from another one.
func (f *clusterFlags) join(lease time.Duration) (*natsd.Join, error) {
	return &natsd.Join{
		Name: f.ClusterName, Servers: toStrings(f.Join), Silence: lease / 2,
		SecretFile: f.ClusterSecretFile, CertFile: f.RouteCert, KeyFile: f.RouteKey, CAFile: f.RouteCA,
	}, f.checkSecret()
}

// checkSecret checks what the secret's file holds.
func (f *clusterFlags) checkSecret() error {
	if f.ClusterSecretFile == "" {
		return nil
	}
	data, err := os.ReadFile(f.ClusterSecretFile)
	if err != nil {
		return usagef("--cluster-secret-file: %w", err)
	}
	if err := natsd.CheckSecrets(data); err != nil {
		return usagef("--cluster-secret-file %s: %w", f.ClusterSecretFile, err)
	}
	return nil
}

// toStrings returns the addresses as strings.
func toStrings(list []address) []string {
	s := make([]string, len(list))
	for i, a := range list {
		s[i] = string(a)
	}
	return s
}
