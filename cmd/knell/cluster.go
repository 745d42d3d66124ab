package main

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/knell-auth/knell/internal/identity"
	"github.com/knell-auth/knell/internal/natsd"
)

// clusterCmd makes clusters and changes of whom they consist. What makes identities works on files and talks to no replica.
type clusterCmd struct {
	Init   clusterInitCmd   `cmd:"" help:"Make an authority, and for each replica a directory that knell serve --identity takes."`
	Add    clusterAddCmd    `cmd:"" help:"Make the directory of a further replica."`
	Renew  clusterRenewCmd  `cmd:"" help:"Make new certificates; with --new-ca and --new-secret also what they rest on, the old ones staying good."`
	Finish clusterFinishCmd `cmd:"" help:"After a change of authority or secrets has arrived everywhere: let the old ones be good no more."`
	Revoke clusterRevokeCmd `cmd:"" help:"Take an identity away: everybody else gets a new authority, secrets and certificates."`
	Show   clusterShowCmd   `cmd:"" help:"Show who is in the cluster, and until when certificates last."`
	Adopt  clusterAdoptCmd  `cmd:"" help:"Make a cluster of a standalone store: sessions and tokens go on. No replica may be running on it."`
	Remove clusterRemoveCmd `cmd:"" help:"Take a replica that is gone for good out of the cluster, so that it does not count for the majority any more."`
}

// clusterDir names the operator's directory.
type clusterDir struct {
	Dir string `arg:"" type:"path" help:"Directory with all identities of the cluster. Who can read it can be any replica: keep it off the replicas' machines."`
}

// open returns what knell cluster init made there.
func (d *clusterDir) open() (*identity.Store, error) {
	s, err := identity.Open(d.Dir, natsConfig)
	if err != nil {
		return nil, usageError{err}
	}
	return s, nil
}

// member is NAME or NAME=host:port.
type member identity.Member

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *member) UnmarshalText(text []byte) error {
	var given bool
	if m.Name, m.Address, given = strings.Cut(string(text), "="); m.Name == "" || given && m.Address == "" {
		return fmt.Errorf("%q: want NAME=host:port, or NAME of who only dials", text)
	}
	return nil
}

// members returns the list as package identity has it; port is for addresses that have none.
func members(list []member, port string) []identity.Member {
	out := make([]identity.Member, len(list))
	for i, m := range list {
		if m.Address != "" && port != "" {
			if _, _, err := net.SplitHostPort(m.Address); err != nil {
				m.Address = net.JoinHostPort(strings.Trim(m.Address, "[]"), port)
			}
		}
		out[i] = identity.Member(m)
	}
	return out
}

// natsPort is where NATS servers take clients.
const natsPort = "4222"

// natsConfig returns the configuration of one of the NATS servers.
func natsConfig(c *identity.Cluster, server string) string { return natsServers(c).Config(server) }

// natsServers returns them as package natsd has them.
func natsServers(c *identity.Cluster) *natsd.Servers {
	s := &natsd.Servers{Name: c.Name, Trim: c.Trim}
	for _, m := range c.Servers {
		s.Servers = append(s.Servers, natsd.ExternalServer{Name: m.Name, Address: m.Address})
	}
	for _, m := range c.Replicas {
		s.Replicas = append(s.Replicas, natsd.ExternalReplica{Name: m.Name, Keys: m.Keys})
	}
	return s
}

type clusterInitCmd struct {
	clusterDir `embed:""`
	Name       string   `default:"knell" help:"Name of the cluster; what replicas get as --cluster-name."`
	Replica    []member `placeholder:"NAME=HOST:PORT" help:"A replica with a copy of the log, and the address of its routes: at least three. With --external: NAME alone."`
	Joined     []member `placeholder:"NAME" help:"A replica that joins without a copy of the log."`
	External   bool     `help:"The log is on NATS servers that you run: make their certificates and configurations as well."`
	Server     []member `placeholder:"NAME=HOST[:PORT]" help:"With --external: a NATS server, and where replicas reach it: one, or at least three."`
	Trim       bool     `help:"With --external: let the replicas remove what is older than --retain from the log. They need a right for it that can do harm."`
	Days       int      `default:"365" help:"How long certificates last."`
	Keep       bool     `help:"When the directory is there already, with these members: leave it as it is. For what runs at each start."`
}

// Run makes the directory and says what to do with it.
func (c *clusterInitCmd) Run(t *terminal) error {
	if c.External != (len(c.Server) > 0) {
		return usagef("--external and --server belong together")
	}
	if c.Trim && !c.External {
		return usagef("--trim is for --external: other replicas trim their log anyway")
	}
	want := identity.Cluster{
		Name: c.Name, Days: c.Days, Replicas: members(c.Replica, ""), Joined: members(c.Joined, ""), Servers: members(c.Server, natsPort),
		Trim: c.Trim,
	}
	if _, err := os.Stat(c.Dir); c.Keep && err == nil {
		return c.kept(t, &want)
	}
	if err := natsServers(&want).Check(); err != nil {
		return usageError{err}
	}
	s, err := identity.Init(c.Dir, want, natsConfig)
	if err != nil {
		return usageError{err}
	}
	p := guide{t, c.Dir, &s.Cluster}
	p.printf("made %s, with a directory for each of %d; keep %s/ca where no replica runs\n", c.Dir, len(s.Replicas)+len(s.Joined)+len(s.Servers), c.Dir)
	p.start(s.Replicas, s.Joined, s.Servers)
	return nil
}

// kept fails unless the directory has these members: what was asked for would not be what there is.
func (c *clusterInitCmd) kept(t *terminal, want *identity.Cluster) error {
	s, err := c.open()
	if err != nil {
		return err
	}
	same := func(a, b []identity.Member) bool {
		return slices.EqualFunc(a, b, func(a, b identity.Member) bool { return a.Name == b.Name && a.Address == b.Address })
	}
	if s.Name != want.Name || !same(s.Replicas, want.Replicas) || !same(s.Joined, want.Joined) || !same(s.Servers, want.Servers) {
		return usagef("%s has other members: knell cluster show says which, add and revoke change them", c.Dir)
	}
	if s.Trim != want.Trim {
		return usagef("%s was made with another --trim: make a new one", c.Dir)
	}
	_, err = fmt.Fprintf(t.out, "%s is there already\n", c.Dir)
	return err
}

type clusterAddCmd struct {
	clusterDir `embed:""`
	Replica    []member `placeholder:"NAME=HOST:PORT" help:"A replica with a copy of the log. With NATS servers elsewhere: NAME alone."`
	Joined     []member `placeholder:"NAME" help:"A replica that joins without a copy of the log."`
}

// Run makes the directories.
func (c *clusterAddCmd) Run(t *terminal) error {
	s, err := c.open()
	if err != nil {
		return err
	}
	added, joined := members(c.Replica, ""), members(c.Joined, "")
	if err := s.Add(added, joined); err != nil {
		return usageError{err}
	}
	p := guide{t, c.Dir, &s.Cluster}
	switch {
	case s.External():
		p.reloadServers()
	case len(added) > 0:
		p.printf("the others have to know the new address: start each of them again, one after the other, with\n  --routes %s\n", p.routes())
	}
	p.start(added, joined, nil)
	return nil
}

type clusterRenewCmd struct {
	clusterDir `embed:""`
	Names      []string `arg:"" optional:"" help:"Whose certificates. Default: all."`
	NewCA      bool     `name:"new-ca" help:"Make a new authority, too. The old one stays good until knell cluster finish."`
	NewSecret  bool     `help:"Make a new cluster secret, or new NKeys, too. The old ones stay good until knell cluster finish."`
}

// Run makes new certificates.
func (c *clusterRenewCmd) Run(t *terminal) error {
	s, err := c.open()
	if err != nil {
		return err
	}
	secret := c.NewSecret || s.Pending != nil && s.Pending.Secrets
	if err := s.Renew(c.Names, c.NewCA, c.NewSecret); err != nil {
		return usageError{err}
	}
	p := guide{t, c.Dir, &s.Cluster}
	p.renewed(secret)
	return nil
}

type clusterFinishCmd struct {
	clusterDir `embed:""`
}

// Run ends the overlap.
func (c *clusterFinishCmd) Run(t *terminal) error {
	s, err := c.open()
	if err != nil {
		return err
	}
	if err := s.Finish(); err != nil {
		return usageError{err}
	}
	p := guide{t, c.Dir, &s.Cluster}
	p.finished()
	return nil
}

type clusterRevokeCmd struct {
	clusterDir `embed:""`
	Name       string `arg:"" help:"Whose identity."`
}

// Run takes the identity away.
func (c *clusterRevokeCmd) Run(t *terminal) error {
	s, err := c.open()
	if err != nil {
		return err
	}
	if err := s.Revoke(c.Name); err != nil {
		return usageError{err}
	}
	p := guide{t, c.Dir, &s.Cluster}
	p.printf("what %s has is good until the last step is done; be quick\n", c.Name)
	if !s.External() {
		p.printf("from their next start on, replicas that keep the log get --routes %s\n", p.routes())
	}
	p.renewed(true)
	return nil
}

type clusterShowCmd struct {
	clusterDir `embed:""`
}

// Run prints who is in the cluster.
func (c *clusterShowCmd) Run(t *terminal) error {
	s, err := c.open()
	if err != nil {
		return err
	}
	if s.Pending != nil {
		fmt.Fprint(t.out, "the last change was not made to its end: knell cluster renew\n")
	} else if s.Changing {
		fmt.Fprint(t.out, "the last change is not finished: knell cluster finish\n")
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tWHAT\tADDRESS\tCERTIFICATE UNTIL")
	for _, part := range []struct {
		what string
		list []identity.Member
	}{{"replica", s.Replicas}, {"joined", s.Joined}, {"NATS server", s.Servers}} {
		for _, m := range part.list {
			until := "unknown"
			if end, err := s.Expires(m.Name); err == nil {
				until = end.UTC().Format(time.DateOnly)
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", m.Name, part.what, m.Address, until)
		}
	}
	return w.Flush()
}
