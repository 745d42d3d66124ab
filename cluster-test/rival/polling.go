package rival

import (
	"context"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"
)

// polling keeps the ended sessions in memory and loads all of them at intervals. While the store does not answer it goes on
// with what it has.
type polling struct {
	store  *redis.Client
	local  denySet
	cancel context.CancelFunc
	ended  chan struct{} // closed when poll has returned
}

func openPolling(ctx context.Context, cfg Config) (*polling, error) {
	store, err := connect(ctx, cfg.Redis)
	if err != nil {
		return nil, err
	}
	until, err := load(ctx, store)
	if err != nil {
		store.Close()
		return nil, err
	}
	background, cancel := context.WithCancel(context.Background())
	p := &polling{store: store, cancel: cancel, ended: make(chan struct{})}
	p.local.add(until, time.Now())
	go p.poll(background, cfg.PollEvery) // ends with close
	return p, nil
}

func (p *polling) poll(ctx context.Context, every time.Duration) {
	defer close(p.ended)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		until, err := load(ctx, p.store)
		if err != nil {
			slog.Warn("polling revocations", "cause", err)
			continue
		}
		p.local.add(until, time.Now())
	}
}

func (p *polling) revoked(_ context.Context, id string) (bool, error) { return p.local.has(id), nil }

func (p *polling) revoke(ctx context.Context, id string, until time.Time) error {
	if err := save(ctx, p.store, id, until, func(redis.Pipeliner) {}); err != nil {
		return err
	}
	p.local.addOne(id, until)
	return nil
}

func (p *polling) close() error {
	p.cancel()
	<-p.ended
	return p.store.Close()
}
