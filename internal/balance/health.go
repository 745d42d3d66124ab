package balance

import (
	"context"
	"io"
	"net/http"
	"time"
)

// startChecks starts one health check per replica. Close ends and awaits them.
func (b *Balancer) startChecks() {
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel = cancel
	b.check = &http.Client{
		Transport:     &http.Transport{IdleConnTimeout: 30 * time.Second},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       max(time.Second, b.every),
	}
	for _, r := range b.replicas {
		b.checks.Go(func() { b.watch(ctx, r) })
	}
}

// watch asks one replica until ctx ends.
func (b *Balancer) watch(ctx context.Context, r *replica) {
	tick := time.NewTicker(b.every)
	defer tick.Stop()
	target := r.base.JoinPath("/readyz").String()
	for {
		ready := b.ask(ctx, target)
		if ctx.Err() != nil {
			return
		}
		b.setReady(r, ready)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// ask returns whether target answers 200.
func (b *Balancer) ask(ctx context.Context, target string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return false
	}
	resp, err := b.check.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, io.LimitReader(resp.Body, maxReplay))
	return resp.StatusCode == http.StatusOK
}

// setReady notes whether r may get requests and wakes the callers of Wait.
func (b *Balancer) setReady(r *replica, ready bool) {
	if r.ready.Swap(ready) == ready {
		return
	}
	b.log.Info("replica readiness changed", "replica", r.base.Host, "ready", ready)
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.changed)
	b.changed = make(chan struct{})
}

// Ready returns how many replicas were ready when they were last asked or tried.
func (b *Balancer) Ready() int {
	n := 0
	for _, r := range b.replicas {
		if r.ready.Load() {
			n++
		}
	}
	return n
}

// Wait returns when at least n replicas are ready, or with the error of ctx when that ends first.
func (b *Balancer) Wait(ctx context.Context, n int) error {
	return b.wait(ctx, func(ready int) bool { return ready >= n })
}

// wait returns when the number of ready replicas satisfies enough.
func (b *Balancer) wait(ctx context.Context, enough func(ready int) bool) error {
	for {
		b.mu.Lock()
		changed := b.changed
		b.mu.Unlock()
		if enough(b.Ready()) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}
