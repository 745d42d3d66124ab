package httpapi

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/node"
)

// Verifier says for whom a credential speaks.
type Verifier interface {
	// Verify takes an access token or an API key.
	Verify(ctx context.Context, token string) (node.Identity, error)
	// VerifyBasic takes a user name and a password, where AcceptsBasic says so.
	VerifyBasic(ctx context.Context, name, password string, o node.Origin) (node.Identity, error)
	AcceptsBasic() bool
	// RetryAfter returns how long a client should wait after a 503.
	RetryAfter() time.Duration
}

// Sessions starts, continues and ends sessions.
type Sessions interface {
	Login(context.Context, node.LoginRequest) (node.Tokens, error)
	Refresh(context.Context, node.RefreshRequest) (node.Tokens, error)
	Logout(ctx context.Context, accessToken string, o node.Origin) error
	AuthenticateClient(ctx context.Context, id, secret string, o node.Origin) (seq uint64, err error)
	ClientToken(ctx context.Context, client string, authenticated uint64, scope []string, o node.Origin) (node.Tokens, error)
}

// Accounts administers users.
type Accounts interface {
	ListUsers(after string, limit int) (node.UserPage, error)
	UserNamed(name string) (node.User, error)
	User(id events.ID) (node.User, error)
	UserByID(id events.ID) (node.User, bool)
	CreateUser(context.Context, node.NewUser, node.Origin) (node.User, error)
	DisableUser(context.Context, events.ID, node.Origin) error
	EnableUser(context.Context, events.ID, node.Origin) error
	ChangeUser(context.Context, events.ID, node.UserChange, node.Origin) error
	DeleteUser(context.Context, events.ID, node.Origin) error
	UnlockUser(context.Context, events.ID, node.Origin) error
	SetPassword(ctx context.Context, id events.ID, password string, o node.Origin) error
	SetRoles(ctx context.Context, id events.ID, roles, scope []string, o node.Origin) error
	RevokeUser(context.Context, events.ID, node.Origin) error
}

// Tokens looks after tokens that clients and services have.
type Tokens interface {
	Issuer() string
	RevokeToken(ctx context.Context, token, client string, o node.Origin) error
	Introspect(ctx context.Context, token, client string) (info node.TokenInfo, active bool, err error)
}

// Keys looks after the keys that tokens are signed with.
type Keys interface {
	JWKS() ([]byte, error)
	Keys() []node.SigningKey
	RevokeKey(ctx context.Context, kid string, o node.Origin) error
}

// Node is what the handlers need of a replica; *node.Node is one.
type Node interface {
	Watcher
	Sessions
	Tokens
	Keys
	SessionList
	OwnAccount
	Accounts
	Revocations
	Clients
	Authorization
	APIKeys
	Roles
	Grants
	EventReader
	Webhooks
	Transparency
	Ready() bool
	Status() node.Status
}

// Log reads the log as a replica understands it.
type Log interface {
	ReadLog(ctx context.Context, after, upTo uint64, deliver func(node.LogEntry) error) (node.LogEnd, error)
}

// LocalNode is what local administration needs of a replica; *node.Node is one.
type LocalNode interface {
	Node
	Log
	Importer
	Backups
}

// Config holds the settings of the HTTP surface. The zero Config is ready for use.
type Config struct {
	// LogoutWait bounds how long a logout, or any other command that waits for all replicas, is waited for before the
	// answer is 503. Zero: 30 s. It must exceed the longest lease of a replica and be less than the write timeout of
	// the server.
	LogoutWait time.Duration
	// Commands is the context of commands: what still waits when it ends is answered 503. Nil: they are waited for.
	Commands context.Context
	// Streams is the context of streams: they are told to end when it does. Nil: that of commands.
	Streams context.Context
	// PasswordGrant lets clients log users in with their passwords at /token (RFC 6749 section 4.3), which RFC 9700 section 2.4
	// leaves to first parties. False: unsupported_grant_type.
	PasswordGrant bool
	// TrustedProxies are the addresses whose X-Forwarded-For, X-Request-Id and traceparent are believed. None: the connection's address counts.
	TrustedProxies []netip.Prefix
	// Origins are those whose pages may call the operations that are meant for browsers; see CheckOrigin. None: no page may.
	Origins []string
	// Version is the program's, for /openapi.json.
	Version string
	// Sync is what /status says about the log's writes: whether each is on disk before it is acknowledged. "": always.
	Sync string
	// LogCopy returns what /status says about the copy of the log that this replica's server holds: "current", or "behind", or ""
	// when there is none. Nil: "".
	LogCopy func() string
	// RemoveMember takes a replica that is gone for good out of the cluster, for local administration; an error of package node. Nil: there
	// is no cluster.
	RemoveMember func(ctx context.Context, name string) error
	// CertExpires returns when the certificate ends that this replica shows to the others, zero when it has none. Nil: none.
	CertExpires func() time.Time
	// LogServers returns to how many of the other servers that keep the log this replica's is connected. Nil: there are none.
	LogServers func() LogServers
	// Logger gets one debug line a request and the details of internal errors. Nil: slog.Default.
	Logger *slog.Logger
	// AccessLog has the line of a request on the level info.
	AccessLog bool
	// Meter counts requests. Nil: nobody does.
	Meter Meter
	// Tracer makes spans of requests; that of /verify only where a trusted proxy sends a traceparent. Nil: there are none.
	Tracer Tracer
}

// defaultLogoutWait is longer than three leases of an embedded cluster, and than one lease of an external one together
// with the election of a stream leader.
const defaultLogoutWait = 30 * time.Second

// api holds what the handlers share. It is immutable, but for what counts.
type api struct {
	n          Node
	logoutWait time.Duration
	commands   context.Context
	streams    context.Context
	proxies    []netip.Prefix
	origins    []string
	sites      *http.CrossOriginProtection // knows what another site made a browser send
	document   []byte                      // /openapi.json
	log        *slog.Logger
	access     bool // requests are logged on the level info
	meter      Meter
	tracer     Tracer
	servers
	passwords bool   // the password grant is on
	metadata  []byte // of the issuer; nil when that is no URL
	local     bool   // requests come from the operator's own machine; no token is asked for
	readers   struct{ pages, streams shares }
}

// servers is what the servers of the log have to say, as Config has it.
type servers struct {
	sync       string
	logCopy    func() string
	remove     func(ctx context.Context, name string) error
	expires    func() time.Time
	logServers func() LogServers
}

func newAPI(n Node, cfg Config) *api {
	a := &api{
		n: n, logoutWait: cfg.LogoutWait, proxies: cfg.TrustedProxies, origins: cfg.Origins, log: cfg.Logger,
		sites: sites(cfg.Origins), passwords: cfg.PasswordGrant, metadata: newMetadata(n.Issuer(), cfg.PasswordGrant),
		access: cfg.AccessLog, meter: cfg.Meter, tracer: cfg.Tracer,
		servers: servers{sync: cmp.Or(cfg.Sync, "always"), remove: cfg.RemoveMember},
	}
	if a.logoutWait <= 0 {
		a.logoutWait = defaultLogoutWait
	}
	if a.commands = cfg.Commands; a.commands == nil {
		a.commands = context.Background()
	}
	if a.streams = cfg.Streams; a.streams == nil {
		a.streams = a.commands
	}
	if a.log == nil {
		a.log = slog.Default()
	}
	if a.logCopy = cfg.LogCopy; a.logCopy == nil {
		a.logCopy = func() string { return "" }
	}
	if a.expires = cfg.CertExpires; a.expires == nil {
		a.expires = func() time.Time { return time.Time{} }
	}
	if a.logServers = cfg.LogServers; a.logServers == nil {
		a.logServers = func() LogServers { return LogServers{} }
	}
	return a
}

// New returns the HTTP surface of n. It starts nothing and may be used as soon as n serves.
func New(n Node, cfg Config) http.Handler {
	a := newAPI(n, cfg)
	r := a.router()

	// The hot path carries only the middleware that allocates nothing.
	verify := a.recoverPanics(a.observeVerify(newVerifyHandler(a)))
	r.Handle(pathVerify, verify)

	operations := a.operations()
	a.document = document(operations, cfg.Version)
	r.Group(func(r chi.Router) {
		r.Use(a.common()...)
		a.mount(r, operations...)
	})
	return &handler{Mux: r, verify: verify}
}

// handler is the router, and the way past it for what is asked most: to find a route costs more than to verify a token.
type handler struct {
	*chi.Mux
	verify http.Handler
}

const pathVerify = "/verify"

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == pathVerify && r.URL.RawPath == "" {
		r.Pattern = pathVerify // as the router would say
		h.verify.ServeHTTP(w, r)
		return
	}
	h.Mux.ServeHTTP(w, r)
}

// operations returns all that New serves.
func (a *api) operations() []operation {
	return slices.Concat(a.healthOperations(), a.tokenOperations(), a.discoveryOperations(), a.authorizeOperations(), a.sessionOperations(),
		a.ownKeyOperations(), a.accountOperations(), a.eventOperations(),
		a.transparencyOperations(), a.openAPIOperations())
}

// NewLocal returns the administration of users and clients, the status, the events and the log of n without authentication. Its events
// have the actor "local". Serve it only where file permissions say who may connect: on a Unix socket in the data directory.
func NewLocal(n LocalNode, cfg Config) http.Handler {
	a := newAPI(n, cfg)
	a.local = true
	r := a.router()
	r.Group(func(r chi.Router) {
		r.Use(a.common()...)
		get(r, "/status", a.fullStatus)
		get(r, "/log", (&logHandler{a, n}).serve)
		r.Group(func(r chi.Router) {
			r.Use(a.requireReady)
			a.mount(r, a.accountOperations()...)
			a.mount(r, a.eventOperations()...)
			a.mount(r, a.transparencyOperations()...)
			r.Post("/users/import", (&importHandler{a, n, parseUser}).serve)
			r.Post("/members/{name}/remove", a.removeMember)
			r.Get("/backup", (&backupHandler{a, n}).serve)
			r.Post("/clients/import", (&importHandler{a, n, parseClient}).serve)
			a.mountNext(r)
		})
	})
	return r
}

// router returns a router that answers what it has no route for.
func (a *api) router() *chi.Mux {
	r := chi.NewRouter()
	chain := chi.Chain(a.common()...)
	r.NotFound(chain.HandlerFunc(notFound).ServeHTTP)
	r.MethodNotAllowed(chain.HandlerFunc(methodNotAllowed).ServeHTTP)
	return r
}

// common returns the middleware of every route but /verify.
func (a *api) common() []func(http.Handler) http.Handler {
	return []func(http.Handler) http.Handler{a.requests, secureHeaders, a.observe, a.recoverPanics}
}

// get serves GET and HEAD; net/http leaves the body of an answer to HEAD away.
func get(r chi.Router, pattern string, h http.HandlerFunc) {
	r.Get(pattern, h)
	r.Head(pattern, h)
}
