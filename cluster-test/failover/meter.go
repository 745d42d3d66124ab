package failover

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/knell-auth/knell/cluster-test/cluster"
)

const (
	askEvery   = 10 * time.Millisecond
	askTimeout = 2 * time.Second
	retryEvery = 20 * time.Millisecond
)

// meters watch all replicas.
type meters struct {
	of     []*meter
	cancel context.CancelFunc
	work   sync.WaitGroup
	faulty int // the replica whose fault is being measured
}

// meter watches one replica: it asks for its lease, verifies a good token, and refreshes a session, over and over.
type meter struct {
	url    string
	http   *http.Client
	length time.Duration // of a lease

	mu      sync.Mutex // guards all below
	watched bool
	sample  sample
	wrote   time.Time // the newest acknowledged write
}

// sample is what a meter saw since it was reset.
type sample struct {
	refused  int
	gap, age time.Duration
}

// startMeters logs in and starts to watch.
func startMeters(ctx context.Context, c *cluster.Cluster, lease time.Duration) (*meters, error) {
	running, cancel := context.WithCancel(context.Background())
	m := &meters{cancel: cancel}
	for _, r := range c.Replicas {
		w := &meter{url: r.URL, http: &http.Client{Timeout: askTimeout}, length: lease}
		m.of = append(m.of, w)
		good, err := w.login(ctx)
		if err != nil {
			m.stop()
			return nil, err
		}
		chain, err := w.login(ctx)
		if err != nil {
			m.stop()
			return nil, err
		}
		m.work.Go(func() { w.repeat(running, func() { w.verify(running, good.Access) }) })
		m.work.Go(func() { w.repeat(running, func() { w.lease(running) }) })
		m.work.Go(func() { w.repeat(running, func() { w.refresh(running, &chain) }) })
	}
	return m, nil
}

func (m *meters) stop() {
	m.cancel()
	m.work.Wait()
}

// begin starts a measurement of everybody but the faulty replica.
func (m *meters) begin(faulty int) {
	m.faulty = faulty
	for i, w := range m.of {
		w.mu.Lock()
		w.watched, w.sample = i != faulty, sample{}
		w.mu.Unlock()
	}
}

// end returns the worst of what the undisturbed replicas showed.
func (m *meters) end() sample {
	var all sample
	for _, w := range m.of {
		w.mu.Lock()
		all.refused += w.sample.refused
		all.gap, all.age = max(all.gap, w.sample.gap), max(all.age, w.sample.age)
		w.watched = false
		w.mu.Unlock()
	}
	return all
}

func (w *meter) repeat(ctx context.Context, ask func()) {
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			ask()
		}
	}
}

// verify notes a good token that is not accepted.
func (w *meter) verify(ctx context.Context, token string) {
	status, _, err := w.send(ctx, http.MethodGet, "/verify", token, nil)
	if err == nil && status == http.StatusOK || ctx.Err() != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.watched {
		w.sample.refused++
	}
}

// lease notes how old the replica's lease is: the length that a fresh one has, less what is left.
func (w *meter) lease(ctx context.Context) {
	var s struct {
		LeaseMS int64 `json:"lease_ms"`
	}
	status, body, err := w.send(ctx, http.MethodGet, "/status", "", nil)
	if err != nil || status != http.StatusOK || json.Unmarshal(body, &s) != nil {
		return
	}
	age := w.length - time.Duration(s.LeaseMS)*time.Millisecond
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.watched {
		w.sample.age = max(w.sample.age, age)
	}
}

// refresh makes one write, and notes how long the one before is ago.
func (w *meter) refresh(ctx context.Context, g *grant) {
	next, err := w.token(ctx, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {g.Refresh}})
	if err != nil {
		return // the same token is good again within the grace window
	}
	*g = next
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.watched && !w.wrote.IsZero() {
		w.sample.gap = max(w.sample.gap, now.Sub(w.wrote))
	}
	w.wrote = now
}

// logout ends a session and returns how long that took, with retries.
func (w *meter) logout(ctx context.Context, g grant) time.Duration {
	for begin := time.Now(); ; {
		status, _, err := w.send(ctx, http.MethodPost, "/logout", g.Access, nil)
		if err == nil && status == http.StatusNoContent || ctx.Err() != nil {
			return time.Since(begin)
		}
		if wait(ctx, retryEvery) != nil {
			return time.Since(begin)
		}
	}
}

// grant is what a login or a refresh returned.
type grant struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
}

func (w *meter) login(ctx context.Context) (grant, error) {
	return w.token(ctx, url.Values{"grant_type": {"password"}, "username": {user}, "password": {password}})
}

func (w *meter) token(ctx context.Context, form url.Values) (grant, error) {
	status, body, err := w.send(ctx, http.MethodPost, "/token", "", form)
	if err != nil {
		return grant{}, err
	}
	var g grant
	if status != http.StatusOK || json.Unmarshal(body, &g) != nil {
		return g, fmt.Errorf("failover: %s/token: status %d: %s", w.url, status, bytes.TrimSpace(body))
	}
	return g, nil
}

func (w *meter) send(ctx context.Context, method, path, bearer string, form url.Values) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, w.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, nil, err
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	resp, err := w.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, body, err
}
