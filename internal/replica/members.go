package replica

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/knell-auth/knell/internal/natsd"
	"github.com/knell-auth/knell/node"
)

// remover returns what takes a replica that is gone for good out of the cluster, nil where the server here is no member of one.
func (r *Replica) remover() func(ctx context.Context, name string) error {
	s, ok := r.server.(interface {
		RemoveMember(ctx context.Context, name string) error
	})
	if !ok || r.cfg.NATS.Cluster == nil {
		return nil
	}
	return func(ctx context.Context, name string) error {
		if err := r.awaitGone(ctx, name); err != nil {
			return err
		}
		err := s.RemoveMember(ctx, name)
		switch {
		case errors.Is(err, natsd.ErrMember):
			return fmt.Errorf("%w: %w", node.ErrBadRequest, err)
		case err != nil:
			return fmt.Errorf("%w: %w", node.ErrUnknownOutcome, err)
		}
		r.log.Info("a replica was removed from the cluster", "removed", name)
		return nil
	}
}

// awaitGone waits until a replica can hold no lease any more. Only the log tells: the server here may be the only one that does not reach
// it. node.ErrBadRequest when its lease was renewed meanwhile.
func (r *Replica) awaitGone(ctx context.Context, name string) error {
	left := r.horizon(name)
	if left == 0 {
		return nil
	}
	select {
	case <-time.After(left):
	case <-ctx.Done():
		return fmt.Errorf("%w: waiting for the lease of %s to end", node.ErrUnknownOutcome, name)
	}
	if r.horizon(name) > 0 {
		return fmt.Errorf("%w: %s is there; stop it first: it has renewed its lease", node.ErrBadRequest, name)
	}
	return nil
}

// horizon returns how long a replica may still hold a lease, 0 when it holds none.
func (r *Replica) horizon(name string) (longest time.Duration) {
	for _, p := range r.node.Status().Peers {
		if p.Node == name {
			longest = max(longest, p.Horizon)
		}
	}
	return longest
}
