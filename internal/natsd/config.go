package natsd

import (
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
)

// Config says what server to run.
type Config struct {
	Dir  string // data directory, created with mode 0700; required
	Name string // stable name of this server: [a-z0-9-], 1 to 32 characters; required

	// ClientListen is the host:port for Users; port 0 takes a free one. "": nobody but this process can connect. Outside
	// of loopback it needs ClientCertFile and ClientKeyFile.
	ClientListen                  string
	ClientCertFile, ClientKeyFile string // certificate for ClientListen; "": plain TCP
	Users                         []User // who may connect beside this process; nil: nobody

	Cluster *Cluster // nil: standalone, unless Join is set
	Join    *Join    // attach to a cluster without a copy of the log; not together with Cluster or ClientListen

	// MaxStore is the number of bytes that JetStream may use. 0: 16 GiB, or three quarters of what the file system has
	// for it if that is less. Give all servers of a cluster the same.
	MaxStore int64

	// Making is the ID of the store that this server makes in its directory (see Making); "": none. Whoever connects in this process may do
	// everything to it, and what it acknowledges is on disk when Seal has returned, not before.
	Making string

	// FixedTimers leaves nats-server's own election timers (4 to 9 seconds). Timers belong to the process: servers in one
	// process agree about it or the later ones fail to start.
	FixedTimers bool

	Logger *slog.Logger // nil: no logs

	// NoSync acknowledges what is written but not yet on disk, and leaves the rest to nats-server's timer (two minutes). For
	// the test that shows what that loses; obeyed only in builds with the tag knell_break.
	NoSync bool

	// DiskFailed is called, on the server's own goroutine, when a write to the store has failed: a full disk, an I/O error.
	// It must not return. nil: a line to standard error and the end of the process, status DiskFailedStatus. nats-server
	// itself would go on, reset its copy and vote with it; three full disks that were freed again have lost acknowledged
	// messages that way. A server that ends at once keeps what it had, as after kill -9.
	DiskFailed func(reason string)
}

// DiskFailedStatus is the exit status of a process whose store could not be written.
const DiskFailedStatus = 74 // EX_IOERR of sysexits

// Cluster describes the cluster that a server is part of.
type Cluster struct {
	Name   string // name of the cluster: [a-z0-9-], 1 to 32 characters; required
	Listen string // host:port for routes; port 0 takes a free one; required

	// Routes are the host:port of every server of the cluster, this one included: at least three. JetStream takes their
	// number for the size of a new cluster. With TLS, they are also the only names that a peer's certificate may have.
	Routes []string

	// JoinListen is the host:port for servers that join without a copy of the log (see Join). "": none can join
	// here.
	JoinListen string

	// Secret is what a server that dials must know, 16 characters or more. "": none, for tests and for mutual TLS. Without
	// TLS it is sent in the clear, and only the server that is dialed checks it: whoever takes a route's port while its
	// server is down gets a route and the secret. So it keeps out clusters that were mixed up, not a hostile process on
	// the same machine; mutual TLS does both.
	Secret string

	// SecretFile holds the secret in place of Secret: a line for each secret that a server which dials may know, of which the first
	// one is shown. It is read again when it changes; what is shown, and who may join, changes at the next start only.
	SecretFile string

	// CertFile, KeyFile and CAFile (PEM) turn mutual TLS on; required when Listen or a route is not on loopback. The
	// certificate is used in both directions, so it needs both extended key usages, server and client. CAFile holds the
	// only authorities that are trusted: use a CA of your own, for nothing else. The files are read again when they change.
	CertFile, KeyFile, CAFile string
}

// credentials reads the files with what this server shows to others, and whom it trusts.
func (c *Config) credentials() (*credentials, error) {
	var files credentialFiles
	var secret string
	switch {
	case c.Cluster != nil:
		files, secret = credentialFiles{c.Cluster.CertFile, c.Cluster.KeyFile, c.Cluster.CAFile, c.Cluster.SecretFile}, c.Cluster.Secret
	case c.Join != nil:
		files, secret = credentialFiles{c.Join.CertFile, c.Join.KeyFile, c.Join.CAFile, c.Join.SecretFile}, c.Join.Secret
	}
	creds, err := loadCredentials(files, c.logger())
	if err == nil && secret != "" {
		p := *creds.current.Load()
		p.secrets = []string{secret}
		creds.current.Store(&p)
	}
	return creds, err
}

// User is somebody other than this process who may connect, in the account of the stream.
type User struct {
	Key                string   // public NKey of a user ("U...")
	Publish, Subscribe []string // subjects that are allowed; nil: none
}

// secretUser is the user name of routes that know the secret.
const secretUser = "knell"

// minSecret is the least length of a secret that is not empty.
const minSecret = 16

// minServers is the size of the smallest cluster that survives the loss of a server.
const minServers = 3

var namePattern = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)

// validate returns the first thing that is wrong with c. It reads no file.
func (c *Config) validate() error {
	if c.Dir == "" {
		return errNoDir
	}
	if !namePattern.MatchString(c.Name) {
		return fmt.Errorf("natsd: server name %q: want 1 to 32 of a-z, 0-9 and '-'", c.Name)
	}
	if c.MaxStore < 0 {
		return fmt.Errorf("natsd: MaxStore %d is negative", c.MaxStore)
	}
	for _, u := range c.Users {
		if !nkeys.IsValidPublicUserKey(u.Key) {
			return fmt.Errorf("natsd: %q is not the public NKey of a user", u.Key)
		}
	}
	if c.ClientListen != "" {
		host, _, err := splitAddr(c.ClientListen)
		if err != nil {
			return fmt.Errorf("natsd: client address: %w", err)
		}
		if !isLoopback(host) && c.ClientCertFile == "" {
			return fmt.Errorf("natsd: client address %s is not on loopback: it needs a certificate and key", c.ClientListen)
		}
	}
	if (c.ClientCertFile == "") != (c.ClientKeyFile == "") {
		return fmt.Errorf("natsd: the client listener needs both a certificate and its key")
	}
	switch {
	case c.Join != nil && (c.Cluster != nil || c.ClientListen != ""):
		return fmt.Errorf("natsd: a server that joins is no member of the cluster and takes no clients")
	case c.Join != nil:
		return c.Join.validate()
	case c.Cluster != nil:
		return c.Cluster.validate()
	}
	return nil
}

func (c *Cluster) validate() error {
	if !namePattern.MatchString(c.Name) {
		return fmt.Errorf("natsd: cluster name %q: want 1 to 32 of a-z, 0-9 and '-'", c.Name)
	}
	if len(c.Routes) < minServers {
		return fmt.Errorf("natsd: %d routes given: name every server of the cluster, this one included, at least %d",
			len(c.Routes), minServers)
	}
	known := c.Routes
	if c.JoinListen != "" {
		known = append([]string{c.JoinListen}, known...)
	}
	return validateLinks(c.Secret, c.SecretFile, c.CertFile, c.KeyFile, c.CAFile, append([]string{c.Listen}, known...), 1)
}

// validateLinks checks what links between servers have in common: that what leaves the machine is encrypted, and the
// addresses, of which all but the first few must have a port.
func validateLinks(secret, secretFile, cert, key, ca string, addrs []string, portless int) error {
	if secret != "" && len(secret) < minSecret {
		return fmt.Errorf("natsd: the cluster secret has fewer than %d characters", minSecret)
	}
	if secret != "" && secretFile != "" {
		return fmt.Errorf("natsd: the cluster secret and a file with it are alternatives")
	}
	some, all := cert != "" || key != "" || ca != "", cert != "" && key != "" && ca != ""
	if some && !all {
		return fmt.Errorf("natsd: TLS between servers needs a certificate, its key and the CA")
	}
	for i, a := range addrs {
		host, port, err := splitAddr(a)
		if err != nil {
			return fmt.Errorf("natsd: route address: %w", err)
		}
		if i >= portless && port == 0 {
			return fmt.Errorf("natsd: route address %s: port 0", a)
		}
		if !isLoopback(host) && !all {
			return fmt.Errorf("natsd: route address %s is not on loopback: mutual TLS is required (certificate, key and CA)", a)
		}
	}
	return nil
}

// listens returns the addresses to listen on; "" is none.
func (c *Config) listens() []string {
	if c.Cluster == nil {
		return []string{c.ClientListen}
	}
	return []string{c.ClientListen, c.Cluster.Listen, c.Cluster.JoinListen}
}

// splitAddr splits host:port. The host must be there.
func splitAddr(addr string) (host string, port int, err error) {
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("%q: want host:port", addr)
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil || host == "" {
		return "", 0, fmt.Errorf("%q: want host:port", addr)
	}
	return host, int(n), nil
}

// isLoopback reports whether host can only mean this machine. Names other than localhost are not looked up.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// accounts is nats-server configuration, because JetStream can be enabled for an account before the start in no other
// way; enabled later, a clustered server has already met stream assignments that it could not place.
var accounts = fmt.Sprintf("accounts { %s: { jetstream: enabled }, %s: {} }\nsystem_account: %s\n",
	Account, systemAccount, systemAccount)

// maxMemory bounds JetStream's memory store, in bytes. The log is on disk; only consumers' states are kept in memory.
const maxMemory = 64 << 20

// options returns the options of the server that cfg asks for.
func options(cfg Config, users users, creds *credentials) (*server.Options, error) {
	if cfg.Join != nil {
		return joinOptions(cfg, users, creds)
	}
	o := &server.Options{}
	if err := o.ProcessConfigString(accounts); err != nil {
		return nil, fmt.Errorf("natsd: accounts: %w", err)
	}
	maxStore, err := maxStore(cfg)
	if err != nil {
		return nil, err
	}
	o.ServerName = cfg.Name
	o.NoSigs = true
	o.MaxPayload = MaxPayload
	o.JetStream = true
	o.StoreDir = storeDir(cfg.Dir)
	o.SyncAlways = cfg.Making == "" && !(cfg.NoSync && breakable)
	o.JetStreamMaxStore = maxStore
	o.JetStreamMaxMemory = maxMemory
	o.DisableJetStreamBanner = true
	if err := setUsers(o, cfg, users); err != nil {
		return nil, err
	}
	if err := setClientListener(o, cfg); err != nil {
		return nil, err
	}
	if cfg.Cluster == nil {
		return o, nil
	}
	// Clients hear of other servers only from those that take clients.
	o.Cluster.NoAdvertise = cfg.ClientListen == ""
	o.JetStreamDomain = Domain
	if err := setCluster(o, cfg.Cluster, creds); err != nil {
		return nil, err
	}
	return o, setJoinListener(o, cfg.Cluster, creds)
}

// setClientListener fills in where clients connect.
func setClientListener(o *server.Options, cfg Config) error {
	switch {
	case cfg.ClientListen != "":
		host, port, err := splitAddr(cfg.ClientListen)
		if err != nil {
			return err
		}
		o.Host, o.Port = host, serverPort(port)
		if cfg.ClientCertFile != "" {
			o.TLSConfig, err = clientTLS(cfg.ClientCertFile, cfg.ClientKeyFile)
		}
		return err
	case cfg.Cluster != nil:
		// nats-server 2.15 starts its routes only after its client listener and hangs without one, in Start and again in
		// Shutdown (server.go, clientListenReady). So there is one on loopback, where no user may connect.
		o.Host, o.Port = "127.0.0.1", server.RANDOM_PORT
	default:
		o.DontListen = true
	}
	return nil
}

// setCluster fills in the routes.
func setCluster(o *server.Options, c *Cluster, creds *credentials) error {
	host, port, err := splitAddr(c.Listen)
	if err != nil {
		return err
	}
	o.Cluster.Name, o.Cluster.Host, o.Cluster.Port = c.Name, host, serverPort(port)
	// One connection for the account and one for the system account, which the server adds: Raft's messages, which are
	// what a commit waits for, never queue behind the messages that are sent to the replicas. The default of three would
	// leave two connections idle, as an account uses only one of them.
	o.Cluster.PoolSize = 1
	o.Cluster.Compression.Mode = server.CompressionOff
	secret := creds.secret()
	if secret != "" {
		o.Cluster.Username, o.Cluster.Password = secretUser, secret
		o.CustomRouterAuthentication = routeSecrets{creds}
	}
	for _, r := range c.Routes {
		u := &url.URL{Scheme: "nats-route", Host: r}
		if secret != "" {
			u.User = url.UserPassword(secretUser, secret)
		}
		o.Routes = append(o.Routes, u)
	}
	if c.CertFile != "" {
		o.Cluster.TLSConfig, err = creds.routeTLS(c.Routes)
		o.Cluster.Advertise = ownRoute(c)
	}
	return err
}

// serverPort turns port 0 into nats-server's number for "any": there, 0 means the default port or none.
func serverPort(port int) int {
	if port == 0 {
		return server.RANDOM_PORT
	}
	return port
}

// redactions returns the texts that must not be logged. The secret of a server that joins is never sent or printed.
func (c *Config) redactions(secret string) []string {
	if c.Cluster == nil || secret == "" {
		return nil
	}
	_, escaped, _ := strings.Cut(url.UserPassword("u", secret).String(), ":")
	return []string{secret, escaped, url.QueryEscape(secret)}
}
