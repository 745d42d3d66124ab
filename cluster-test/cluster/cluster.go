// Package cluster runs real replicas of Knell as processes on this machine: on loopback, or each in a network namespace of
// its own so that its link to the others can be cut.
//
// It owns the processes, their data directories, certificates, namespaces and mounts, and removes all of them. It does not
// know what clients do (package traffic) nor when to disturb what (package fault).
package cluster

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/knell-auth/knell/cluster-test/disk"
	"github.com/knell-auth/knell/cluster-test/wire"
	"github.com/knell-auth/knell/internal/natsd"
)

// Config says what cluster to run.
type Config struct {
	Binary   string // path of knell; required
	Dir      string // for data, logs and certificates; required, must exist
	Replicas int    // that keep the log: 3 or 5; with External: that connect to the servers. 0: 3
	Joined   int    // replicas beyond them that join the cluster without a copy of the log
	External bool   // keep the log on three NATS servers of their own processes; on loopback only
	Lease    time.Duration
	Env      []string // beyond PATH and HOME
	// Namespaces puts each replica into a network namespace of its own, with mutual TLS on its routes. Only in a sandbox.
	Namespaces bool
	// DiskBytes gives each replica a file system of this size for its data. 0: the one that Dir is on. Only in a sandbox.
	DiskBytes int64
	// Forgetful puts the data of each replica on a disk that can lose what was not synced (package disk), of DiskBytes or
	// large enough for everything. Only in a sandbox.
	Forgetful bool
	Readers   bool     // open a door for those who read events over NATS at each replica; on loopback only
	Arguments []string // added to those of each replica
}

// Count returns how many replicas there are.
func (c Config) Count() int { return cmp.Or(c.Replicas, 3) + c.Joined }

// Cluster is a set of replicas with one log. Its methods are for one goroutine, those of its replicas for any.
type Cluster struct {
	Replicas []*Replica // those that joined come last
	Servers  []*Replica // NATS servers that keep the log; nil unless External
	cfg      Config
	places   []place
	net      *network // nil on loopback
}

// accessTTL is so long that no token expires in a run.
const accessTTL = "24h"

// New prepares a cluster. Nothing runs yet.
func New(cfg Config) (*Cluster, error) {
	cfg.Replicas = cfg.Count() - cfg.Joined
	c := &Cluster{cfg: cfg}
	if err := c.prepare(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *Cluster) prepare() error {
	switch {
	case c.cfg.External && (c.cfg.Namespaces || c.cfg.Joined > 0):
		return errors.New("cluster: external servers are for replicas on loopback, and nobody joins them")
	case c.cfg.Readers && (c.cfg.Namespaces || c.cfg.External):
		return errors.New("cluster: readers of events come to replicas on loopback")
	}
	if err := c.findPlaces(); err != nil {
		return err
	}
	common := []string{"--log-level", "debug", "--access-ttl", accessTTL, "--password-grant"} // replicas say who leads and what went before a failure
	if c.cfg.Lease > 0 {
		common = append(common, "--lease", c.cfg.Lease.String())
	}
	shared, err := c.shared()
	if err != nil {
		return err
	}
	for i, p := range c.places {
		r := c.process(fmt.Sprintf("r%d", i), c.cfg.Binary, p.enter)
		r.URL, r.lease = "http://"+p.http, c.cfg.Lease
		r.args = slices.Concat([]string{"serve", "--name", r.Name, "--data", r.Data, "--listen", p.http}, common, shared, c.own(i, p), c.cfg.Arguments)
		if c.cfg.Readers {
			r.NATS = "nats://" + p.nats
			r.args = append(r.args, "--nats-listen", p.nats)
		}
		if err := os.MkdirAll(r.Data, 0o700); err != nil {
			return err
		}
		if c.net != nil {
			args, err := c.net.certificate(filepath.Join(c.cfg.Dir, r.Name+"-tls"), p.route)
			if err != nil {
				return err
			}
			r.args = append(r.args, args...)
		}
		c.Replicas = append(c.Replicas, r)
		if err := c.provide(r); err != nil {
			return err
		}
	}
	return nil
}

// largeDisk is the size of a forgetful disk that never fills up.
const largeDisk = 1 << 40

// provide mounts the disk of a replica when it is to have one of its own.
func (c *Cluster) provide(r *Replica) error {
	switch {
	case c.cfg.Forgetful:
		if !Sandboxed() {
			return errors.New("cluster: disks are mounted in a sandbox only")
		}
		d := disk.New(cmp.Or(c.cfg.DiskBytes, largeDisk))
		if err := d.Mount(r.Data); err != nil {
			return err
		}
		r.Disk = d
	case c.cfg.DiskBytes > 0:
		if err := mountDisk(r.Data, c.cfg.DiskBytes); err != nil {
			return err
		}
		r.mounted = true
	}
	return nil
}

// Lacks returns which device a sandbox on this machine lacks for a cluster of this configuration, nil when it lacks none.
func (c Config) Lacks() error {
	if c.Namespaces {
		if err := wire.Supported(); err != nil {
			return fmt.Errorf("%s: %w", wire.Device, err)
		}
	}
	if c.Forgetful {
		if err := disk.Supported(); err != nil {
			return fmt.Errorf("%s: %w", disk.Device, err)
		}
	}
	return nil
}

// process returns a process that has not been started, with a directory and a log file of its name.
func (c *Cluster) process(name, binary string, enter []string) *Replica {
	data := filepath.Join(c.cfg.Dir, name)
	return &Replica{Name: name, Data: data, logFile: data + ".log", binary: binary, enter: enter,
		env: append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.cfg.Dir}, c.cfg.Env...)}
}

// shared returns the arguments that say where the log is, and makes what they name.
func (c *Cluster) shared() ([]string, error) {
	if c.cfg.External {
		return c.servers()
	}
	secret := filepath.Join(c.cfg.Dir, "secret")
	if err := os.WriteFile(secret, []byte(rand.Text()), 0o600); err != nil {
		return nil, err
	}
	return []string{"--cluster-name", "proof", "--cluster-secret-file", secret}, nil
}

// own returns the arguments that place replica i among the others.
func (c *Cluster) own(i int, p place) []string {
	var routes, joins []string
	for _, peer := range c.peers() {
		routes, joins = append(routes, peer.route), append(joins, peer.join)
	}
	switch {
	case c.cfg.External:
		return nil
	case i >= c.cfg.Replicas:
		return []string{"--join", strings.Join(joins, ",")}
	}
	args := []string{"--cluster-listen", p.route, "--routes", strings.Join(routes, ","), "--replicas", fmt.Sprint(c.cfg.Replicas)}
	if c.cfg.Joined > 0 {
		args = append(args, "--join-listen", p.join)
	}
	return args
}

// place is where a replica listens and how its namespace is entered.
type place struct {
	http, route, join, nats string
	enter                   []string // command that runs another one there; nil: none needed
}

func (c *Cluster) findPlaces() error {
	n := c.cfg.Count()
	if c.cfg.Namespaces {
		var err error
		if c.net, err = newNetwork(n); err == nil {
			c.places = c.net.places
		}
		return err
	}
	const each = 4
	ports, err := natsd.LoopbackRoutes(each * n)
	for i := 0; i < len(ports); i += each {
		c.places = append(c.places, place{http: ports[i], route: ports[i+1], join: ports[i+2], nats: ports[i+3]})
	}
	return err
}

// peers returns the places of those that keep a copy of the log.
func (c *Cluster) peers() []place { return c.places[:c.cfg.Replicas] }

// Start starts the servers, if there are any, and then all replicas, and waits until each is ready.
func (c *Cluster) Start(ctx context.Context) error {
	for _, s := range c.Servers {
		if err := s.Start(); err != nil {
			return err
		}
	}
	for _, s := range c.Servers {
		if err := s.WaitReady(ctx); err != nil {
			return err
		}
	}
	for _, r := range c.Replicas {
		if err := r.Start(); err != nil {
			return err
		}
	}
	return c.WaitReady(ctx)
}

// WaitReady waits until every replica is ready. The error says which one is not, with the end of its log.
func (c *Cluster) WaitReady(ctx context.Context) error {
	for _, r := range c.Replicas {
		if err := r.WaitReady(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Targets returns the base URLs of the replicas.
func (c *Cluster) Targets() []string {
	var urls []string
	for _, r := range c.Replicas {
		urls = append(urls, r.URL)
	}
	return urls
}

// AddUser creates a user at the first replica.
func (c *Cluster) AddUser(ctx context.Context, name, password string) error {
	file := filepath.Join(c.cfg.Dir, "password")
	if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
		return err
	}
	defer os.Remove(file)
	return c.Replicas[0].Run(ctx, "user", "add", name, "--data", c.Replicas[0].Data, "--password-file", file)
}

// Leader returns the number of the replica that began last to lead the log, with External that of the server; -1 when none
// ever did.
func (c *Cluster) Leader() int {
	leader, since := -1, time.Time{}
	all := c.Replicas
	if c.cfg.External {
		all = c.Servers
	}
	for i, r := range all {
		if at := r.led(); at.After(since) {
			leader, since = i, at
		}
	}
	return leader
}

// accusation is what a replica says that finds something in its own name or in another's that was not appended there. With
// directories that are nobody else's that is never so, whatever a replica was killed between.
var accusation = regexp.MustCompile(`(?m)^.*(somebody else appends|not signed by|joins under the name).*$`)

// Accusations returns the lines in the replicas' logs that say of somebody that he appends in another's name.
func (c *Cluster) Accusations() (lines []string) {
	for _, r := range c.Replicas {
		if data, err := os.ReadFile(r.logFile); err == nil {
			for _, line := range accusation.FindAll(data, -1) {
				lines = append(lines, string(line))
			}
		}
	}
	return lines
}

// Elections returns how often a replica, with External a server, began to lead the log.
func (c *Cluster) Elections() int {
	n := 0
	for _, r := range slices.Concat(c.Replicas, c.Servers) {
		if data, err := os.ReadFile(r.logFile); err == nil {
			n += len(leaderLine.FindAll(data, -1))
		}
	}
	return n
}

// Attached returns the number of the replica to which replica i, which joined, attached last; -1 when it never did.
func (c *Cluster) Attached(i int) int {
	addr := c.Replicas[i].attachedTo()
	return slices.IndexFunc(c.peers(), func(p place) bool { return p.join == addr })
}

// Link makes what one replica sends another follow a rule. Clients reach both as before. Only with Namespaces.
func (c *Cluster) Link(from, to int, r wire.Rule) { c.net.routes.Set(from, to, r) }

// Links makes what all others send replica i follow one rule, and what it sends them another.
func (c *Cluster) Links(i int, to, from wire.Rule) {
	for other := range c.Replicas {
		if other != i {
			c.Link(other, i, to)
			c.Link(i, other, from)
		}
	}
}

// Close ends all processes and removes namespaces and mounts. Data and logs stay.
func (c *Cluster) Close() error {
	var errs []error
	for _, r := range slices.Concat(c.Replicas, c.Servers) {
		errs = append(errs, r.close())
	}
	if c.net != nil {
		errs = append(errs, c.net.close())
	}
	return errors.Join(errs...)
}
