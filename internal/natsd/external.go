package natsd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// ExternalConfig describes NATS servers that somebody else runs, and how this replica presents itself to them.
type ExternalConfig struct {
	Dir  string   // data directory, for what a replica keeps beside the log; required
	Name string   // stable name of the replica; required
	URLs []string // nats://host:port or tls://host:port; at least one

	// How the replica authenticates: one of a credentials file, a file with the seed of an NKey, and a user; or not at all.
	CredsFile, NkeyFile, User, Password string

	// CAFile is the authority of the servers' certificates, "": the system's. CertFile and KeyFile are the replica's own
	// certificate, "": none. Any of them, or a tls URL, turns TLS on; it is required outside of loopback.
	CAFile, CertFile, KeyFile string

	Logger *slog.Logger // nil: no logs
}

// External stands for NATS servers that somebody else runs. It holds the replica's data directory.
type External struct {
	cfg  ExternalConfig
	log  *slog.Logger
	lock *os.File
	opts []nats.Option // how to authenticate
	stop sync.Once

	creds    *credentials
	poke     chan struct{}  // holds a token when the credentials are to be looked at
	watching sync.WaitGroup // the watch of the credentials
	ending   chan struct{}  // closed when it has to end
}

// How the replica holds its connection. A server that is paused, or cut off from the replica, is noticed by its silence, and
// another one is there long before the lease ends.
const (
	externalTimeout = 2 * time.Second // one attempt to connect
	externalPing    = 2 * time.Second // between pings; the third without an answer ends the connection
	externalRetry   = 100 * time.Millisecond
)

// startPatience is how long servers may be missing at the start, or JetStream without a leader: they may have been started
// with the replica, and then elect for the first time.
const startPatience = 30 * time.Second

// leastPayload is the size in bytes of messages that servers must take: an event, its headers and some room.
const leastPayload = 128 << 10

// OpenExternal locks and marks the data directory and reads the files that cfg names. It connects to nothing.
func OpenExternal(cfg ExternalConfig) (*External, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	opts, err := cfg.options()
	if err != nil {
		return nil, err
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	creds, err := loadCredentials(credentialFiles{cert: cfg.CertFile, key: cfg.KeyFile, ca: cfg.CAFile}, cfg.Logger)
	if err != nil {
		return nil, err
	}
	lock, err := lockDir(cfg.Dir)
	if err != nil {
		return nil, err
	}
	if err := checkDir(cfg.Dir, marker{Mode: modeExternal, Server: cfg.Name}); err != nil {
		lock.Close()
		return nil, err
	}
	e := &External{cfg: cfg, log: cfg.Logger, lock: lock, opts: append(opts, creds.secure()...), creds: creds,
		poke: make(chan struct{}, 1), ending: make(chan struct{})}
	if creds.files != (credentialFiles{}) {
		e.watching.Go(func() { creds.watch(e.ending, e.poke) })
	}
	return e, nil
}

func (c *ExternalConfig) validate() error {
	if c.Dir == "" {
		return errNoDir
	}
	if !namePattern.MatchString(c.Name) {
		return fmt.Errorf("natsd: replica name %q: want 1 to 32 of a-z, 0-9 and '-'", c.Name)
	}
	if len(c.URLs) == 0 {
		return errors.New("natsd: no URL of a NATS server")
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		return errors.New("natsd: a certificate for NATS needs its key")
	}
	ways := 0
	for _, way := range []string{c.CredsFile, c.NkeyFile, c.User} {
		if way != "" {
			ways++
		}
	}
	if ways > 1 {
		return errors.New("natsd: a credentials file, an NKey and a user are alternatives")
	}
	for _, u := range c.URLs {
		if err := CheckURL(u, c.CAFile != "" || c.CertFile != ""); err != nil {
			return fmt.Errorf("natsd: %w", err)
		}
	}
	return nil
}

// CheckURL returns what is wrong with the URL of a NATS server; secure means that TLS is on whatever the URL says.
func CheckURL(text string, secure bool) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "nats" && u.Scheme != "tls" || u.Hostname() == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "":
		if strings.Contains(text, "@") { // what stands before may be a password, wherever a parser sees its end
			text = "...@" + text[strings.LastIndexByte(text, '@')+1:]
		}
		return fmt.Errorf("%q: want nats://host:port or tls://host:port", text)
	case u.User != nil:
		return fmt.Errorf("%s: credentials belong into a file, since every user of the machine can read a command line", u.Redacted())
	case u.Scheme != "tls" && !secure && !isLoopback(u.Hostname()):
		return fmt.Errorf("%s is not on loopback: it needs TLS (a tls:// URL, or the CA of the servers)", text)
	}
	return nil
}

// options returns how to authenticate, from the files.
func (c *ExternalConfig) options() ([]nats.Option, error) {
	var opts []nats.Option
	switch {
	case c.CredsFile != "":
		if _, err := os.ReadFile(c.CredsFile); err != nil {
			return nil, fmt.Errorf("natsd: credentials for NATS: %w", err)
		}
		opts = append(opts, nats.UserCredentials(c.CredsFile))
	case c.NkeyFile != "":
		pair, public, err := readUserKey(c.NkeyFile)
		if err != nil {
			return nil, fmt.Errorf("natsd: NKey for NATS: %s: %w", c.NkeyFile, err)
		}
		opts = append(opts, nats.Nkey(public, pair.Sign))
	case c.User != "":
		opts = append(opts, nats.UserInfo(c.User, c.Password))
	}
	return opts, nil
}

// readUserKey reads the seed of a user. The key stays what it was at the start: nats.go would read the seed again and sign with a new
// one in the name of the old.
func readUserKey(file string) (nkeys.KeyPair, string, error) {
	seed, err := readRegular(file)
	if err != nil {
		return nil, "", err
	}
	pair, err := nkeys.ParseDecoratedUserNKey(seed)
	if err != nil {
		return nil, "", err
	}
	public, err := pair.PublicKey()
	return pair, public, err
}

// secure returns how to use TLS with what the files hold at the time of each connection.
func (c *credentials) secure() []nats.Option {
	var cert nats.TLSCertHandler
	var trusted nats.RootCAsHandler
	if c.files.cert != "" {
		cert = func() (tls.Certificate, error) { return *c.current.Load().cert, nil }
	}
	if c.files.ca != "" {
		trusted = func() (*x509.CertPool, error) { return c.current.Load().trusted, nil }
	}
	if cert == nil && trusted == nil {
		return nil
	}
	return []nats.Option{nats.ClientTLSConfig(cert, trusted)}
}

// Connect returns a connection that has all rights that a replica needs, to servers that have JetStream. It reconnects for
// ever and buffers nothing meanwhile. Servers that cannot be reached are tried again for some time; whatever a
// server says no to is an error at once. The caller closes the connection.
func (e *External) Connect(ctx context.Context, opts ...nats.Option) (*nats.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for attempt := 0; ; attempt++ {
		nc, err := e.connect(ctx, opts)
		if !errors.As(err, new(absentError)) {
			return nc, err
		}
		if attempt == 0 {
			e.log.Warn("NATS is not there yet; trying again", "error", err, "for", startPatience)
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(externalRetry):
		}
	}
}

// connect is one attempt.
func (e *External) connect(ctx context.Context, opts []nats.Option) (*nats.Conn, error) {
	own := []nats.Option{
		nats.Name(e.cfg.Name),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			if sub != nil {
				err = fmt.Errorf("subscription %s: %w", sub.Subject, err)
			}
			e.log.Warn("NATS", "error", err)
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil { // nil when this side closed it
				e.log.Warn("the connection to NATS is lost", "error", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			e.log.Info("connected to NATS again", "server", nc.ConnectedServerName(), "url", nc.ConnectedUrlRedacted())
		}),
	}
	own = append(append(own, opts...), e.opts...)
	nc, err := nats.Connect(strings.Join(e.cfg.URLs, ","), append(own,
		nats.CustomInboxPrefix(inboxPrefix(e.cfg.Name)),
		nats.Timeout(externalTimeout),
		nats.PingInterval(externalPing),
		nats.MaxPingsOutstanding(2),
		nats.RetryOnFailedConnect(false),
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(),
		nats.ReconnectWait(externalRetry),
		nats.ReconnectJitter(externalRetry, externalRetry),
		nats.ReconnectBufSize(-1),
	)...)
	if err != nil {
		return nil, e.explain(err)
	}
	if err := e.check(ctx, nc); err != nil {
		nc.Close()
		return nil, err
	}
	return nc, nil
}

// absentError is an error that may go away by itself.
type absentError struct{ error }

// Unwrap returns the cause.
func (e absentError) Unwrap() error { return e.error }

// absentf returns an absentError.
func absentf(format string, args ...any) error { return absentError{fmt.Errorf(format, args...)} }

// explain says what an attempt to connect failed for.
func (e *External) explain(err error) error {
	at := strings.Join(e.cfg.URLs, ", ")
	var timeout net.Error
	var name *net.DNSError
	switch {
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAuthRevoked):
		return fmt.Errorf("natsd: the NATS server refuses the credentials (%s): %w", at, err)
	case errors.Is(err, nats.ErrSecureConnWanted):
		return fmt.Errorf("natsd: the NATS server has no TLS (%s): %w", at, err)
	case errors.Is(err, nats.ErrNoServers), errors.Is(err, nats.ErrTimeout), errors.Is(err, io.EOF),
		errors.As(err, &timeout) && timeout.Timeout(), errors.As(err, &name):
		return absentf("natsd: no NATS server answers at %s: %w", at, err)
	}
	return fmt.Errorf("natsd: connecting to NATS (%s): %w", at, err)
}

// GrowLog does nothing: the stream's limit belongs to whoever runs the servers.
func (e *External) GrowLog(context.Context, int64) error { return nil }

// CheckCopy does nothing: the copies are those of the servers.
func (e *External) CheckCopy(context.Context, Begins) error { return nil }

// CopyLacks does nothing: the copies are those of the servers.
func (e *External) CopyLacks(Begins) error { return nil }

// TrimLog returns ErrNoCopy: the replica's own connection has the right to, or nobody here has.
func (e *External) TrimLog(context.Context, uint64) error { return ErrNoCopy }

// Stop frees the data directory. Connections are for their owners to close.
func (e *External) Stop(context.Context) error {
	e.stop.Do(func() {
		close(e.ending)
		e.watching.Wait()
		e.lock.Close()
	})
	return nil
}

// Reload has the files of certificate and CA looked at now. It does not wait for that.
func (e *External) Reload() {
	select {
	case e.poke <- struct{}{}:
	default:
	}
}

// CertExpires returns when the certificate ends that this replica shows to the servers; zero: it has none.
func (e *External) CertExpires() time.Time { return e.creds.expires() }

// ClientURL returns the URLs of the servers, separated by commas.
func (e *External) ClientURL() string { return strings.Join(e.cfg.URLs, ",") }

// RouteAddr returns "": there is no server here.
func (e *External) RouteAddr() string { return "" }

// Listens returns the host:port of the servers.
func (e *External) Listens() []string {
	var list []string
	for _, text := range e.cfg.URLs {
		if u, err := url.Parse(text); err == nil {
			list = append(list, u.Host)
		}
	}
	return list
}

// AwaitCopy does nothing: the copies are those of the servers.
func (e *External) AwaitCopy(context.Context, uint64) bool { return true }

// CopyEnd returns that there is no copy here.
func (e *External) CopyEnd() (uint64, bool) { return 0, false }
