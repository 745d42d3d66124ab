package load

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/knell-auth/knell/cluster-test/history"
)

// Replica is one replica of an installation.
type Replica struct{ Name, URL string }

// Mix is how many operations of each kind fall due in a second, at all replicas together.
type Mix struct{ Login, Verify, Refresh, Logout float64 }

func (m Mix) of(k history.Kind) float64 {
	return map[history.Kind]float64{history.Login: m.Login, history.Verify: m.Verify, history.Refresh: m.Refresh, history.Logout: m.Logout}[k]
}

// Config says what load to send where.
type Config struct {
	Issuer      Issuer
	Replicas    []Replica
	Mix         Mix
	Arrivals    Arrivals
	For, Warmup time.Duration
	Seed        uint64
	// Sessions are made before the load begins. 0: as many as the logouts take beyond what logins bring, and some.
	Sessions int
	// InFlight bounds the operations of one kind at one replica that are under way. 0: 256.
	InFlight int
	// Patience is how long an operation waits for one of these to end before it counts as not sent. 0: 1 s.
	Patience time.Duration
	// Timeout ends a request without an answer. It must exceed the longest pause of a replica, or nobody sees what that
	// answers when it wakes. 0: 20 s.
	Timeout time.Duration
	// TraceEvery: one logout in so many is watched from before it is asked for. 0: 5; below 0: none.
	TraceEvery int
	TraceAfter time.Duration // how long it is watched after its return at most. 0: 2 s
	Recorder   *history.Recorder
	Transport  http.RoundTripper // carries all requests. Nil: TCP, with connections of its own for each replica
	// Beside runs beside the load from the end of the warm-up on: faults. Its context ends with the load, which waits for
	// its return. Nil: nothing.
	Beside func(context.Context) error
	// Progress is called about once a second. Nil: nobody asks.
	Progress func(Progress)
}

func (c *Config) fillIn() {
	if c.InFlight == 0 {
		c.InFlight = 256
	}
	if c.Patience == 0 {
		c.Patience = time.Second
	}
	if c.Timeout == 0 {
		c.Timeout = 20 * time.Second
	}
	if c.TraceEvery == 0 {
		c.TraceEvery = 5
	}
	if c.TraceAfter == 0 {
		c.TraceAfter = 2 * time.Second
	}
	if c.Sessions == 0 {
		c.Sessions = c.Mix.sessions(c.Warmup + c.For)
	}
}

// spareSessions are there beyond what logouts take, so that verifications and refreshes find some.
const spareSessions = 50

// sessions returns how many are needed at the start: what logouts take beyond what logins bring, and three standard
// deviations of both.
func (m Mix) sessions(total time.Duration) int {
	taken, brought := m.Logout*total.Seconds(), m.Login*total.Seconds()
	return spareSessions + int(max(taken-brought, 0)+3*math.Sqrt(taken+brought))
}

// engine is a running load.
type engine struct {
	cfg   Config
	m     *measure
	views []*view
	pool  *pool
	end   time.Duration // of the load

	ctx      context.Context // of requests; outlives the load, so that what was begun is completed
	requests sync.WaitGroup
	probes   []chan struct{} // one for each replica; bounds checks after logouts
	traces   chan struct{}   // bounds traced logouts
	avoid    []atomic.Int64  // per replica: until when others are preferred
	streams  atomic.Bool     // replicas tell their standing

	canaryMu sync.Mutex
	canary   *session
}

func newEngine(cfg Config) *engine {
	cfg.fillIn()
	e := &engine{
		cfg: cfg, m: newMeasure(), pool: newPool(cfg.Seed),
		traces: make(chan struct{}, maxTraces), avoid: make([]atomic.Int64, len(cfg.Replicas)),
	}
	for i, r := range cfg.Replicas {
		carry := cfg.Transport
		if carry == nil {
			carry = &http.Transport{MaxIdleConnsPerHost: idleConns, Proxy: http.ProxyFromEnvironment}
		}
		c := &client{replica: i, base: r.URL, issuer: &e.cfg.Issuer, timeout: cfg.Timeout, now: e.now, http: &http.Client{
			Transport: carry, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}}
		e.views = append(e.views, newView(r.Name, c))
		e.probes = append(e.probes, make(chan struct{}, maxProbes))
	}
	return e
}

// idleConns is how many connections to a replica are kept.
const idleConns = 256

func (e *engine) now() time.Duration { return e.cfg.Recorder.Now() }

// drain is how long an interrupted run waits for what is under way.
const drain = 2 * time.Second

// Run makes sessions, sends the load and returns what came of it. When ctx ends early, the result says so and holds what
// there is. An error besides a result is of Beside.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	e := newEngine(cfg)
	requests, abort := context.WithCancel(context.WithoutCancel(ctx))
	defer abort()
	e.ctx = requests
	defer func() {
		for _, v := range e.views {
			v.client.http.CloseIdleConnections()
		}
	}()
	if err := e.fill(ctx); err != nil {
		return nil, err
	}
	origin := e.now()
	e.m.from = origin + e.cfg.Warmup
	e.end = e.m.from + e.cfg.For
	began := time.Now().Add(e.cfg.Warmup)

	loading, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- e.beside(loading) }() // ends with loading, and is awaited below
	var reporting sync.WaitGroup
	reporting.Go(func() { e.progress(loading) })
	e.load(loading, origin)
	measured := min(e.now(), e.end) - e.m.from
	interrupted := ctx.Err() != nil
	if interrupted {
		timer := time.AfterFunc(drain, abort)
		defer timer.Stop()
	}
	stop()
	err := <-done
	e.requests.Wait()
	reporting.Wait()
	r := e.result(max(measured, 0))
	r.Began, r.Interrupted = began.UTC(), interrupted
	return r, err
}

// load sends everything until its end or until ctx ends. It does not wait for answers.
func (e *engine) load(ctx context.Context, origin time.Duration) {
	var senders sync.WaitGroup
	stream := uint64(0)
	for i := range e.views {
		for _, k := range kinds {
			stream++
			rate := e.cfg.Mix.of(k) / float64(len(e.views))
			if rate <= 0 {
				continue
			}
			s := NewSchedule(rate, e.cfg.Arrivals, e.cfg.Seed, stream)
			senders.Go(func() { e.send(ctx, k, i, s, origin) })
		}
		senders.Go(func() { e.canaries(ctx, e.views[i]) })
	}
	senders.Go(func() { e.watchStream(ctx) })
	senders.Wait()
}

// send carries out the operations of one kind at one replica when they are due. When too many are under way it waits, and
// the later ones with it; their latency counts from when they were due all the same.
func (e *engine) send(ctx context.Context, k history.Kind, replica int, s *Schedule, origin time.Duration) {
	slots := make(chan struct{}, e.cfg.InFlight)
	step := map[history.Kind]func(int, time.Duration, int){
		history.Login: e.login, history.Verify: e.verify, history.Refresh: e.refresh, history.Logout: e.logout,
	}[k]
	n := 0
	e.dispatch(ctx, s, origin, e.end, func(due time.Duration) {
		n++
		number := n
		e.m.count(k, due, func(o *Operation) { o.Due++ })
		if !acquire(slots, due+e.cfg.Patience-e.now()) {
			e.m.count(k, due, func(o *Operation) { o.Unsent++ })
			return
		}
		e.m.late(due, e.now())
		e.requests.Go(func() {
			defer func() { <-slots }()
			step(replica, due, number)
		})
	})
}

// acquire takes a slot within d.
func acquire(slots chan struct{}, d time.Duration) bool {
	select {
	case slots <- struct{}{}:
		return true
	default:
	}
	if d <= 0 {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case slots <- struct{}{}:
		return true
	case <-timer.C:
		return false
	}
}

// beside runs what goes on beside the load once the warm-up is over.
func (e *engine) beside(ctx context.Context) error {
	if e.cfg.Beside == nil || !sleep(ctx, e.m.from-e.now()) {
		return nil
	}
	return e.cfg.Beside(ctx)
}

// sleep waits for d and reports whether ctx is still good.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(max(d, 0))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// fill makes the first sessions, a few at a time at each replica: passwords cost the issuer time. It does not hurry a
// replica that says that it has enough to do.
func (e *engine) fill(ctx context.Context) error {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var last answer
	var reporting sync.WaitGroup
	filling, stop := context.WithCancel(ctx)
	defer stop()
	reporting.Go(func() { e.progress(filling) })
	failures := 0 // in a row
	for i := range fillers * len(e.views) {
		c := e.views[i%len(e.views)].client
		wg.Go(func() {
			for filling.Err() == nil && e.pool.size() < e.cfg.Sessions {
				a, s := c.login(filling)
				mu.Lock()
				if s != nil {
					e.pool.add(s)
					failures = 0
					mu.Unlock()
					continue
				}
				if filling.Err() == nil { // else it may have been broken off
					last = a
				}
				if failures++; a.outcome == history.Refused || a.outcome == history.Unexpected || failures >= maxFailures {
					stop() // it will not become better
				}
				mu.Unlock()
				sleep(filling, fillPause)
			}
		})
	}
	wg.Wait()
	stop()
	reporting.Wait()
	if e.pool.size() >= e.cfg.Sessions {
		return e.usable()
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("load: %d of %d sessions were made: %w", e.pool.size(), e.cfg.Sessions, err)
	}
	return fmt.Errorf("load: only %d of %d sessions could be made: the last login was %s", e.pool.size(), e.cfg.Sessions, last.describe())
}

// Pace of the first logins.
const (
	fillers     = 2 // at a time at each replica
	fillPause   = 200 * time.Millisecond
	maxFailures = 30
)

// usable returns an error when the sessions are not fit for what is asked for.
func (e *engine) usable() error {
	s := e.pool.pick(e.now())
	switch {
	case s == nil:
		return errors.New("load: the access tokens expire before all sessions are made: let them live longer, or ask for fewer --sessions")
	case s.refresh == "" && e.cfg.Mix.Refresh > 0:
		return errors.New("load: the issuer gives no refresh tokens: use --refresh 0")
	case s.refresh == "" && e.cfg.Issuer.RevokeRefresh:
		return errors.New("load: the issuer gives no refresh tokens that could be revoked")
	}
	for _, v := range e.views {
		if a := v.client.check(e.ctx, s.access); a.outcome != history.OK {
			return fmt.Errorf("load: %s (%s) does not accept a token of a new session: it was %s", v.name, v.client.base, a.describe())
		}
	}
	return nil
}

// describe says what an answer was, without anything of its body: that may hold what is secret.
func (a answer) describe() string {
	if a.status == 0 {
		cause := a.err
		var outer *url.Error
		if errors.As(cause, &outer) { // which says the URL once more
			cause = outer.Err
		}
		return fmt.Sprintf("not answered: %v", cause)
	}
	return fmt.Sprintf("answered %d %s (%s)", a.status, http.StatusText(a.status), a.outcome)
}

// result sums everything up.
func (e *engine) result(measured time.Duration) *Result {
	r := &Result{
		Format: Format, Measured: measured.Seconds(), Slot: canaryEvery.Seconds(), Stream: e.streams.Load(),
		TraceAfter: e.cfg.TraceAfter.Seconds(), Expired: e.pool.expiredCount(), Faults: []Fault{}, Seconds: []Second{},
	}
	e.m.fill(r)
	for _, v := range e.views {
		r.Replicas = append(r.Replicas, v.report())
	}
	for _, f := range e.cfg.Recorder.History().Faults {
		fault := Fault{Name: f.Name, Replica: e.views[f.Replica].name, From: (f.Start - e.m.from).Seconds()}
		if f.End > 0 {
			fault.To = (f.End - e.m.from).Seconds()
		}
		r.Faults = append(r.Faults, fault)
	}
	return r
}

// avoiding is how long others are preferred to a replica that failed.
const avoiding = 2 * time.Second

// inTurn returns the clients, beginning with the given one, those that failed lately last: as a load balancer would.
func (e *engine) inTurn(first int) []*client {
	now := int64(e.now())
	var good, bad []*client
	for i := range e.views {
		c := e.views[(first+i)%len(e.views)].client
		if e.avoid[c.replica].Load() > now {
			bad = append(bad, c)
		} else {
			good = append(good, c)
		}
	}
	return append(good, bad...)
}

func (e *engine) shun(c *client) { e.avoid[c.replica].Store(int64(e.now() + avoiding)) }

// jitter returns a pause between attempts.
func jitter() time.Duration { return retryPause/2 + rand.N(retryPause) }

// retryPause is how long a client waits on average before it repeats what failed.
const retryPause = 50 * time.Millisecond
