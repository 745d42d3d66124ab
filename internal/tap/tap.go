// Package tap lets those in who read events over NATS from outside. It listens in place of the embedded server and speaks the part of
// the NATS protocol that a reader of one durable pull consumer needs. What a reader sends is not passed on: it is read, judged and
// written anew, so that nothing from outside reaches the server but requests for the next events of the reader's own consumer, its
// acknowledgements, and subscriptions to its own inbox. (A right to publish a request would not be enough: JetStream sends its answers
// wherever a request says, with its own rights, into the log as well.)
//
// The other way, it watches the order: on one connection the sequences only rise, and no event is left out. What would break that ends
// the connection, and the next one begins after what was acknowledged last. Each write is preceded by a look at the grant and at the
// lease.
//
// It knows nothing of grants, leases and the log but what its Config says.
package tap

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"
)

// Config says what a tap is connected to. All but TLS, Logger and API are required.
type Config struct {
	Stream  string      // name of the stream
	Inbox   string      // begins the reply subjects of all readers; behind it stand the name of the reader's grant and a dot
	API     string      // begins the subjects of the JetStream API at the server; readers say "$JS.API."
	Version string      // of the server
	TLS     *tls.Config // nil: none

	// Admit says what the owner of a public NKey may read. The error is one that ErrRefused is in if it may read nothing; any other one
	// is no answer.
	Admit func(ctx context.Context, key string) (Pass, error)
	// Dial connects to the server, with the rights of all readers together.
	Dial func(noResponders bool) (net.Conn, error)
	// Rewind makes a consumer go back to what comes after its newest acknowledgement.
	Rewind func(ctx context.Context, consumer string) error

	Logger *slog.Logger // nil: nothing is logged
}

// ErrRefused says that a key opens nothing.
var ErrRefused = errors.New("tap: refused")

// Pass is the right to read, for one connection.
type Pass struct {
	Grant    string // names it
	Consumer string
	Context  context.Context // ends with the right
	Check    func() error    // whether anything may be sent now
	Stop     func()          // is called in the end
}

// Bounds of what connections may take.
const (
	maxStrangers     = 256 // connections at a time that have not proven anything: one more ends one of them
	maxEach          = 4   // connections of one grant at a time: one more ends the oldest of them
	handshakeTimeout = 5 * time.Second
	rewindTimeout    = 10 * time.Second
	writeTimeout     = 10 * time.Second // for a reader that takes nothing

	// A connection begins with a proposal to the copies of a consumer. So many may begin for one grant, at once and in the long run.
	beginEach  = 100 * time.Millisecond
	beginBurst = 30
)

// Server is a tap. Its methods may be called concurrently.
type Server struct {
	cfg  Config
	log  *slog.Logger
	ctx  context.Context // ends with the server
	end  context.CancelFunc
	work sync.WaitGroup

	mu        sync.Mutex // guards all below, and is between a start and the end
	strangers map[net.Conn]struct{}
	readers   map[string]*readers // by grant
}

// readers are the connections of one grant.
type readers struct {
	list []*session // the oldest first
	pace pace
}

// New returns a tap that does not listen yet.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg, log: cfg.Logger, strangers: map[net.Conn]struct{}{}, readers: map[string]*readers{}}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.ctx, s.end = context.WithCancel(context.Background())
	return s
}

// Serve takes connections from l until Close, which closes l. It returns nil then, and otherwise why it cannot go on.
func (s *Server) Serve(l net.Listener) error {
	defer context.AfterFunc(s.ctx, func() { l.Close() })()
	for {
		conn, err := l.Accept()
		if err != nil {
			if s.ctx.Err() != nil {
				return nil
			}
			var passing interface{ Temporary() bool }
			if errors.As(err, &passing) && passing.Temporary() { // too many open files
				s.pause(50 * time.Millisecond)
				continue
			}
			return err
		}
		s.start(conn)
	}
}

// start serves a connection, unless the server has ended.
func (s *Server) start(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		conn.Close()
		return
	}
	if len(s.strangers) >= maxStrangers {
		for other := range s.strangers { // any of them: who has a key is done in a moment, and tries again
			delete(s.strangers, other)
			other.Close()
			break
		}
	}
	s.strangers[conn] = struct{}{}
	s.work.Go(func() { s.serve(conn) })
}

// know says that a session is of a reader now.
func (s *Server) know(c *session, conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.strangers, conn)
	g := s.readers[c.pass.Grant]
	if len(g.list) >= maxEach {
		g.list[0].conn.Close()
		g.list = g.list[1:]
	}
	g.list = append(g.list, c)
}

// forget says that a session has ended.
func (s *Server) forget(c *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.readers[c.pass.Grant]
	g.list = slices.DeleteFunc(g.list, func(other *session) bool { return other == c })
}

// turn returns how long the next connection of a grant has to wait.
func (s *Server) turn(grant string) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.readers[grant]
	if g == nil {
		g = &readers{}
		s.readers[grant] = g
	}
	return g.pace.take(time.Now(), 1, beginEach, beginBurst)
}

// pause waits for d, or until the server ends.
func (s *Server) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.ctx.Done():
	}
}

// Close ends all connections and returns when nothing of the tap runs any more but Serve, which is about to return. It is idempotent.
func (s *Server) Close() {
	s.mu.Lock()
	s.end()
	s.mu.Unlock()
	s.work.Wait()
}

// serve runs one connection to its end.
func (s *Server) serve(conn net.Conn) {
	defer conn.Close()
	defer context.AfterFunc(s.ctx, func() { conn.Close() })()
	c := &session{s: s, conn: conn, ids: map[string]struct{}{}}
	err := c.open()
	if err != nil {
		s.mu.Lock()
		delete(s.strangers, conn)
		s.mu.Unlock()
		s.log.Debug("a reader was not let in", "from", conn.RemoteAddr(), "error", err)
		return
	}
	log := s.log.With("grant", c.pass.Grant, "from", conn.RemoteAddr())
	s.know(c, conn)
	log.Info("reader connected")
	reason := c.run()
	s.forget(c)
	c.server.Close()
	c.pass.Stop()
	log.Info("reader disconnected", "reason", reason) // from now on it counts nowhere any more
}
