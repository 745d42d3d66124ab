package natsd

import (
	"crypto/sha256"
	"fmt"
	"net/url"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
)

// Join describes the cluster to which a server attaches without JetStream: as a leaf node of one of its servers at a time.
// It dials only. The cluster's JetStream does not know of it: a server that is a full member of the cluster but has no
// JetStream takes part in guessing the size of a cluster that has no leader yet (nats-server, trackedJetStreamServers), and
// with enough of them two servers of five take themselves for a majority.
type Join struct {
	Name    string   // name of the cluster; required
	Servers []string // host:port of the JoinListen of the cluster's servers; at least one
	// Secret is the cluster's; it is proven, not sent. Without TLS the proof can be relayed, and a weak secret be guessed from what
	// is seen on the way: as with Cluster.Secret, only mutual TLS keeps a hostile process on the same machine out.
	Secret     string
	SecretFile string // in place of Secret: the first line of a file; see Cluster.SecretFile

	// CertFile, KeyFile and CAFile (PEM) turn mutual TLS on; required unless all Servers are on loopback. CAFile is that of
	// the cluster, and the certificate may have any name or none. The files are read again when they change.
	CertFile, KeyFile, CAFile string

	// Silence is how long the server that this one is attached to may send nothing before the next one is tried: it may be
	// paused, or cut off from the others. Required. Beats come several times in a lease.
	Silence time.Duration
}

// Domain is the JetStream domain of a cluster's servers. Leaf nodes do not pass requests to the JetStream API on unless
// they name one.
const Domain = "knell"

// domainPrefix begins the subjects of the JetStream API in requests from leaf nodes.
const domainPrefix = "$JS." + Domain + ".API."

// How a server that joins dials. A dead server costs it a moment, a silent one the time to dial besides.
const (
	joinRetry = 100 * time.Millisecond
	joinDial  = 500 * time.Millisecond

	joinReports = 50 // attempts between two lines in the log about what fails
)

func (j *Join) validate() error {
	if !namePattern.MatchString(j.Name) {
		return fmt.Errorf("natsd: cluster name %q: want 1 to 32 of a-z, 0-9 and '-'", j.Name)
	}
	if len(j.Servers) == 0 {
		return fmt.Errorf("natsd: no server to join")
	}
	if j.Silence <= 0 {
		return fmt.Errorf("natsd: Silence %v: want more than nothing", j.Silence)
	}
	return validateLinks(j.Secret, j.SecretFile, j.CertFile, j.KeyFile, j.CAFile, j.Servers, 0)
}

// joinKey returns the key that servers which join a cluster sign with. All of them have the same, as they have the
// same secret; without a secret it proves nothing, and their certificates do.
func joinKey(cluster, secret string) (nkeys.KeyPair, error) {
	seed := sha256.Sum256([]byte("knell join\x00" + cluster + "\x00" + secret))
	raw, err := nkeys.EncodeSeed(nkeys.PrefixByteUser, seed[:])
	if err != nil {
		return nil, fmt.Errorf("natsd: key for joining: %w", err)
	}
	return nkeys.FromSeed(raw)
}

// joinOptions returns the options of a server that joins.
func joinOptions(cfg Config, users users, creds *credentials) (*server.Options, error) {
	o := &server.Options{}
	if err := o.ProcessConfigString(fmt.Sprintf("accounts { %s: {}, %s: {} }\nsystem_account: %s\n",
		Account, systemAccount, systemAccount)); err != nil {
		return nil, fmt.Errorf("natsd: accounts: %w", err)
	}
	o.ServerName = cfg.Name
	o.NoSigs = true
	o.MaxPayload = MaxPayload
	o.DontListen = true
	if err := setUsers(o, cfg, users); err != nil {
		return nil, err
	}
	key, err := joinKey(cfg.Join.Name, creds.secret())
	if err != nil {
		return nil, err
	}
	seed, err := key.Seed()
	if err != nil {
		return nil, fmt.Errorf("natsd: key for joining: %w", err)
	}
	remote := &server.RemoteLeafOpts{LocalAccount: Account, Nkey: string(seed)}
	remote.Compression.Mode = server.CompressionOff
	for _, s := range cfg.Join.Servers {
		remote.URLs = append(remote.URLs, &url.URL{Scheme: "nats-leaf", Host: s})
	}
	if cfg.Join.CertFile != "" {
		if remote.TLSConfig, err = creds.joinTLS(cfg.Join.Servers); err != nil {
			return nil, err
		}
		remote.TLS = true
	}
	o.ConnectErrorReports, o.ReconnectErrorReports = joinReports, joinReports
	o.LeafNode.ReconnectInterval = joinRetry
	o.LeafNode.DialTimeout = joinDial
	o.LeafNode.Remotes = []*server.RemoteLeafOpts{remote}
	return o, nil
}

// setJoinListener fills in where servers without a copy of the log join, and what they may do.
func setJoinListener(o *server.Options, c *Cluster, creds *credentials) error {
	if c.JoinListen == "" {
		return nil
	}
	host, port, err := splitAddr(c.JoinListen)
	if err != nil {
		return err
	}
	o.LeafNode.Host, o.LeafNode.Port = host, port
	// Whoever joins was told the addresses. Those that servers see of themselves may be others, which no certificate names.
	o.LeafNode.NoAdvertise = true
	o.LeafNode.Compression.Mode = server.CompressionOff
	if c.CertFile != "" {
		o.LeafNode.TLSConfig = creds.mutualTLS(nil, nil)
	}
	secrets := creds.current.Load().secrets
	if len(secrets) == 0 {
		secrets = []string{""}
	}
	for _, secret := range secrets {
		if err := addJoinKey(o, c.Name, secret); err != nil {
			return err
		}
	}
	return nil
}

// addJoinKey lets in who joins with a secret.
func addJoinKey(o *server.Options, cluster, secret string) error {
	key, err := joinKey(cluster, secret)
	if err != nil {
		return err
	}
	public, err := key.PublicKey()
	if err != nil {
		return fmt.Errorf("natsd: key for joining: %w", err)
	}
	for _, a := range o.Accounts {
		if a.GetName() == Account {
			o.Nkeys = append(o.Nkeys, &server.NkeyUser{Nkey: public, Account: a,
				Permissions:            joinedRights(),
				AllowedConnectionTypes: map[string]struct{}{leafOnly: {}}})
		}
	}
	return nil
}

// joinedRights returns what servers that joined may do: what their replicas may, and their taps.
func joinedRights() *server.Permissions {
	r, tap := logRights("*", domainPrefix, joinedInbox+"*"), tapRights("*", domainPrefix)
	r.Publish.Allow = append(r.Publish.Allow, tap.Publish.Allow...)
	r.Subscribe.Allow = append(r.Subscribe.Allow, tap.Subscribe.Allow...)
	return r
}

// leafOnly is nats-server's name for the connection type of leaf nodes.
const leafOnly = "LEAFNODE"

// watch leaves a server that has sent nothing for too long, until this one ends. The reconnect takes the next one.
func (s *Server) watch(silence time.Duration) {
	const looks = 4 // a length of silence
	tick := time.NewTicker(max(silence/looks, time.Millisecond))
	defer tick.Stop()
	var seen traffic
	quiet := 0
	for {
		select {
		case <-s.ending:
			return
		case <-tick.C:
		}
		now := s.attached()
		if quiet++; now != seen {
			seen, quiet = now, 0
		}
		if quiet < looks || now.link == 0 {
			continue
		}
		quiet = 0
		s.log.log.Warn("the peer that this replica is attached to is silent; trying the next one")
		_ = s.srv.DisconnectClientByID(now.link) // fails when it has gone by itself
	}
}

// traffic is which link a server that joined has, 0 for none, and how many messages came over it.
type traffic struct {
	link     uint64
	messages int64
}

func (s *Server) attached() traffic {
	z, err := s.srv.Leafz(nil)
	if err != nil || len(z.Leafs) == 0 {
		return traffic{}
	}
	return traffic{z.Leafs[0].ID, z.Leafs[0].InMsgs}
}
