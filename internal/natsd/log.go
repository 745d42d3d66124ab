package natsd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
)

// serverLog is the server's logger. Notices become debug records: what an operator has to know, the replica says itself.
// Debug and trace output is never taken, since traces hold messages.
type serverLog struct {
	log        *slog.Logger
	redact     []string
	fatal      chan error // holds the first fatal error; nats-server itself goes on after one
	diskFailed func(reason string)
	ending     atomic.Bool // the server shuts down: what fails now was not acknowledged
	hideKeys   bool        // keys are derived from secrets
	joins      bool        // to peers
	repeated   repeats     // what it complains about
	began      time.Time
}

func newServerLog(cfg Config, secret string) *serverLog {
	l := &serverLog{log: cfg.logger().With("server", cfg.Name), redact: cfg.redactions(secret), fatal: make(chan error, 1), began: time.Now(),
		joins: cfg.Join != nil}
	l.hideKeys = l.joins || cfg.Cluster != nil && cfg.Cluster.JoinListen != ""
	l.diskFailed = cfg.DiskFailed
	if l.diskFailed == nil {
		l.diskFailed = func(reason string) {
			fmt.Fprintf(os.Stderr, "knell: the data directory %s cannot be written (%s); %s, then start again\n", cfg.Dir, reason, remedy(reason))
			os.Exit(DiskFailedStatus)
		}
	}
	return l
}

// userKey matches the public NKey of a user. That of servers that join would let whoever reads the log try secrets out.
var userKey = regexp.MustCompile(`\bU[A-Z2-7]{55}\b`)

// remedy says what helps against the failure of a write. nats-server hands its reason on as text.
func remedy(reason string) string {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE} {
		if strings.Contains(reason, e.Error()) {
			return "the disk is not to blame: raise the limit of open files (ulimit -n, LimitNOFILE=)"
		}
	}
	return "free space or repair the disk"
}

// writeError is part of the text with which nats-server says, before it does anything else about it, that a write failed.
const writeError = "ritical write error"

// refusedByPeer is part of the text with which nats-server says, at each of ten attempts a second, that a peer does not
// know the key.
const refusedByPeer = "Authorization Violation"

// refusedJoin is the text with which nats-server says that who joins has another key. It does not say the name.
var refusedJoin = regexp.MustCompile(`^(\S+):\d+ - lid:\d+ - authentication error`)

func (l *serverLog) text(format string, v []any) string {
	msg := fmt.Sprintf(format, v...)
	for _, s := range l.redact {
		msg = strings.ReplaceAll(msg, s, "[redacted]")
	}
	if l.hideKeys {
		msg = userKey.ReplaceAllLiteralString(msg, "[key]")
	}
	return msg
}

func (l *serverLog) write(level slog.Level, format string, v []any) {
	if ctx := context.Background(); l.log.Enabled(ctx, level) {
		l.log.Log(ctx, level, "nats-server: "+l.text(format, v))
	}
}

// writeSeldom writes a line unless it was written less than a minute ago: nats-server says what goes on at each of its attempts.
func (l *serverLog) writeSeldom(level slog.Level, line string) {
	times, due := l.repeated.due(alike(line), time.Now())
	switch {
	case !due:
	case times > 1:
		l.log.Log(context.Background(), level, line, "times", times)
	default:
		l.log.Log(context.Background(), level, line)
	}
}

// startGrace is the time in which servers that start together may not find each other yet.
const startGrace = 10 * time.Second

// quiet lists how complaints begin that mean nothing to an operator: always, or else while a server starts.
var quiet = map[string]bool{
	"Metalayer blocking snapshot":                              true, // of a few kilobytes here
	"Error trying to connect to route":                         false,
	"Waiting for routing to be established":                    false,
	"JetStream has not established contact with a meta leader": false,
	// They are, by credentials.verifyServer.
	"TLS certificate chain and hostname of solicited routes will not be verified":    true,
	"TLS certificate chain and hostname of solicited leafnodes will not be verified": true,
}

// passing lists how errors begin that each restart of a peer brings with it: they are warnings.
var passing = []string{"Error trying to connect to route", "Error trying to connect as leafnode"}

// complain writes what the server complains about, at most once a minute each; as a debug record when it means nothing to an operator.
func (l *serverLog) complain(level slog.Level, format string, v []any) {
	text := l.text(format, v)
	early := time.Since(l.began) < startGrace
	for prefix, always := range quiet {
		if strings.HasPrefix(text, prefix) && (always || early) {
			l.write(slog.LevelDebug, "%s", []any{text})
			return
		}
	}
	for _, prefix := range passing {
		if strings.HasPrefix(text, prefix) {
			level = slog.LevelWarn
		}
	}
	l.writeSeldom(level, "nats-server: "+text)
}

// Noticef implements server.Logger.
func (l *serverLog) Noticef(format string, v ...any) { l.write(slog.LevelDebug, format, v) }

// Warnf implements server.Logger.
func (l *serverLog) Warnf(format string, v ...any) { l.complain(slog.LevelWarn, format, v) }

// Errorf implements server.Logger. There is no other sign of a failed write that comes before the server acts on it: see
// Config.DiskFailed.
func (l *serverLog) Errorf(format string, v ...any) {
	if l.joins && strings.Contains(l.text(format, v), refusedByPeer) {
		l.writeSeldom(slog.LevelError, "the peers refuse this replica: its cluster secret or its cluster name is not theirs")
		return
	}
	if m := refusedJoin.FindStringSubmatch(l.text(format, v)); m != nil {
		l.writeSeldom(slog.LevelError, "whoever joins from "+m[1]+" is refused: its cluster secret or its cluster name is not this one's")
		return
	}
	l.complain(slog.LevelError, format, v)
	if strings.Contains(format, writeError) && !l.ending.Load() {
		l.diskFailed(l.text(format, v))
	}
}

// Fatalf implements server.Logger. It does not end the process; Start reports the error.
func (l *serverLog) Fatalf(format string, v ...any) {
	l.write(slog.LevelError, format, v)
	select {
	case l.fatal <- errors.New("natsd: " + l.text(format, v)):
	default:
	}
}

// Debugf implements server.Logger.
func (l *serverLog) Debugf(string, ...any) {}

// Tracef implements server.Logger.
func (l *serverLog) Tracef(string, ...any) {}

// clientError logs what went wrong on an in-process connection outside of any call: a refused subject, a slow subscription.
func (l *serverLog) clientError(_ *nats.Conn, sub *nats.Subscription, err error) {
	if sub != nil {
		err = fmt.Errorf("subscription %s: %w", sub.Subject, err)
	}
	l.write(slog.LevelWarn, "in-process connection: %v", []any{err})
}
