package main

import (
	"path/filepath"
	"testing"

	"github.com/knell-auth/knell/internal/doctor"
	"github.com/knell-auth/knell/internal/identity"
	"github.com/knell-auth/knell/internal/natsd"
)

// TestDoctorMeetsPeers: an identity of the cluster's authority is taken by a peer, at both of its ports; one of another authority is not.
func TestDoctorMeetsPeers(t *testing.T) {
	addrs, err := natsd.LoopbackRoutes(4)
	if err != nil {
		t.Fatal(err)
	}
	routes, joinAt := addrs[:3], addrs[3]
	own, foreign := makeIdentities(t, routes), makeIdentities(t, routes)
	at := func(name, file string) string { return filepath.Join(own, name, file) }
	s, err := natsd.Start(t.Context(), natsd.Config{Dir: t.TempDir(), Name: "r1", Cluster: &natsd.Cluster{
		Name: "knell", Listen: routes[0], Routes: routes, JoinListen: joinAt, SecretFile: at("r1", identity.SecretFile),
		CertFile: at("r1", identity.CertFile), KeyFile: at("r1", identity.KeyFile), CAFile: at("r1", identity.CAFile),
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Kill()
	for _, c := range []struct {
		name, dir, identity string
		level               doctor.Level
		text                string
	}{
		{"route", own, "r2", doctor.OK, "the one at " + routes[0] + " takes --route-cert"},
		{"route, another authority", foreign, "r2", doctor.Bad, "does not go with the peer at " + routes[0] + ": as that of a server: x509: certificate signed by unknown authority"},
		{"route, the others", foreign, "r2", doctor.OK, "nobody answers at " + routes[2]},
		{"join", own, "j", doctor.OK, "the one at " + joinAt + " takes --route-cert"},
		{"join, another authority", foreign, "j", doctor.Bad, "unknown authority"},
	} {
		cmd := doctorCmd{}
		k := &cmd.Serve.Cluster
		in := filepath.Join(c.dir, c.identity)
		k.RouteCert, k.RouteKey, k.RouteCA = filepath.Join(in, identity.CertFile), filepath.Join(in, identity.KeyFile), filepath.Join(in, identity.CAFile)
		if c.identity == "j" {
			k.Join = []address{address(joinAt)}
		} else {
			k.ClusterListen, k.Routes = address(routes[1]), []address{address(routes[0]), address(routes[1]), address(routes[2])}
		}
		r := &doctor.Report{}
		cmd.peers(t.Context(), r)
		found(t, c.name, r, "peers", c.level, c.text)

		// Whom this side would take may still refuse it.
		if c.level == doctor.Bad {
			k.RouteCA = at("r1", identity.CAFile)
			r = &doctor.Report{}
			cmd.peers(t.Context(), r)
			found(t, c.name+", refused by the peer", r, "peers", doctor.Bad, "remote error: tls:")
		}
	}
}

// makeIdentities returns the directory of a new cluster with the replicas r1, r2 and r3, and j which joins.
func makeIdentities(t *testing.T, routes []string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "cluster")
	if _, err := identity.Init(dir, identity.Cluster{Name: "knell", Days: 365, Joined: []identity.Member{{Name: "j"}}, Replicas: []identity.Member{
		{Name: "r1", Address: routes[0]}, {Name: "r2", Address: routes[1]}, {Name: "r3", Address: routes[2]},
	}}, nil); err != nil {
		t.Fatal(err)
	}
	return dir
}
