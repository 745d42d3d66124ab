package replica

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/knell-auth/knell/node"
)

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
