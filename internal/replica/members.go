package replica

import (
	"context"
	"errors"
	"fmt"

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
