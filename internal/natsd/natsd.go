// Package natsd runs the NATS server that is embedded in a replica: standalone, as one of the servers of a cluster, or
// attached to one without a copy of the log. In place of a server it also holds a replica's connection to NATS servers that
// somebody else runs (External).
//
// It owns the data directory's lock and mode marker, the server's options, the election timers, who may connect and with
// which rights, and the order of a shutdown. It knows the name of the stream and the subjects that rights are about; it
// does not know what the messages mean, and it neither creates the stream nor reads it.
package natsd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// Names that are the same on every server.
const (
	Account    = "KNELL" // the account that holds the stream; its name is a directory inside the store
	StreamName = "KNELL"
	TileStream = "KNELL_TILES" // full tiles of the Merkle tree over it

	systemAccount = "SYS"
)

// MaxPayload is the size of the largest message that a server takes, in bytes.
const MaxPayload = 1 << 20

// connectTimeout bounds the handshake of an in-process connection.
const connectTimeout = 5 * time.Second

// reconnectWait is the time between two attempts to connect again. In-process attempts cost next to nothing.
const reconnectWait = 20 * time.Millisecond

// Server is a running NATS server. Its methods may be called concurrently.
type Server struct {
	name     string
	srv      *server.Server
	log      *serverLog
	users    users
	others   int // see Peers
	lock     *os.File
	maxStore int64

	inbox      string // prefix of the replica's reply subjects
	api        string // prefix of the JetStream API's subjects
	clientAddr string // "" without ClientListen
	routeAddr  string // "" when standalone
	creds      *credentials
	poke       chan struct{}  // holds a token when the credentials are to be looked at
	watching   sync.WaitGroup // the watches of a server that joins, and of the credentials
	ending     chan struct{}  // closed when the watches have to end
	stopOnce   sync.Once      // the first of Stop and Kill decides how the server ends
	stopped    chan struct{}  // closed when the server has ended and the directory is free
}

// Start runs a server and returns it when it takes in-process connections and listens on the addresses that it was given.
// In a cluster there may be no quorum yet. ctx bounds the start only. Nothing is left running or locked when Start fails.
//
// The first Start of a process sets the election timers of all servers in it (see FixedTimers).
func Start(ctx context.Context, cfg Config) (*Server, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	lock, err := lockDir(cfg.Dir)
	if err != nil {
		return nil, err
	}
	s, err := start(ctx, cfg, lock)
	if err != nil {
		lock.Close() // which unlocks
		return nil, err
	}
	return s, nil
}

func start(ctx context.Context, cfg Config, lock *os.File) (*Server, error) {
	users, err := newUsers()
	if err != nil {
		return nil, err
	}
	creds, err := cfg.credentials()
	if err != nil {
		return nil, err
	}
	opts, err := options(cfg, users, creds)
	if err != nil {
		return nil, err
	}
	// A port in use is noticed before anything is written, and with a plain error.
	if err := checkFree(cfg.listens()...); err != nil {
		return nil, err
	}
	// The marker is on disk before JetStream creates the first file, so no store is ever without one.
	if err := checkMarker(cfg); err != nil {
		return nil, err
	}
	if err := setTimers(cfg.FixedTimers); err != nil {
		return nil, err
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("natsd: server options: %w", err)
	}
	s := &Server{name: cfg.Name, srv: srv, users: users, lock: lock, inbox: cfg.inbox(), api: cfg.api(),
		maxStore: opts.JetStreamMaxStore, creds: creds, poke: make(chan struct{}, 1), ending: make(chan struct{}), stopped: make(chan struct{})}
	s.log = newServerLog(cfg, creds.secret())
	s.others = cfg.others()
	srv.SetLogger(s.log, false, false)
	srv.Start()
	if err := s.awaitReady(ctx); err != nil {
		srv.Shutdown()
		srv.WaitForShutdown()
		return nil, err
	}
	if cfg.ClientListen != "" {
		s.clientAddr = srv.Addr().String()
	}
	if a := srv.ClusterAddr(); a != nil {
		s.routeAddr = a.String()
	}
	if cfg.Join != nil {
		s.watching.Go(func() { s.watch(cfg.Join.Silence) })
	}
	if creds.files != (credentialFiles{}) {
		s.watching.Go(func() { creds.watch(s.ending, s.poke) })
	}
	return s, nil
}

// awaitReady returns when the server listens, or why it does not. The server gives no event for its route listener: the
// loop's body is its own wait, cut into slices so that a failure is seen at once.
func (s *Server) awaitReady(ctx context.Context) error {
	for {
		ready := s.srv.ReadyForConnections(50 * time.Millisecond)
		select {
		case err := <-s.log.fatal:
			return err
		case <-ctx.Done():
			return fmt.Errorf("natsd: starting: %w", context.Cause(ctx))
		default:
		}
		if ready {
			return nil
		}
	}
}

// Connect returns an in-process connection with the rights of this replica (see rights.go). It reconnects for ever and
// buffers nothing meanwhile, so that nothing is published late: a publish without a connection fails at once. What the
// server refuses is logged, unless opts have an error handler. opts can't override the rest. The caller closes the
// connection.
func (s *Server) Connect(ctx context.Context, opts ...nats.Option) (*nats.Conn, error) {
	return s.connect(ctx, s.users.replica, s.inbox, opts...)
}

func (s *Server) connect(ctx context.Context, key nkeys.KeyPair, inbox string, opts ...nats.Option) (*nats.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("natsd: connecting: %w", err)
	}
	timeout := connectTimeout
	if d, ok := ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(d))
	}
	public, err := key.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("natsd: user key: %w", err)
	}
	defaults := []nats.Option{nats.Name(s.name), nats.ErrorHandler(s.log.clientError)}
	opts = append(append(defaults, opts...),
		nats.InProcessServer(s.srv),
		nats.IgnoreDiscoveredServers(),
		nats.Nkey(public, key.Sign),
		nats.CustomInboxPrefix(inbox),
		nats.Timeout(timeout),
		nats.RetryOnFailedConnect(false),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(0, 0),
		nats.ReconnectBufSize(-1),
	)
	nc, err := nats.Connect("", opts...)
	if err != nil {
		return nil, fmt.Errorf("natsd: connecting: %w", err)
	}
	return nc, nil
}

// Name returns the server's name.
func (s *Server) Name() string { return s.name }

// ClientURL returns the URL that clients connect to, or "" when there is none.
func (s *Server) ClientURL() string {
	if s.clientAddr == "" {
		return ""
	}
	return "nats://" + s.clientAddr
}

// RouteAddr returns the host:port on which the server takes routes, or "" when it is standalone.
func (s *Server) RouteAddr() string { return s.routeAddr }

// Listens returns the host:port of each listener for clients and routes, also of the one on loopback where no user may connect.
func (s *Server) Listens() []string {
	var list []string
	if a := s.srv.Addr(); a != nil {
		list = append(list, a.String())
	}
	if s.routeAddr != "" {
		list = append(list, s.routeAddr)
	}
	return list
}

// Reload has the files with what this server shows to others, and whom it trusts, looked at now. It does not wait for that.
func (s *Server) Reload() {
	select {
	case s.poke <- struct{}{}:
	default:
	}
}

// CertExpires returns when the certificate ends that this server shows to other servers; zero: it has none.
func (s *Server) CertExpires() time.Time { return s.creds.expires() }

// MaxStore returns the number of bytes that JetStream may use here, which is the upper bound of the stream's MaxBytes.
func (s *Server) MaxStore() int64 { return s.maxStore }

// checkFree returns an error that names the first address that can't be listened on. "" is skipped.
func checkFree(addrs ...string) error {
	for _, a := range addrs {
		if a == "" {
			continue
		}
		l, err := net.Listen("tcp", a)
		if err != nil {
			return fmt.Errorf("natsd: can't listen on %s: %w", a, err)
		}
		l.Close()
	}
	return nil
}

// storeDir returns the directory that is given to JetStream.
func storeDir(dir string) string { return filepath.Join(dir, "jetstream") }

var errNoDir = errors.New("natsd: no data directory given")

// logger returns the configured logger, never nil.
func (c *Config) logger() *slog.Logger {
	if c.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Logger
}
