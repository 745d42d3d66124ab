package events

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrTrimmed says that the log no longer holds a message that Follow has to deliver: it was trimmed at its front.
var ErrTrimmed = errors.New("events: log was trimmed beyond this position")

// Config configures a Log. Only Node is required.
type Config struct {
	Node            string        // name of this node: the sender of its notices
	Replicas        int           // copies of the stream; 0: 1
	MaxBytes        int64         // size of the stream; 0: 10 GiB
	DuplicateWindow time.Duration // how long the stream knows the ids of messages; 0: 1 min
	Domain          string        // JetStream domain of the stream; "": that of the server that one is connected to
	ReadersOutside  bool          // readers reach the servers of the log without coming to a replica, see MakeReader
	FirstSeq        uint64        // sequence of the first message of a stream that is created; 0: 1
	MustExist       bool          // wait until somebody else has created the stream, however many copies it has
	Logger          *slog.Logger  // nil: nothing is logged
}

// Log is the event log over JetStream. Its methods may be called concurrently, except Follow.
type Log struct {
	nc      *nats.Conn
	js      jetstream.JetStream
	api     string // prefix of the JetStream API's subjects
	cfg     Config
	created time.Time
	acks    *acks
	store   snapshotStream

	// What Follow and Append tell each other. Both numbers only grow.
	delivered atomic.Uint64 // newest sequence that Follow has delivered or is delivering
	acked     atomic.Uint64 // newest sequence that an append was acknowledged with
	poke      chan struct{} // holds a token when acked is ahead of delivered
	following atomic.Bool   // Follow is running
	failed    failures      // of its readers; it alone counts them
	rewound   chan struct{} // closed when an acknowledgement proved that the log went back
	rewind    sync.Once     // closes rewound
}

// askTimeout bounds one question to JetStream, so that a leader that has just died costs no more.
const askTimeout = 2 * time.Second

// Open returns the log that nc leads to. It creates the stream, or compares the existing one with cfg and returns
// ErrStreamConfig where they differ. While JetStream has no leader, too few servers or no answer, Open tries again until
// ctx ends.
//
// nc belongs to the caller, who closes it after the Log. It must reconnect for ever (nats.MaxReconnects(-1)) and must not
// keep messages while it is disconnected (nats.ReconnectBufSize(-1)): an append that is sent when the stream has forgotten
// its id would be there twice.
func Open(ctx context.Context, nc *nats.Conn, cfg Config) (*Log, error) {
	if !ValidNodeName(cfg.Node) {
		return nil, fmt.Errorf("events: node name %q: want 1 to 32 of a-z, 0-9 and -", cfg.Node)
	}
	if nc.Opts.ReconnectBufSize >= 0 {
		return nil, errors.New("events: the connection keeps messages while it is disconnected: set nats.ReconnectBufSize(-1)")
	}
	if cfg.Replicas == 0 {
		cfg.Replicas = 1
	}
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = defaultMaxBytes
	}
	if cfg.DuplicateWindow == 0 {
		cfg.DuplicateWindow = defaultWindow
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	js, api, err := newJetStream(nc, cfg.Domain)
	if err != nil {
		return nil, fmt.Errorf("events: opening the log: %w", err)
	}
	l := &Log{nc: nc, js: js, api: api, cfg: cfg, poke: make(chan struct{}, 1), rewound: make(chan struct{})}
	if err := l.openStream(ctx); err != nil {
		return nil, err
	}
	if l.acks, err = newAcks(nc); err != nil {
		return nil, fmt.Errorf("events: opening the log: %w", err)
	}
	return l, nil
}

// newJetStream returns the JetStream of a domain and the prefix of its API's subjects.
func newJetStream(nc *nats.Conn, domain string) (js jetstream.JetStream, api string, err error) {
	if domain == "" {
		js, err = jetstream.New(nc)
		return js, "$JS.API.", err
	}
	js, err = jetstream.NewWithDomain(nc, domain)
	return js, "$JS." + domain + ".API.", err
}

// openStream creates the stream, or finds and checks it.
func (l *Log) openStream(ctx context.Context) error {
	want := streamConfig(l.cfg)
	var pause backoff
	for {
		info, err := l.findStream(ctx, want)
		if err == nil {
			l.created = info.Created
			if l.cfg.MustExist {
				want.Replicas = info.Config.Replicas
			}
			return compareConfig(want, info.Config)
		}
		if !passing(err) {
			return fmt.Errorf("events: opening the log: %w", err)
		}
		l.cfg.Logger.Debug("the log is not ready", "error", err)
		if !pause.wait(ctx, nil) {
			return fmt.Errorf("events: opening the log: %w, the last problem was: %w", ctx.Err(), err)
		}
	}
}

func (l *Log) findStream(ctx context.Context, want jetstream.StreamConfig) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	s, err := l.js.Stream(ctx, StreamName)
	if errors.Is(err, jetstream.ErrStreamNotFound) && !l.cfg.MustExist {
		// Several nodes may do this at once: all want the same, so all succeed.
		s, err = l.js.CreateStream(ctx, want)
	}
	if err != nil {
		return nil, err
	}
	return s.CachedInfo(), nil
}

// Codes of API errors, from nats-server's errors.json, which the client library does not name.
const (
	codeResourcesExceeded = 10002 // of the account
	codeNoResources       = 10023
	codeMemoryExceeded    = 10028
	codeStorageExceeded   = 10047
	codeInvalidConfig     = 10052
	codeSubjectOverlap    = 10065
	codeNoCluster         = 10074 // more than one replica, but a single server
	codeStoreFailed       = 10077
	codeIDInProcess       = 10158 // a message with the same id is on its way into the log
)

// passing reports whether err may go away by itself.
func passing(err error) bool {
	if errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, nats.ErrPermissionViolation) {
		return false
	}
	var api *jetstream.APIError
	if errors.As(err, &api) {
		switch api.ErrorCode {
		case codeInvalidConfig, codeSubjectOverlap, codeNoCluster, jetstream.JSErrCodeBadRequest:
			return false
		}
	}
	return true
}

// Close ends what the log holds of its connection. Appends that are under way do not learn their outcome any more.
func (l *Log) Close() error { return l.acks.close() }

// Created returns when the stream was created, as it was when the log was opened.
func (l *Log) Created() time.Time { return l.created }

// Stat describes the log as the leader of the stream sees it; one that has been deposed and does not know it may answer
// with what was true before.
func (l *Log) Stat(ctx context.Context) (Stat, error) {
	s, err := l.js.Stream(ctx, StreamName)
	if err != nil {
		return Stat{}, fmt.Errorf("events: asking for the log's state: %w", err)
	}
	info := s.CachedInfo()
	st := Stat{
		First: info.State.FirstSeq, Last: info.State.LastSeq, Messages: info.State.Msgs,
		Bytes: int64(info.State.Bytes), MaxBytes: info.Config.MaxBytes,
		Created: info.Created, Leader: l.nc.ConnectedServerName(), Replicas: info.Config.Replicas,
	}
	if info.Cluster != nil {
		st.Leader = info.Cluster.Leader
	}
	return st, nil
}

// Tell sends a notice to another node. It may be lost, and nobody says so; an error means that it certainly was.
func (l *Log) Tell(to string, data []byte) error {
	if !ValidNodeName(to) {
		return fmt.Errorf("events: telling %q: not a node name", to)
	}
	if err := l.nc.Publish(reports+to+"."+l.cfg.Node, data); err != nil {
		return fmt.Errorf("events: telling %s: %w", to, err)
	}
	return nil
}

// Listen calls deliver with each notice to this node, one after the other; data is deliver's to keep. stop returns when
// no call of deliver is running or will run; deliver must not call it.
func (l *Log) Listen(deliver func(from string, data []byte)) (stop func(), err error) {
	var mu sync.Mutex
	ended := false
	sub, err := l.nc.Subscribe(reports+l.cfg.Node+".*", func(m *nats.Msg) {
		from := m.Subject[strings.LastIndexByte(m.Subject, '.')+1:]
		mu.Lock()
		defer mu.Unlock()
		if !ended && ValidNodeName(from) {
			deliver(from, m.Data)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("events: listening to notices: %w", err)
	}
	return func() {
		sub.Unsubscribe() // fails only when the connection is closed, and then there is nothing to end
		mu.Lock()
		ended = true
		mu.Unlock()
	}, nil
}

// backoff is a series of pauses, each twice as long as the one before. The zero value begins with the shortest.
type backoff struct{ next time.Duration }

const (
	shortestPause = 50 * time.Millisecond
	longestPause  = 500 * time.Millisecond
)

// wait pauses. It returns false at once when ctx ends or stop is closed.
func (b *backoff) wait(ctx context.Context, stop <-chan struct{}) bool {
	t := time.NewTimer(b.step())
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-stop:
	case <-ctx.Done():
	}
	return false
}

// step returns the pause that is due.
func (b *backoff) step() time.Duration {
	d := max(b.next, shortestPause)
	b.next = min(2*d, longestPause)
	return d
}
