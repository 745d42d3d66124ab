package rival

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// channelName is where revocations are published.
const channelName = "revocations"

// loadAgainAfter is how long a load that failed waits for its repetition.
const loadAgainAfter = time.Second

// pubSub keeps the ended sessions in memory. It subscribes first and loads second, so that nothing falls between the two,
// and loads again whenever the client library has subscribed anew: what was published meanwhile is lost.
type pubSub struct {
	store *redis.Client
	sub   *redis.PubSub
	local denySet
	ended chan struct{} // closed when follow has returned
}

func openPubSub(ctx context.Context, cfg Config) (*pubSub, error) {
	store, err := connect(ctx, cfg.Redis)
	if err != nil {
		return nil, err
	}
	p := &pubSub{store: store, sub: store.Subscribe(ctx, channelName), ended: make(chan struct{})}
	loaded := make(chan struct{})
	go p.follow(p.sub.ChannelWithSubscriptions(), loaded) // ends when sub is closed
	select {
	case <-loaded:
		return p, nil
	case <-ctx.Done():
		p.close()
		return nil, fmt.Errorf("rival: subscribing: %w", ctx.Err())
	}
}

// follow takes in what is published until the channel ends. It closes loaded after the first load.
func (p *pubSub) follow(messages <-chan any, loaded chan<- struct{}) {
	defer close(p.ended)
	var again <-chan time.Time // nil: nothing is to be loaded
	refill := func() {
		again = nil
		until, err := load(context.Background(), p.store)
		if err != nil {
			slog.Warn("loading revocations", "cause", err)
			again = time.After(loadAgainAfter)
			return
		}
		p.local.add(until, time.Now())
		if loaded != nil {
			close(loaded)
			loaded = nil
		}
	}
	for {
		select {
		case m, open := <-messages:
			if !open {
				return
			}
			switch m := m.(type) {
			case *redis.Subscription:
				refill()
			case *redis.Message:
				p.take(m.Payload)
			}
		case <-again:
			refill()
		}
	}
}

func (p *pubSub) take(payload string) {
	id, expires, _ := strings.Cut(payload, " ")
	seconds, err := strconv.ParseInt(expires, 10, 64)
	if err != nil {
		slog.Warn("a revocation that cannot be read", "payload", payload)
		return
	}
	p.local.addOne(id, time.Unix(seconds, 0))
}

func (p *pubSub) revoked(_ context.Context, id string) (bool, error) { return p.local.has(id), nil }

func (p *pubSub) revoke(ctx context.Context, id string, until time.Time) error {
	err := save(ctx, p.store, id, until, func(tx redis.Pipeliner) {
		tx.Publish(ctx, channelName, id+" "+strconv.FormatInt(until.Unix(), 10))
	})
	if err != nil {
		return err
	}
	p.local.addOne(id, until)
	return nil
}

func (p *pubSub) close() error {
	err := p.sub.Close()
	<-p.ended
	if storeErr := p.store.Close(); err == nil {
		err = storeErr
	}
	return err
}
