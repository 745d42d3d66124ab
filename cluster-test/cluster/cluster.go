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
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/knell-auth/knell/cluster-test/disk"
	"github.com/knell-auth/knell/cluster-test/wire"
)

// Config says what cluster to run.
type Config struct {
	Binary   string // path of knell; required
	Dir      string // for data, logs and certificates; required, must exist
	Replicas int    // 0: 3
	Lease    time.Duration
	Env      []string // beyond PATH and HOME
	// Namespaces puts each replica into a network namespace of its own, with mutual TLS on its routes. Only in a sandbox.
	Namespaces bool
	// DiskBytes gives each replica a file system of this size for its data. 0: the one that Dir is on. Only in a sandbox.
	DiskBytes int64
	// Forgetful puts the data of each replica on a disk that can lose what was not synced (package disk), of DiskBytes or
	// large enough for everything. Only in a sandbox.
	Forgetful bool
	Arguments []string // added to those of each replica
}

// Cluster is a set of replicas with one log. Its methods are for one goroutine, those of its replicas for any.
type Cluster struct {
	Replicas []*Replica
	cfg      Config
	net      *network // nil on loopback
}

// accessTTL is so long that no token expires in a run.
const accessTTL = "24h"

// New prepares a cluster. Nothing runs yet.
func New(cfg Config) (*Cluster, error) {
	if cfg.Replicas == 0 {
		cfg.Replicas = 3
	}
	c := &Cluster{cfg: cfg}
	if err := c.prepare(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *Cluster) prepare() error {
	places, err := c.places()
	if err != nil {
		return err
	}
	var routes []string
	for _, p := range places {
		routes = append(routes, p.route)
	}
	// At this log level the replicas say who leads the log, and what went before a failure.
	common := []string{"--log-level", "debug", "--cluster-name", "proof", "--routes", strings.Join(routes, ","), "--access-ttl", accessTTL}
	if c.cfg.Lease > 0 {
		common = append(common, "--lease", c.cfg.Lease.String())
	}
	secret := filepath.Join(c.cfg.Dir, "secret")
	if err := os.WriteFile(secret, []byte(rand.Text()), 0o600); err != nil {
		return err
	}
	common = append(append(common, "--cluster-secret-file", secret), c.cfg.Arguments...)
	for i, p := range places {
		r := &Replica{
			Name: fmt.Sprintf("r%d", i), URL: "http://" + p.http, Data: filepath.Join(c.cfg.Dir, fmt.Sprintf("r%d", i)),
			lease: c.cfg.Lease, binary: c.cfg.Binary, enter: p.enter, env: append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.cfg.Dir}, c.cfg.Env...),
		}
		r.logFile = r.Data + ".log"
		r.args = append([]string{
			"serve", "--name", r.Name, "--data", r.Data, "--listen", p.http, "--cluster-listen", p.route,
		}, common...)
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

// place is where a replica listens and how its namespace is entered.
type place struct {
	http, route string
	enter       []string // command that runs another one there; nil: none needed
}

func (c *Cluster) places() ([]place, error) {
	if c.cfg.Namespaces {
		var err error
		if c.net, err = newNetwork(c.cfg.Replicas); err != nil {
			return nil, err
		}
		return c.net.places, nil
	}
	ports, err := freePorts(2 * c.cfg.Replicas)
	if err != nil {
		return nil, err
	}
	var all []place
	for i := range c.cfg.Replicas {
		all = append(all, place{http: ports[2*i], route: ports[2*i+1]})
	}
	return all, nil
}

// freePorts returns n addresses on loopback where nobody listens now.
func freePorts(n int) ([]string, error) {
	var addrs []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // after all have been found, so that they differ
		addrs = append(addrs, l.Addr().String())
	}
	return addrs, nil
}

// Start starts all replicas and waits until each is ready.
func (c *Cluster) Start(ctx context.Context) error {
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

// Leader returns the number of the replica that began last to lead the log, -1 when none ever did.
func (c *Cluster) Leader() int {
	leader, since := -1, time.Time{}
	for i, r := range c.Replicas {
		if at := r.led(); at.After(since) {
			leader, since = i, at
		}
	}
	return leader
}

// Elections returns how often a replica began to lead the log.
func (c *Cluster) Elections() int {
	n := 0
	for _, r := range c.Replicas {
		if data, err := os.ReadFile(r.logFile); err == nil {
			n += len(leaderLine.FindAll(data, -1))
		}
	}
	return n
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
	for _, r := range c.Replicas {
		errs = append(errs, r.close())
	}
	if c.net != nil {
		errs = append(errs, c.net.close())
	}
	return errors.Join(errs...)
}
