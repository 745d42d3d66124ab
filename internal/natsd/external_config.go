package natsd

import (
	"fmt"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
)

// Servers describes NATS servers that are set up for Knell and nothing else.
type Servers struct {
	Name     string // of the cluster
	Servers  []ExternalServer
	Replicas []ExternalReplica
	Trim     bool // the replicas may remove what the log can do without
}

// ExternalServer is one of them. Its routes are on the port 2000 above that for clients, as 6222 is above 4222.
type ExternalServer struct{ Name, Address string } // host:port for clients

// ExternalReplica is a replica on them, with public NKeys ("U..."): several while they are changed.
type ExternalReplica struct {
	Name string
	Keys []string
}

// routesAbove is the distance of the port for routes from that for clients.
const routesAbove = 2000

// Where the servers' files are.
const (
	externalFiles = "/etc/nats"
	externalStore = "/var/lib/nats"
)

// remarks say what some rights are for; r1 stands for the replica.
var remarks = map[string]string{
	"knell.node.r1":                         "nobody beats for another",
	"knell.report.*.r1":                     "to anybody, from oneself",
	"knell.snapshot.*.r1.*":                 "snapshots of the state, which consumers of events must not read",
	"$JS.API.STREAM.CREATE.KNELL":           "only until the stream is there",
	"$JS.API.STREAM.CREATE.KNELL_TILES":     "the same",
	"$JS.API.STREAM.CREATE.KNELL_SNAPSHOTS": "the same",
	"$JS.API.STREAM.PURGE.KNELL":            "see --retain",
}

// routeOf returns where the routes are of a server with this address for clients, and the port alone.
func routeOf(address string) (route string, port int) {
	host, client, _ := net.SplitHostPort(address)
	n, _ := strconv.Atoi(client)
	port = n + routesAbove
	return net.JoinHostPort(host, strconv.Itoa(port)), port
}

// Check returns an error unless there is a port for the routes of each server, where there are routes. It takes addresses to be host:port.
func (s *Servers) Check() error {
	if len(s.Servers) == 1 {
		return nil
	}
	clients := map[string]string{}
	for _, o := range s.Servers {
		clients[o.Address] = o.Name
	}
	for _, o := range s.Servers {
		route, port := routeOf(o.Address)
		if port > math.MaxUint16 {
			return fmt.Errorf("%s: address %s: want a port up to %d; that for routes is %d above it", o.Name, o.Address, math.MaxUint16-routesAbove, routesAbove)
		}
		if other := clients[route]; other != "" {
			return fmt.Errorf("%s: address %s: the routes of %s are there", other, route, o.Name)
		}
	}
	return nil
}

// Config returns the configuration file of the server with this name: mutual TLS for clients and routes, synced writes, and for each
// replica a user with the rights that it has on an embedded server, which are the least.
func (s *Servers) Config(name string) string {
	var b strings.Builder
	var own string
	var listen int
	var routes []string
	for _, o := range s.Servers {
		route, port := routeOf(o.Address)
		routes = append(routes, fmt.Sprintf("%q", "nats://"+route))
		if o.Name == name {
			listen, own = port, route
			fmt.Fprintf(&b, "server_name: %s\nlisten: \"0.0.0.0:%d\"\nclient_advertise: %q   # clients are told this name: the address has no certificate\n", name, port-routesAbove, o.Address)
		}
	}
	files := fmt.Sprintf("cert_file: %q, key_file: %q, ca_file: %q, min_version: \"1.3\"",
		externalFiles+"/route.pem", externalFiles+"/route-key.pem", externalFiles+"/ca.pem")
	fmt.Fprintf(&b, "tls {\n  %s\n  verify: true\n}\n", files)
	if len(s.Servers) > 1 {
		fmt.Fprintf(&b, "\ncluster {\n  name: %s\n  listen: \"0.0.0.0:%d\"\n  advertise: %q   # its own name: nobody dials the address, for which it has no certificate\n  routes: [%s]\n  tls {\n    %s\n  }\n}\n",
			s.Name, listen, own, strings.Join(routes, ", "), files)
	}
	fmt.Fprintf(&b, "\njetstream {\n  store_dir: %q\n  sync_interval: always   # an acknowledged logout survives a power failure\n}\n", externalStore)
	for i, r := range s.Replicas {
		writeRights(&b, i, r.Name, s.Trim)
	}
	fmt.Fprintf(&b, "\nsystem_account: %[1]s\naccounts {\n  %[1]s: {}\n  %[2]s: {\n    jetstream: enabled\n    users: [\n", systemAccount, Account)
	for i, r := range s.Replicas {
		for _, key := range r.Keys {
			fmt.Fprintf(&b, "      { nkey: %q, permissions: $%s }   # %s\n", key, rightsOf(i), r.Name)
		}
	}
	b.WriteString("    ]\n  }\n}\n")
	return b.String()
}

// rightsOf returns the name of the variable with the rights of a replica.
func rightsOf(i int) string { return fmt.Sprintf("R%d", i+1) }

// writeRights writes what a replica may do.
func writeRights(b *strings.Builder, i int, name string, trim bool) {
	r := replicaRights(name)
	if purge := apiPrefix + "STREAM.PURGE." + StreamName; trim {
		r.Publish.Allow = append(r.Publish.Allow, purge)
		r.Publish.Deny = slices.DeleteFunc(r.Publish.Deny, func(s string) bool { return s == purge })
	}
	fmt.Fprintf(b, "\n# What the replica %s may do.\n%s: {\n  publish: {\n", name, rightsOf(i))
	writeSubjects(b, name, "allow", r.Publish.Allow)
	writeSubjects(b, name, "deny", r.Publish.Deny)
	b.WriteString("  }\n  subscribe: {\n")
	writeSubjects(b, name, "allow", r.Subscribe.Allow)
	b.WriteString("  }\n}\n")
}

func writeSubjects(b *strings.Builder, name, what string, subjects []string) {
	fmt.Fprintf(b, "    %s: [\n", what)
	for _, s := range subjects {
		line := fmt.Sprintf("      %q", s)
		for about, remark := range remarks {
			if strings.ReplaceAll(strings.ReplaceAll(about, ".r1", "."+name), "_r1.", "_"+name+".") == s {
				line += "   # " + remark
			}
		}
		b.WriteString(line + "\n")
	}
	b.WriteString("    ]\n")
}
