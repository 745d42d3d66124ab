package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/knell-auth/knell/internal/identity"
)

// takeIdentity fills in the flags that --identity stands for.
func (c *serveCmd) takeIdentity(m mode) error {
	k, e := &c.Cluster, &c.External
	if k.Identity == "" {
		return nil
	}
	type part struct {
		flag, file string
		path       *string
	}
	parts := []part{
		{"route-cert", identity.CertFile, &k.RouteCert}, {"route-key", identity.KeyFile, &k.RouteKey}, {"route-ca", identity.CAFile, &k.RouteCA},
		{"cluster-secret-file", identity.SecretFile, &k.ClusterSecretFile},
	}
	if m == external {
		parts = []part{
			{"nats-cert", identity.CertFile, &k.NatsCert}, {"nats-key", identity.KeyFile, &k.NatsKey}, {"nats-ca", identity.CAFile, &e.NatsCA},
			{"nats-nkey", identity.SeedFile, &e.NatsNkey},
		}
		if e.NatsCreds != "" || e.NatsUserFile != "" {
			return fmt.Errorf("--identity %s has an NKey: --nats-creds and --nats-user-file do not go with it", k.Identity)
		}
	}
	for _, p := range parts {
		if *p.path != "" {
			return fmt.Errorf("--identity and --%s are alternatives: %s has all that connects this replica to the others", p.flag, k.Identity)
		}
		*p.path = filepath.Join(k.Identity, p.file)
		if _, err := os.Stat(*p.path); err != nil {
			return fmt.Errorf("--identity %s: %w; knell cluster init makes such a directory for each replica", k.Identity, err)
		}
	}
	return nil
}
