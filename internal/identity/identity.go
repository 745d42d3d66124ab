// Package identity makes what the replicas of a cluster know each other by: an authority of their own, a directory of
// certificate, key and secret for each replica, and what takes their place later. It owns the layout of the directory in which
// an operator keeps all of them. It starts nothing and talks to nobody; who is let in is decided by package natsd.
package identity

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/knell-auth/knell/internal/durable"
)

// Names of files. Those of a replica are what `knell serve --identity` looks for.
const (
	CertFile   = "route.pem"      // certificate of a replica, of a server with its whole chain
	KeyFile    = "route-key.pem"  // its key
	CAFile     = "ca.pem"         // the authorities that it trusts, one or two
	SecretFile = "cluster.secret" // a line for each secret that is accepted; the first one is shown
	SeedFile   = "nats.nk"        // seed of the NKey for NATS servers elsewhere
	ConfigFile = "nats.conf"      // configuration of such a server

	stateFile     = "cluster.json"
	authorityDir  = "ca"
	authorityFile = "authority.pem" // certificate and key of who issues certificates: the one file that must not leave the directory
)

// Member is a replica or a NATS server.
type Member struct {
	Name    string   `json:"name"`
	Address string   `json:"address,omitempty"` // host:port where the others reach it; "": it dials only
	Keys    []string `json:"keys,omitempty"`    // public NKeys, the newest first, for NATS servers elsewhere
}

// Cluster says who is in a cluster. Replicas on NATS servers elsewhere have no address.
type Cluster struct {
	Name     string   `json:"name"`
	Days     int      `json:"days"` // life of a certificate
	Replicas []Member `json:"replicas"`
	Joined   []Member `json:"joined,omitempty"`  // replicas without a copy of the log
	Servers  []Member `json:"servers,omitempty"` // NATS servers elsewhere; none: the replicas keep the log
	Trim     bool     `json:"trim,omitempty"`    // there the replicas may remove what the log can do without
	Changing bool     `json:"changing"`          // what was before a new authority or secret is still accepted
	Pending  *Pending `json:"pending,omitempty"` // nil: all of the last change was made
}

// Pending is a change that was begun and not made to its end. Renew and Revoke go on with it.
type Pending struct {
	Authority bool   `json:"authority"`         // there has to be a new authority
	Secrets   bool   `json:"secrets"`           // there have to be new secrets
	Revoked   string `json:"revoked,omitempty"` // whose directory has to go
}

// External reports whether the log is on NATS servers elsewhere.
func (c *Cluster) External() bool { return len(c.Servers) > 0 }

// members returns everybody who has a directory.
func (c *Cluster) members() []Member { return slices.Concat(c.Replicas, c.Joined, c.Servers) }

// Store is the operator's directory.
type Store struct {
	Cluster
	dir    string
	config func(c *Cluster, server string) string
}

var namePattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)

// leastPeers is the size of the smallest cluster that survives the loss of a server.
const leastPeers = 3

// validate returns the first thing that is wrong with c.
func (c *Cluster) validate() error {
	if !namePattern.MatchString(c.Name) {
		return fmt.Errorf("cluster name %q: want 1 to 32 of a-z, 0-9 and '-', which is neither the first nor the last", c.Name)
	}
	if c.Days < 1 || c.Days > maxDays {
		return fmt.Errorf("%d days: want 1 to %d", c.Days, maxDays)
	}
	peers := c.Replicas
	if c.External() {
		if peers = c.Servers; len(c.Joined) > 0 {
			return errors.New("with NATS servers elsewhere all replicas are alike: none of them joins")
		}
		if len(c.Replicas) == 0 {
			return errors.New("name the replicas")
		}
		for _, r := range c.Replicas {
			if r.Address != "" {
				return fmt.Errorf("replica %s: with NATS servers elsewhere a replica has no address: it dials only", r.Name)
			}
		}
	}
	if n := len(peers); n < leastPeers && (n != 1 || !c.External()) {
		return fmt.Errorf("%d named: want at least %d, so that the log survives the loss of one", n, leastPeers)
	}
	for _, p := range peers {
		if err := checkAddress(p.Address); err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
	}
	return c.checkNames(peers)
}

// checkNames checks that nobody is meant twice.
func (c *Cluster) checkNames(peers []Member) error {
	names, addresses := map[string]bool{authorityDir: true}, map[string]string{}
	for _, m := range c.members() {
		if !namePattern.MatchString(m.Name) {
			return fmt.Errorf("name %q: want 1 to 32 of a-z, 0-9 and '-', which is neither the first nor the last", m.Name)
		}
		if names[m.Name] {
			return fmt.Errorf("the name %s is taken", m.Name)
		}
		names[m.Name] = true
	}
	for _, p := range peers {
		if other := addresses[p.Address]; other != "" {
			return fmt.Errorf("%s and %s have the same address %s", other, p.Name, p.Address)
		}
		addresses[p.Address] = p.Name
	}
	return nil
}

// hostPattern is of what can stand in a certificate and in a URL.
var hostPattern = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9._-]{0,251}[A-Za-z0-9_])?$`)

// checkAddress checks an address at which the others have to reach a server.
func checkAddress(a string) error {
	host, port, err := net.SplitHostPort(a)
	n, e := strconv.ParseUint(port, 10, 16)
	if err != nil || e != nil || n == 0 || host == "" {
		return fmt.Errorf("address %q: want host:port", a)
	}
	ip := net.ParseIP(host)
	if ip == nil && !hostPattern.MatchString(host) {
		return fmt.Errorf("address %q: %q is neither the name of a host nor an IP address", a, host)
	}
	if ip != nil && ip.IsUnspecified() {
		return fmt.Errorf("address %s: the others cannot reach that; name this machine as they know it", a)
	}
	return nil
}

// Init makes a directory for a new cluster: all of it, or nothing. dir must not exist, or be empty. config returns the text of
// ConfigFile for one of c.Servers.
func Init(dir string, c Cluster, config func(c *Cluster, server string) string) (*Store, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return nil, fmt.Errorf("%s is not empty", dir)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	work, err := os.MkdirTemp(filepath.Dir(filepath.Clean(dir)), ".knell-cluster-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work) // nothing is left there after the rename
	s := &Store{Cluster: c, dir: work, config: config}
	if err := s.newAuthority(time.Now()); err != nil {
		return nil, err
	}
	if err := s.newSecrets(); err != nil {
		return nil, err
	}
	if err := s.issue(c.members()); err != nil {
		return nil, err
	}
	if err := s.save(); err != nil {
		return nil, err
	}
	if err := durable.Rename(work, dir); err != nil {
		return nil, err
	}
	s.dir = dir
	return s, nil
}

// Open returns what Init made.
func Open(dir string, config func(c *Cluster, server string) string) (*Store, error) {
	data, err := os.ReadFile(filepath.Join(dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s was not made by knell cluster init", dir)
	}
	if err != nil {
		return nil, err
	}
	s := &Store{dir: dir, config: config}
	if err := json.Unmarshal(data, &s.Cluster); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, stateFile), err)
	}
	return s, s.validate()
}

// Add makes identities for further replicas. After an error it can be called again: who is not in the cluster yet may have a directory
// of an earlier attempt.
func (s *Store) Add(replicas, joined []Member) error {
	added := slices.Concat(replicas, joined)
	if len(added) == 0 {
		return errors.New("name a replica")
	}
	if s.Pending != nil {
		return ErrPending
	}
	s.Replicas, s.Joined = slices.Concat(s.Replicas, replicas), slices.Concat(s.Joined, joined)
	if err := s.validate(); err != nil {
		return err
	}
	if err := s.newKeys(added, false); err != nil {
		return err
	}
	if err := s.issue(added); err != nil {
		return err
	}
	if err := s.configure(); err != nil {
		return err
	}
	return s.save()
}

// save writes who is in the cluster. It comes last: what is not named there does not count.
func (s *Store) save() error {
	data, err := json.MarshalIndent(&s.Cluster, "", "  ")
	if err != nil {
		return err
	}
	return s.write(append(data, '\n'), stateFile)
}

// path returns the path of a file in the directory.
func (s *Store) path(elem ...string) string {
	return filepath.Join(append([]string{s.dir}, elem...)...)
}

// write replaces a file: whoever reads it gets the old one or the new one, whole. Only its owner can read it.
func (s *Store) write(data []byte, elem ...string) error {
	path := s.path(elem...)
	if err := durable.MakeDir(filepath.Dir(path)); err != nil {
		return err
	}
	return durable.WriteFile(path, data)
}
