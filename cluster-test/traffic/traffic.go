// Package traffic is the clients of a cluster: they log in, verify, refresh and log out, each replica directly and through
// what a load balancer would do, and record what they see.
//
// It owns the sessions and the HTTP requests. It does not know how replicas are run or disturbed (packages cluster and
// fault) and judges nothing (package check).
package traffic

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/knell-auth/knell/cluster-test/history"
)

// User is somebody who can log in.
type User struct{ Name, Password string }

// Config says how much of what is sent. Rates are per second; 0 sends none of it.
type Config struct {
	Targets []string // base URL of each replica
	Users   []User
	Seed    uint64

	Sessions int     // made before the workers start
	Verify   float64 // at each replica
	Balanced float64 // verifications that try the next replica when one does not serve
	Logout   float64
	Login    float64
	Refresh  float64 // every fourth one is presented at all replicas at once
	Theft    float64 // refresh tokens presented again after their successors have been used
	// Timeout ends a verification, refresh or login without an answer. It must exceed the longest pause of a replica, or
	// nobody sees what that replica answers when it wakes. 0: 20 s.
	Timeout time.Duration
	// LogoutTimeout ends one attempt of a logout; the next one is made at another replica. 0: 12 s.
	LogoutTimeout time.Duration
}

// maxPending bounds the verifications per replica that logouts leave behind unanswered.
const maxPending = 512

// keepLive is how many live sessions logouts leave over: verification of good tokens must go on.
const keepLive = 8

// leavers is the number of workers that log out: while a replica is dead or silent each logout takes up to a lease.
const leavers = 8

// Traffic is the running clients.
type Traffic struct {
	cfg     Config
	rec     *history.Recorder
	clients []*client
	pool    pool

	requests context.Context // of the workers' requests; ends with Abort
	abort    context.CancelFunc
	stop     context.CancelFunc
	workers  sync.WaitGroup
	checks   sync.WaitGroup  // verifications that logouts and refreshes leave behind
	pending  []chan struct{} // one per replica; bounds checks
	avoid    []atomic.Int64  // per replica: until when others are preferred, on the recorder's clock
	dropped  atomic.Int64    // verifications that were not sent because too many were pending
	streams  uint64          // random number generators made; used before the workers start
}

// Start makes the sessions and starts the workers. ctx bounds the making; Stop ends the workers.
func Start(ctx context.Context, cfg Config, rec *history.Recorder) (*Traffic, error) {
	if cfg.Timeout == 0 {
		cfg.Timeout = 20 * time.Second
	}
	if cfg.LogoutTimeout == 0 {
		cfg.LogoutTimeout = 12 * time.Second
	}
	t := &Traffic{cfg: cfg, rec: rec, avoid: make([]atomic.Int64, len(cfg.Targets))}
	t.requests, t.abort = context.WithCancel(context.Background())
	for i, target := range cfg.Targets {
		if u, err := url.Parse(target); err != nil || u.Host == "" {
			return nil, fmt.Errorf("traffic: target %q is not a URL", target)
		}
		t.clients = append(t.clients, newClient(i, target, cfg.Timeout, rec.Now))
		t.pending = append(t.pending, make(chan struct{}, maxPending))
	}
	if err := t.fill(ctx); err != nil {
		t.closeIdle()
		return nil, err
	}
	ctx, t.stop = context.WithCancel(t.requests)
	for _, c := range t.clients {
		t.work(ctx, 2, cfg.Verify, func(w *own) { t.verify(w, c) })
	}
	t.work(ctx, 1, cfg.Balanced, t.balanced)
	t.work(ctx, leavers, cfg.Logout, t.leave)
	t.work(ctx, 2, cfg.Login, t.arrive)
	t.work(ctx, 2, cfg.Refresh, t.renew)
	t.work(ctx, 1, cfg.Theft, t.steal)
	return t, nil
}

// own is what belongs to one worker alone.
type own struct {
	shard *history.Shard
	rng   *rand.Rand
	steps int // done so far
}

func (t *Traffic) own() *own {
	t.streams++
	return &own{shard: t.rec.Shard(), rng: rand.New(rand.NewPCG(t.cfg.Seed, t.streams))}
}

// work starts n goroutines that take rate steps a second together until ctx ends. A step that has begun is completed.
func (t *Traffic) work(ctx context.Context, n int, rate float64, step func(*own)) {
	if rate <= 0 {
		return
	}
	interval := time.Duration(float64(n) / rate * float64(time.Second))
	for i := range n {
		w := t.own()
		t.workers.Go(func() {
			// Workers take turns: their steps do not fall together.
			if !sleep(ctx, interval*time.Duration(i)/time.Duration(n)) {
				return
			}
			pace := time.NewTicker(interval)
			defer pace.Stop()
			for ; ; w.steps++ {
				select {
				case <-ctx.Done():
					return
				case <-pace.C:
					step(w)
				}
			}
		})
	}
}

// sleep waits for d and reports whether ctx is still good.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// Stop ends the workers and waits for them and for the verifications that they left behind. A logout that has begun is
// tried until it is acknowledged or its time is up.
func (t *Traffic) Stop() {
	t.stop()
	t.workers.Wait()
	t.checks.Wait()
	t.closeIdle()
}

// Abort is Stop without patience: requests under way are given up.
func (t *Traffic) Abort() {
	t.abort()
	t.Stop()
}

func (t *Traffic) closeIdle() {
	for _, c := range t.clients {
		c.http.CloseIdleConnections()
	}
}

// fill makes the first sessions, two at a time at each replica.
func (t *Traffic) fill(ctx context.Context) error {
	var wg sync.WaitGroup
	for i := range 2 * len(t.clients) {
		w := t.own()
		wg.Go(func() {
			for ctx.Err() == nil && t.pool.size() < t.cfg.Sessions {
				if !t.login(ctx, w, t.clients[i%len(t.clients)]) && !sleep(ctx, 100*time.Millisecond) {
					return
				}
			}
		})
	}
	wg.Wait()
	if n := t.pool.size(); n < t.cfg.Sessions {
		return fmt.Errorf("traffic: %d of %d sessions could be made: %w", n, t.cfg.Sessions, context.Cause(ctx))
	}
	return nil
}

// login asks c for a session and adds it to the pool.
func (t *Traffic) login(ctx context.Context, w *own, c *client) bool {
	op, g := c.login(ctx, t.cfg.Users[w.rng.IntN(len(t.cfg.Users))])
	if op.Outcome == history.OK {
		s := &session{id: t.pool.number(), access: g.access, refresh: g.refresh}
		op.Session = s.id
		defer t.pool.add(s)
	}
	w.shard.Add(op)
	return op.Outcome == history.OK
}
