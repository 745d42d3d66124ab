package main

import (
	"fmt"
	"net"
	"strings"

	"github.com/knell-auth/knell/internal/identity"
)

// guide tells an operator what to do with what was made.
type guide struct {
	t   *terminal
	dir string
	c   *identity.Cluster
}

func (g *guide) printf(format string, args ...any) { fmt.Fprintf(g.t.out, format, args...) }

// routes returns the addresses of all replicas with a copy of the log.
func (g *guide) routes() string { return addresses(g.c.Replicas) }

func addresses(list []identity.Member) string {
	all := make([]string, len(list))
	for i, m := range list {
		all[i] = m.Address
	}
	return strings.Join(all, ",")
}

// hosts returns the addresses with the port left open.
func hosts(list []identity.Member) string {
	all := make([]string, len(list))
	for i, m := range list {
		host, _, _ := net.SplitHostPort(m.Address)
		all[i] = net.JoinHostPort(host, "PORT")
	}
	return strings.Join(all, ",")
}

// start says how members start for the first time.
func (g *guide) start(replicas, joined, servers []identity.Member) {
	for _, m := range servers {
		g.printf("%s: copy what is in %s/%s to /etc/nats of its machine, readable by the server alone, and start\n  nats-server -c /etc/nats/%s\n",
			m.Name, g.dir, m.Name, identity.ConfigFile)
	}
	name := ""
	if g.c.Name != "knell" {
		name = " --cluster-name " + g.c.Name
	}
	for _, m := range replicas {
		g.copy(m)
		if g.c.External() {
			copies := ""
			if len(g.c.Servers) == 1 {
				copies = " --log-copies 1"
			}
			g.printf("  knell serve --name %[1]s --data data-%[1]s --identity %[1]s --nats-url tls://%[2]s --nats-sync-attested%[3]s\n",
				m.Name, strings.ReplaceAll(addresses(g.c.Servers), ",", ",tls://"), copies)
			continue
		}
		g.printf("  knell serve --name %[1]s --data data-%[1]s --identity %[1]s%[2]s --cluster-listen %[3]s --routes %[4]s\n",
			m.Name, name, m.Address, g.routes())
	}
	for _, m := range joined {
		g.copy(m)
		g.printf("  knell serve --name %[1]s --data data-%[1]s --identity %[1]s%[2]s --join %[3]s\n", m.Name, name, hosts(g.c.Replicas))
	}
	if len(joined) > 0 {
		g.printf("PORT is that of --join-listen, which each replica with a copy of the log needs for them.\n")
	}
	if !g.c.External() {
		g.printf("add --issuer, --audience, --listen and the like as without an identity.\n")
	}
}

func (g *guide) copy(m identity.Member) {
	g.printf("%[1]s: copy %[2]s/%[1]s to its machine, readable by knell alone, and start\n", m.Name, g.dir)
}

// reloadServers says how NATS servers take up what has changed.
func (g *guide) reloadServers() {
	for _, m := range g.c.Servers {
		g.printf("%[1]s: copy what is in %[2]s/%[1]s to /etc/nats of its machine, then nats-server --signal reload\n", m.Name, g.dir)
	}
}

// renewed says how what was renewed gets into use.
func (g *guide) renewed(secrets bool) {
	g.reloadServers()
	g.printf("copy each directory of %s to the machine of its replica again, in any order; running replicas take the files up within seconds\n", g.dir)
	if secrets {
		g.printf("when all have theirs, start the replicas again, one after the other: what they show is read at the start\n")
	}
	if g.c.Changing {
		g.printf("when all of it is done: knell cluster finish %s\n", g.dir)
	}
}

// finished says how what was before goes out of use.
func (g *guide) finished() {
	g.reloadServers()
	g.printf("copy each directory of %s to the machine of its replica again, in any order; what was before is good for no new connection then\n", g.dir)
	g.printf("somebody with an old identity may still be connected: start the replicas again, one after the other, to be sure that nobody is\n")
}
