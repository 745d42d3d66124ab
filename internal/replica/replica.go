// Package replica wires one replica together: the embedded NATS server or the connection to servers elsewhere, the log, the node, the HTTP listener and the Unix
// socket for local administration. It owns their order of start and stop. It reads no flags and decides nothing about
// sessions.
package replica

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/httpapi"
	"github.com/knell-auth/knell/internal/extauthz"
	"github.com/knell-auth/knell/internal/natsd"
	"github.com/knell-auth/knell/internal/tracing"
	"github.com/knell-auth/knell/node"
)

// Config describes a replica. Where it embeds the configuration of another package, Start fills in name, directory, logger
// and the parts below.
type Config struct {
	Name        string        // stable name, [a-z0-9-]{1,32}; required
	Dir         string        // data directory; required
	Listener    net.Listener  // where HTTP is served, closed by the replica; nil: only the socket
	Readers     net.Listener  // where those who read events connect with NATS clients, closed by the replica; nil: nowhere
	ReadersTLS  *TLS          // certificate of Readers; nil: no TLS
	Private     net.Listener  // where metrics and profiles are served, closed by the replica; nil: nowhere
	ExtAuthz    net.Listener  // where Envoy asks over gRPC, closed by the replica; nil: nowhere
	TLS         *TLS          // certificate of the Listener; nil: HTTP without TLS
	Copies      int           // copies of the log
	LogMaxBytes int64         // limit of the log in bytes, fixed when the log is created; required
	Drain       time.Duration // how long /readyz is red before Close refuses connections
	NATS        natsd.Config
	External    *natsd.ExternalConfig // NATS servers that somebody else runs, instead of NATS; nil: none
	Node        node.Config
	HTTP        httpapi.Config
	Tracing     *tracing.Config // where spans go; nil: there are none
	Logger      *slog.Logger    // nil: nothing is logged

	server func(natsServer) natsServer // for tests: puts something before the server
}

// Replica is a replica that is starting, running or closed.
type Replica struct {
	cfg  Config
	log  *slog.Logger
	gate gate // before the HTTP surface

	serving chan struct{} // closed when it serves
	ready   chan struct{} // closed when its copy of the log is whole as well
	failure
	telemetry

	// Parts, written by run before ready is closed; Close reads them when run has ended.
	server natsServer
	conn   *nats.Conn
	events *events.Log
	node   *node.Node
	local  *socket

	http  *http.Server
	authz *extauthz.Server
	lifetimes
	cancel  context.CancelFunc // ends run
	work    sync.WaitGroup
	leaving ending
	closing ending
	poke    chan struct{} // holds a token when the TLS certificate is to be looked at
}

// failure is why a replica will never serve (again).
type failure struct {
	failed  chan struct{} // closed when it will not; err is set before
	err     error
	failing sync.Once
}

// ending is something that is done once, and what came of it; valid when it is done.
type ending struct {
	sync.Once
	err error
}

// lifetimes are those of requests.
type lifetimes struct {
	requests lifetime // of all requests; ends when those that still wait are given up
	streams  lifetime // of those that go on by themselves; ends after the drain
}

// lifetime is a context and its end.
type lifetime struct {
	ctx context.Context
	end context.CancelFunc
}

// natsServer is where the log is: a server in this process, or servers elsewhere.
type natsServer interface {
	Connect(ctx context.Context, opts ...nats.Option) (*nats.Conn, error)
	GrowLog(ctx context.Context, maxBytes int64) error
	TrimLog(ctx context.Context, first uint64) error
	CheckCopy(ctx context.Context, b natsd.Begins) error // whether the copy of the log is whole, once it is open
	CopyLacks(b natsd.Begins) error                      // the same, at once
	AwaitCopy(ctx context.Context, seq uint64) bool      // until the copy of the log reaches seq
	CopyEnd() (seq uint64, ok bool)                      // where it ends
	Stop(ctx context.Context) error
	ClientURL() string // "" when clients cannot connect
	RouteAddr() string // "" when there are no routes
	Listens() []string // host:port of each listener, and of servers elsewhere
	Reload()           // looks at the files of its identity
	CertExpires() time.Time
}

// Start begins to start a replica and returns at once: HTTP is answered from now on, green on /livez, 503 on the rest
// until the node holds its first lease, and on /readyz until its copy of the log is whole as well. The caller has to Close it, whatever becomes of it.
func Start(cfg Config) *Replica {
	headroom()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	r := &Replica{cfg: cfg, log: cfg.Logger, ready: make(chan struct{}), serving: make(chan struct{}), failure: failure{failed: make(chan struct{})}, poke: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	r.requests.ctx, r.requests.end = context.WithCancel(context.Background())
	r.streams.ctx, r.streams.end = context.WithCancel(r.requests.ctx)
	r.http = httpapi.Server("", &r.gate)
	r.http.BaseContext = func(net.Listener) context.Context { return r.requests.ctx }
	gathers := r.http.ConnContext
	r.http.ConnContext = func(ctx context.Context, c net.Conn) context.Context { return markSpare(gathers(ctx, c), c) }
	r.http.ErrorLog = connectionLog(r.log, cfg.Node.Recording)
	if err := r.watch(); err != nil {
		r.fail(err)
	}
	if cfg.Listener != nil {
		r.work.Go(func() { r.serveHTTP(ctx, r.http, limited(cfg.Listener)) })
	}
	r.authz = extauthz.New(&r.gate)
	if cfg.ExtAuthz != nil {
		r.work.Go(func() {
			if err := r.authz.Serve(cfg.ExtAuthz); err != nil {
				r.fail(err)
			}
		})
	}
	r.work.Go(func() { r.run(ctx) })
	return r
}

// run starts the parts in order and watches the node until ctx ends.
func (r *Replica) run(ctx context.Context) {
	if err := r.bringUp(ctx); err != nil {
		if ctx.Err() == nil {
			r.fail(err)
		}
		return
	}
	close(r.serving)
	whole := make(chan struct{})
	r.work.Go(func() { r.awaitCopy(ctx, whole) })
	look := time.NewTicker(copyEvery)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-whole:
			whole = nil
			r.gate.complete()
			close(r.ready)
		case <-r.node.Fenced():
			r.fail(fmt.Errorf("the replica has fenced itself: %s", r.node.Status().Fenced))
			return
		case <-look.C:
			// A copy that lost messages while it is in use would be handed on by the server that leads with it.
			if r.server.CopyLacks(r.node.LogBegins) == nil {
				continue
			}
			if err := r.server.CheckCopy(ctx, r.node.LogBegins); err != nil {
				r.fail(err)
				return
			}
		}
	}
}

// copyEvery is how often a replica looks whether its copy of the log is whole.
const copyEvery = 5 * time.Second

// bringUp starts the parts, each of which needs those before it.
func (r *Replica) bringUp(ctx context.Context) error {
	err := node.CheckDir(r.cfg.Dir)
	if err != nil {
		return err
	}
	if err := r.startServer(ctx); err != nil {
		return err
	}
	// From here on this process holds the lock of the directory, so that a socket in it can only be a dead one.
	if r.local, err = listenLocal(r.requests.ctx, r.cfg.Dir, r.log); err != nil {
		r.log.Warn("no local administration: init, user and status will not work here", "error", err)
	}
	opened := make(chan struct{})
	defer r.watchStart(ctx, opened)()
	if r.conn, err = r.server.Connect(ctx); err != nil {
		return err
	}
	if r.events, err = r.openLog(ctx); err != nil {
		return err
	}
	close(opened)
	// Another member may have less room for it yet; the last one to be restarted with the higher limit succeeds.
	if err := r.server.GrowLog(ctx, r.cfg.LogMaxBytes); err != nil {
		r.log.Warn("limit of the log not raised", "error", err)
	}
	if err := r.server.CheckCopy(ctx, nil); err != nil {
		return err
	}
	nodeCfg := r.cfg.Node
	nodeCfg.Name, nodeCfg.Dir, nodeCfg.Log, nodeCfg.Logger = r.cfg.Name, r.cfg.Dir, r.events, r.log
	nodeCfg.Retention.Store, nodeCfg.Retention.Trim = r.events, r.trimmer()
	nodeCfg.Limits.Webhooks.Own = r.listens
	httpCfg := r.cfg.HTTP
	r.observed(&nodeCfg, &httpCfg)
	if r.node, err = r.startNode(ctx, nodeCfg); err != nil {
		return err
	}
	r.attach(r.node)
	// The node knows now where the log begins.
	if err := r.server.CheckCopy(ctx, r.node.LogBegins); err != nil {
		return err
	}
	httpCfg.Logger, httpCfg.Commands, httpCfg.LogCopy = r.log, r.requests.ctx, r.logCopy
	httpCfg.RemoveMember = r.remover()
	httpCfg.CertExpires = r.server.CertExpires
	if !r.server.CertExpires().IsZero() {
		r.noteCertificate("routes", r.server.CertExpires)
	}
	httpCfg.LogServers = func() httpapi.LogServers {
		connected, others := r.peers()
		return httpapi.LogServers{Connected: connected, Others: others}
	}
	httpCfg.Streams, httpCfg.Version = r.streams.ctx, r.cfg.Node.Version
	if r.local != nil {
		r.local.gate.open(httpapi.NewLocal(r.node, httpCfg))
	}
	r.gate.lag()
	r.gate.open(httpapi.New(r.node, httpCfg))
	return r.openTap(ctx)
}

// serve runs an HTTP server until it is shut down.
func (r *Replica) serve(l net.Listener, run func(net.Listener) error) {
	if err := run(l); !errors.Is(err, http.ErrServerClosed) {
		r.fail(fmt.Errorf("serving %s: %w", l.Addr(), err))
	}
}

// fail notes why the replica cannot serve. The first cause counts.
func (r *Replica) fail(err error) {
	r.failing.Do(func() {
		r.err = err
		close(r.failed)
	})
}

// Ready returns a channel that is closed when the replica serves and its copy of the log is whole.
func (r *Replica) Ready() <-chan struct{} { return r.ready }

// Failed returns a channel that is closed when the replica will not serve any more before it is started again.
func (r *Replica) Failed() <-chan struct{} { return r.failed }

// Err returns why Failed is closed, nil while it is not.
func (r *Replica) Err() error {
	select {
	case <-r.failed:
		return r.err
	default:
		return nil
	}
}

// Node returns the node. It must not be called before Ready is closed.
func (r *Replica) Node() *node.Node { return r.node }
