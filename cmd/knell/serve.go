package main

import (
	"context"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/knell-auth/knell/internal/replica"
)

// serveCmd holds the settings of one replica. Each can be given as a flag or in the environment.
type serveCmd struct {
	Name   string        `env:"KNELL_NAME" placeholder:"NAME" help:"Stable name of this replica, unique in its cluster: a-z, 0-9 and -. Default: knell when alone, with --join the name of the host; else required."`
	Data   string        `env:"KNELL_DATA" default:"knell-data" type:"path" placeholder:"DIR" help:"Data directory; made if it is not there. Default: ./knell-data."`
	Listen address       `env:"KNELL_LISTEN" default:"${listen}" help:"Where HTTP is served."`
	Authz  address       `name:"ext-authz-listen" env:"KNELL_EXT_AUTHZ_LISTEN" placeholder:"ADDR" help:"Where Envoy asks whether a request may pass (ext_authz over gRPC). Default: nowhere."`
	Drain  time.Duration `env:"KNELL_DRAIN" default:"1s" help:"At a stop, how long /readyz is red before connections are refused."`

	Tokens   tokenFlags      `embed:"" group:"Tokens and sessions:"`
	Cluster  clusterFlags    `embed:"" group:"Log and cluster:"`
	Limits   limitFlags      `embed:"" group:"Limits:"`
	Privacy  privacyFlags    `embed:"" group:"Privacy:"`
	Edges    edgeFlags       `embed:"" group:"HTTPS and browsers:"`
	Webhooks webhookSettings `embed:"" group:"Webhooks:"`
	External externalFlags   `embed:"" group:"NATS servers elsewhere:"`
	Seen     telemetryFlags  `embed:"" group:"Metrics, traces and access log:"`
	Output   outputFlags     `embed:"" group:"Output:"`
}

// tokenFlags are the settings of tokens, sessions and requests.
type tokenFlags struct {
	Issuer         string        `env:"KNELL_ISSUER" default:"knell" help:"Issuer (iss) of tokens; the same on all replicas."`
	Audience       string        `env:"KNELL_AUDIENCE" default:"knell" help:"Audience (aud) of tokens; the same on all replicas."`
	AccessTTL      time.Duration `name:"access-ttl" env:"KNELL_ACCESS_TTL" default:"5m" help:"Life of an access token."`
	RefreshIdle    time.Duration `env:"KNELL_REFRESH_IDLE" default:"24h" help:"A refresh token ends when it is not used for so long."`
	SessionTTL     time.Duration `name:"session-ttl" env:"KNELL_SESSION_TTL" default:"720h" help:"No session lives longer, however often it is refreshed."`
	RememberIdle   time.Duration `env:"KNELL_REMEMBER_IDLE" default:"0s" placeholder:"DURATION" help:"The same for whoever asked to be remembered at log-in. Default: 720h, or --refresh-idle if that is longer."`
	RememberTTL    time.Duration `name:"remember-ttl" env:"KNELL_REMEMBER_TTL" default:"0s" placeholder:"DURATION" help:"The same. Default: 4320h, or --session-ttl if that is longer."`
	Grace          time.Duration `env:"KNELL_GRACE" default:"30s" help:"A refresh token may be presented again for so long; 0: never."`
	SigningAlg     string        `env:"KNELL_SIGNING_ALG" enum:"EdDSA,ES256,RS256" default:"EdDSA" placeholder:"ALG" help:"Algorithm of this replica's tokens: EdDSA, ES256 or RS256. Another one than before makes a new key."`
	PasswordGrant  bool          `env:"KNELL_PASSWORD_GRANT" help:"Let clients log users in with name and password at /token; for first parties only."`
	Basic          bool          `env:"KNELL_BASIC" help:"Take user name and password with any request (HTTP Basic), beside access tokens and API keys; the same on all replicas."`
	HashWorkers    int           `env:"KNELL_HASH_WORKERS" default:"0" help:"Passwords hashed at the same time; 0: as many as leave room for verification."`
	TrustedProxies []network     `env:"KNELL_TRUSTED_PROXIES" placeholder:"ADDR" help:"Addresses or ranges of proxies whose X-Forwarded-For, X-Request-Id and traceparent are believed."`
}

// clusterFlags are the settings of the log and of what the replicas share.
type clusterFlags struct {
	ClusterName       string        `env:"KNELL_CLUSTER_NAME" default:"knell" help:"Name of the cluster."`
	ClusterListen     address       `env:"KNELL_CLUSTER_LISTEN" placeholder:"ADDR" help:"Where the other replicas' servers connect; makes this replica part of a cluster."`
	Routes            []address     `env:"KNELL_ROUTES" placeholder:"ADDR" help:"Cluster addresses of all replicas, this one included."`
	JoinListen        address       `env:"KNELL_JOIN_LISTEN" placeholder:"ADDR" help:"Where replicas without a copy of the log join. Default: nowhere."`
	Join              []address     `env:"KNELL_JOIN" placeholder:"ADDR" help:"Join the cluster whose replicas have these --join-listen addresses, without a copy of the log."`
	ClusterSecretFile string        `env:"KNELL_CLUSTER_SECRET_FILE" placeholder:"FILE" help:"File with what the replicas must know to connect to each other, 16 characters or more."`
	Identity          string        `env:"KNELL_IDENTITY" type:"path" placeholder:"DIR" help:"Directory of this replica that knell cluster made: secret, certificate, key and CA, in place of the flags for them."`
	RouteCert         string        `env:"KNELL_ROUTE_CERT" placeholder:"FILE" help:"Certificate for connections between replicas; required unless all are on loopback."`
	RouteKey          string        `env:"KNELL_ROUTE_KEY" placeholder:"FILE" help:"Its key."`
	RouteCA           string        `name:"route-ca" env:"KNELL_ROUTE_CA" placeholder:"FILE" help:"The only authority that the replicas' certificates may come from."`
	Replicas          int           `env:"KNELL_REPLICAS" default:"0" help:"Copies of the log: 1, 3 or 5. Default: 1 when standalone, 3 in a cluster."`
	NatsListen        address       `env:"KNELL_NATS_LISTEN" placeholder:"ADDR" help:"Where those who read audit events connect with NATS clients (knell events grant). Default: nowhere."`
	NatsCert          string        `env:"KNELL_NATS_CERT" placeholder:"FILE" help:"Certificate for NATS clients; required unless --nats-listen is on loopback. With --nats-url: this replica's own."`
	NatsKey           string        `env:"KNELL_NATS_KEY" placeholder:"FILE" help:"Its key."`
	Lease             time.Duration `env:"KNELL_LEASE" default:"0s" placeholder:"DURATION" help:"How long a replica that is cut off goes on to answer, and a logout waits for it at most; the same on all replicas. Default: 5s; 15s with --nats-url or --fixed-timers."`
	LogMaxBytes       size          `env:"KNELL_LOG_MAX_BYTES" default:"${logMaxBytes}" help:"Limit of the log; a greater one at a later start raises it."`
	Retain            age           `env:"KNELL_RETAIN" default:"90d" help:"How long the log keeps events, such as 90d or 2160h; 0 or forever: always. The same on all replicas."`
	FixedTimers       bool          `env:"KNELL_FIXED_TIMERS" help:"Leave nats-server's own election timers (4 to 9 s); leases must be longer."`
}

// outputFlags are the settings of the log lines.
type outputFlags struct {
	LogLevel  slog.Level `env:"KNELL_LOG_LEVEL" default:"info" help:"debug, info, warn or error."`
	LogFormat string     `env:"KNELL_LOG_FORMAT" default:"text" enum:"text,json" help:"text or json."`
}

// logger returns the logger that these settings ask for.
func (f *outputFlags) logger(t *terminal) *slog.Logger {
	o := &slog.HandlerOptions{Level: f.LogLevel}
	if f.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(t.err, o))
	}
	return slog.New(slog.NewTextHandler(t.err, o))
}

// stopTimeout bounds a clean stop after the drain. Requests end within the server's write timeout of 60 s, but whoever
// stops a replica seldom waits for that long.
const stopTimeout = 20 * time.Second

// Run serves until a signal comes or the replica can no longer serve.
func (c *serveCmd) Run(ctx context.Context, t *terminal) error {
	// Before anything else, and without certificates as well: a SIGHUP that nobody takes ends the process.
	var serving atomic.Pointer[replica.Replica]
	defer onHangup(func() {
		if r := serving.Load(); r != nil { // it reads its files when it starts
			r.ReloadTLS()
		}
	})()
	cfg, err := c.config()
	if err != nil {
		return err
	}
	cfg.Logger = c.Output.logger(t)
	c.External.warn(cfg.Logger)
	hashers, err := hashers(cfg.Logger)
	if err != nil {
		return err
	}
	defer hashers.Close()
	cfg.Node.Password.Elsewhere = hashers
	if cfg.Listener, err = c.open(); err != nil {
		return err
	}
	if cfg.ExtAuthz, err = c.openExtAuthz(); err != nil {
		return err
	}
	if cfg.Readers, err = c.openReaders(); err != nil {
		return err
	}
	if cfg.Private, err = c.Seen.openPrivate(); err != nil {
		return err
	}
	ctx, release := untilSignal(ctx, nil, os.Interrupt, syscall.SIGTERM)
	defer release()

	r := replica.Start(cfg)
	serving.Store(r)
	select {
	case <-r.Ready():
		cfg.Logger.Info("ready", r.Addresses()...)
		select {
		case <-ctx.Done():
		case <-r.Failed():
		}
	case <-ctx.Done():
	case <-r.Failed():
	}
	cause := explain(r.Err())
	cfg.Logger.Info("stopping")
	stop, cancel := context.WithTimeout(context.Background(), c.Drain+stopTimeout)
	defer cancel()
	if err := r.Close(stop); cause == nil {
		cause = err
	}
	return cause
}

// open checks what the operating system has to say about the settings, and opens the listener of HTTP. Nothing is started
// before all of it is known to work.
func (c *serveCmd) open() (net.Listener, error) {
	var log size // that is kept here
	if m := c.mode(); m == standalone || m == clustered {
		log = c.Cluster.LogMaxBytes
	}
	if err := usable(c.Data, log); err != nil {
		return nil, err
	}
	if err := free("cluster-listen", c.Cluster.ClusterListen); err != nil {
		return nil, err
	}
	if err := free("join-listen", c.Cluster.JoinListen); err != nil {
		return nil, err
	}
	if err := free("nats-listen", c.Cluster.NatsListen); err != nil {
		return nil, err
	}
	return listen("listen", c.Listen)
}
