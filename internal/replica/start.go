package replica

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/natsd"
	"github.com/knell-auth/knell/node"
)

// startServer starts the embedded server, or takes the data directory for the time of a connection to servers elsewhere.
func (r *Replica) startServer(ctx context.Context) error {
	err := r.openServer(ctx)
	if err == nil && r.cfg.server != nil {
		r.server = r.cfg.server(r.server)
	}
	return err
}

func (r *Replica) openServer(ctx context.Context) error {
	if r.cfg.External != nil {
		cfg := *r.cfg.External
		cfg.Dir, cfg.Name, cfg.Logger = r.cfg.Dir, r.cfg.Name, r.log
		e, err := natsd.OpenExternal(cfg)
		if err == nil {
			r.server = e
		}
		return err
	}
	cfg := r.cfg.NATS
	cfg.Dir, cfg.Name, cfg.Logger = r.cfg.Dir, r.cfg.Name, r.log
	// The log is what reaches its limit, not the server.
	cfg.MaxStore = r.cfg.LogMaxBytes + r.cfg.LogMaxBytes/8 + events.SnapshotBytes(r.cfg.LogMaxBytes)
	s, err := natsd.Start(ctx, cfg)
	if err == nil {
		r.server = s
	}
	return err
}

// trimmer returns what removes from the log what it has decided to do without: the keeper of the server in this process, on servers
// elsewhere the replica itself, if it has the right; nil for a replica that keeps no copy.
func (r *Replica) trimmer() func(context.Context, uint64) error {
	switch {
	case r.cfg.External != nil:
		return func(ctx context.Context, first uint64) error {
			err := r.events.Trim(ctx, first)
			if err != nil {
				err = fmt.Errorf("%w; it needs the right to publish to $JS.API.STREAM.PURGE.KNELL: "+
					"without it old events stay, and the log grows until it is full (docs/external-nats.md)", err)
			}
			return err
		}
	case r.cfg.NATS.Join != nil:
		return nil
	}
	return r.server.TrimLog
}

// externalPatience bounds the opening of a log on servers elsewhere. It is longer than their elections; what takes longer
// does not go away by itself: too few servers for the copies, or no room for the log.
const externalPatience = 30 * time.Second

// openLog opens the log. In an embedded cluster that takes as long as too few of its servers are there.
func (r *Replica) openLog(ctx context.Context) (*events.Log, error) {
	cfg := events.Config{Node: r.cfg.Name, Replicas: r.cfg.Copies, MaxBytes: r.cfg.LogMaxBytes, Logger: r.log}
	if r.cfg.NATS.Join != nil {
		cfg.Domain, cfg.MustExist = natsd.Domain, true
	}
	if r.cfg.External != nil {
		cfg.ReadersOutside = true
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, externalPatience)
		defer cancel()
	}
	return events.Open(ctx, r.conn, cfg)
}

// startPause is the time between two attempts to start the node.
const startPause = 200 * time.Millisecond

// startNode starts the node, and tries again as long as what failed may pass: replicas that start together meet a cluster
// that elects its leaders or creates its stream, and that is no reason to give up. Each attempt is a life of its own for
// the others; the lock of the directory proves that the one before is gone.
func (r *Replica) startNode(ctx context.Context, cfg node.Config) (*node.Node, error) {
	for {
		n, err := node.Start(ctx, cfg)
		if err == nil || !passing(err) {
			return n, err
		}
		r.log.Warn("the node did not start; trying again", "error", err)
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(startPause):
		}
	}
}

// passing reports whether err may go away by itself.
func passing(err error) bool {
	var pending *node.PendingError
	if errors.As(err, &pending) {
		return true
	}
	for _, e := range []error{
		node.ErrUnknownOutcome, node.ErrNotCurrent, context.DeadlineExceeded,
		nats.ErrTimeout, nats.ErrNoResponders,
		// A server that is about to open its copy of a new stream says that there is none.
		jetstream.ErrStreamNotFound,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	var api *jetstream.APIError
	return errors.As(err, &api) && api.Code == 503 // no leader at the moment
}
