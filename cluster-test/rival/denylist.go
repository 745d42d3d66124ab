package rival

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"
)

// denyList asks the store about every token: a key for each ended session, which expires with the session's last token.
type denyList struct {
	store    *redis.Client
	failOpen bool
}

func openDenyList(ctx context.Context, cfg Config) (*denyList, error) {
	store, err := connect(ctx, cfg.Redis)
	if err != nil {
		return nil, err
	}
	return &denyList{store: store, failOpen: cfg.FailOpen}, nil
}

func denyKey(id string) string { return "revoked:" + id }

func (d *denyList) revoked(ctx context.Context, id string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	err := d.store.Get(ctx, denyKey(id)).Err()
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, redis.Nil):
		return false, nil
	case d.failOpen:
		slog.Debug("accepting unseen", "cause", err)
		return false, nil
	}
	return false, err
}

func (d *denyList) revoke(ctx context.Context, id string, until time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return d.store.Set(ctx, denyKey(id), 1, max(time.Until(until), time.Second)).Err()
}

func (d *denyList) close() error { return d.store.Close() }
