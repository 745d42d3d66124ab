package main

import (
	"context"

	"github.com/knell-auth/knell/internal/doctor"
	"github.com/knell-auth/knell/node"
)

// planned returns what a replica with these settings would announce, for comparison with the others; nil: it has no others. Where one
// runs and a flag was not given, that is what it runs with: doctor may have been called without the flags of serve.
func (c *doctorCmd) planned(own *replicaStatus) *node.Announced {
	if c.Serve.mode() == standalone {
		return nil
	}
	a := &node.Announced{Issuer: c.Serve.Tokens.Issuer, Audience: c.Serve.Tokens.Audience, LeaseLength: c.Serve.lease().Milliseconds()}
	if own == nil {
		return a
	}
	if a.Issuer == defaultIssuer {
		a.Issuer = own.Issuer
	}
	if a.Audience == defaultIssuer {
		a.Audience = own.Audience
	}
	if c.Serve.Cluster.Lease == 0 {
		a.LeaseLength = own.LeaseLength
	}
	return a
}

// peers shakes hands with the peers that the settings name, if that is done with certificates.
func (c *doctorCmd) peers(ctx context.Context, r *doctor.Report) {
	k := &c.Serve.Cluster
	if k.RouteCert == "" || k.RouteKey == "" || k.RouteCA == "" {
		return
	}
	list, joins := k.Routes, c.Serve.mode() == joined
	if joins {
		list = k.Join
	}
	p := doctor.Pair{Flag: "route-cert", CertFile: k.RouteCert, KeyFile: k.RouteKey, CAFile: k.RouteCA}
	for _, a := range list {
		p.Hosts = append(p.Hosts, host(a))
	}
	for _, a := range list {
		if !same(a, k.ClusterListen) {
			r.Peer(ctx, p, string(a), joins)
		}
	}
}
