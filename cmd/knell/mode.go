package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/knell-auth/knell/node"
)

// mode is where a replica keeps the log.
type mode int

const (
	standalone mode = iota // here, alone
	clustered              // here, with a copy on the others
	joined                 // on the peers of a cluster
	external               // on NATS servers that somebody else runs
)

// mode returns what the settings describe. Where they describe two things, check refuses the one that does not fit.
func (c *serveCmd) mode() mode {
	switch {
	case len(c.External.NatsURL) > 0:
		return external
	case len(c.Cluster.Join) > 0:
		return joined
	case c.Cluster.ClusterListen != "":
		return clustered
	}
	return standalone
}

// alone reports whether there is at most one server, so that nobody waits for an election.
func (c *serveCmd) alone() bool {
	return c.mode() == standalone || c.mode() == external && c.External.LogCopies == 1
}

// Lengths of a lease unless --lease says otherwise. nats-server replaces a leader in 4 to 9 s with its own timers.
const (
	defaultLease     = node.DefaultLease
	defaultLeaseSlow = 15 * time.Second
)

// lease returns the length of a lease.
func (c *serveCmd) lease() time.Duration {
	switch {
	case c.Cluster.Lease != 0:
		return c.Cluster.Lease
	case c.mode() == external || c.Cluster.FixedTimers:
		return defaultLeaseSlow
	}
	return defaultLease
}

// checkLease checks it against how long the log may be without a leader.
func (c *serveCmd) checkLease() error {
	least, why := minLease, "replicas have to go on answering while a new leader of the log is elected"
	switch {
	case c.alone():
		least, why = minLeaseAlone, "beats take time to be written"
	case c.Cluster.FixedTimers || c.mode() == external:
		least = minLeaseFixed
	}
	lease := c.lease()
	if lease > maxLease {
		return fmt.Errorf("--lease %v: want at most %v, or a logout would be given up before a lost replica's lease ends", lease, maxLease)
	}
	return unless(lease >= least, "--lease %v is too short: want at least %v, because %s", lease, least, why)
}

// setting is a flag, whether it was given, and in which modes it means something.
type setting struct {
	flag  string
	given bool
	modes []mode
	needs string // what it is for, and which flag it needs
}

// settings returns the flags that do not go with every mode.
func (c *serveCmd) settings() []setting {
	k, e := &c.Cluster, &c.External
	cluster := func(flag string, given bool, modes ...mode) setting {
		return setting{flag, given, append(modes, clustered), "is for clusters: it needs --cluster-listen"}
	}
	nats := func(flag string, given bool) setting {
		return setting{flag, given, []mode{external}, "is for NATS servers elsewhere: it needs --nats-url"}
	}
	here := []mode{standalone, clustered}
	return []setting{
		cluster("identity", k.Identity != "", joined, external), // first: it stands for others
		cluster("cluster-listen", k.ClusterListen != ""),
		cluster("routes", len(k.Routes) > 0),
		cluster("join-listen", k.JoinListen != ""),
		cluster("cluster-secret-file", k.ClusterSecretFile != "", joined),
		cluster("route-cert", k.RouteCert != "", joined),
		cluster("route-key", k.RouteKey != "", joined),
		cluster("route-ca", k.RouteCA != "", joined),
		{"join", len(k.Join) > 0, []mode{joined}, ""},
		{"replicas", k.Replicas != 0, here, ""},
		{"fixed-timers", k.FixedTimers, here, ""},
		{"nats-listen", k.NatsListen != "", append(here, joined), ""},
		{"nats-cert", k.NatsCert != "", append(here, joined, external), ""},
		{"nats-key", k.NatsKey != "", append(here, joined, external), ""},
		{"log-max-bytes", !k.LogMaxBytes.is(defaultLogMaxBytes), append(here, external), ""},
		nats("nats-creds", e.NatsCreds != ""),
		nats("nats-nkey", e.NatsNkey != ""),
		nats("nats-user-file", e.NatsUserFile != ""),
		nats("nats-ca", e.NatsCA != ""),
		nats("nats-sync-attested", e.NatsSyncAttested),
		nats("log-copies", e.LogCopies != 0),
	}
}

// checkMode names the first flag that does not go with the others.
func (c *serveCmd) checkMode() error {
	m := c.mode()
	for _, s := range c.settings() {
		switch {
		case !s.given || slices.Contains(s.modes, m):
		case m == external:
			return fmt.Errorf("--%s does not go with --nats-url: the log is on servers elsewhere", s.flag)
		case m == joined && !strings.Contains(s.needs, "--nats-url"):
			return fmt.Errorf("--%s does not go with --join: a replica that joins keeps no copy of the log", s.flag)
		default:
			return fmt.Errorf("--%s %s", s.flag, s.needs)
		}
	}
	return nil
}
