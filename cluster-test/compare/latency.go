package compare

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/knell-auth/knell/cluster-test/history"
	"github.com/knell-auth/knell/cluster-test/process"
)

// Latency is what a check of a token costs that the replica has seen before.
type Latency struct {
	Checks   int
	Failed   int // not accepted
	P50, P99 time.Duration
	// CPU is the processor time of all processes, the store's included, for one check, beyond what they use when idle.
	CPU time.Duration
	// Idle is the processor time that all processes use in one second without load.
	Idle time.Duration
}

// knownTokens is how many tokens the checks are spread over.
const knownTokens = 20

// slice is how long one installation is asked before it is the next one's turn.
const slice = time.Second

// asked is an installation whose latency is measured.
type asked struct {
	m        *measurement
	client   *client
	tokens   []string
	idle     time.Duration // processor time of an idle second
	used     time.Duration // processor time during the slices
	took     time.Duration // of the slices
	results  []result
	measured bool // processor time is known
}

// latencies sends checks in an open model: each has its time, and its latency counts from that, whether or not the ones before
// it have been answered.
func latencies(ctx context.Context, s Settings, all []*measurement) error {
	var turns []*asked
	for _, m := range all {
		if m.in == nil || m.row.FaultsOnly {
			continue
		}
		a := &asked{m: m, client: newClient(m.in)}
		defer a.client.close()
		var err error
		if a.tokens, err = a.client.known(ctx, knownTokens); err != nil {
			return fmt.Errorf("%s: %w", m.row.Name, err)
		}
		turns = append(turns, a)
	}
	if len(turns) == 0 {
		return nil
	}
	s.Logf("latency of a check: %d installations in turns", len(turns))
	if err := watchIdle(ctx, s.Idle, turns); err != nil {
		return err
	}
	for spent := time.Duration(0); spent < s.Load && ctx.Err() == nil; spent += slice {
		for _, a := range turns {
			if err := a.turn(ctx, s.Rate, min(slice, s.Load-spent)); err != nil {
				return err
			}
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for _, a := range turns {
		l := summarize(a.results)
		if a.measured {
			l.Idle, l.CPU = a.idle, each(a.idle, a.used, a.took, len(a.results))
		}
		a.m.row.Latency = l
		if l.Failed > l.Checks/100 {
			return fmt.Errorf("%s: %d of %d checks of good tokens were not accepted", a.m.row.Name, l.Failed, l.Checks)
		}
	}
	return nil
}

// watchIdle measures what each installation uses while nobody asks.
func watchIdle(ctx context.Context, length time.Duration, turns []*asked) error {
	begin := time.Now()
	before := make([]time.Duration, len(turns))
	for i, a := range turns {
		var err error
		before[i], err = a.m.cpu()
		if err != nil && !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
		a.measured = err == nil
	}
	pause(ctx, length)
	took := time.Since(begin)
	for i, a := range turns {
		if !a.measured {
			continue
		}
		after, err := a.m.cpu()
		if err != nil {
			return err
		}
		a.idle = time.Duration(float64(after-before[i]) / took.Seconds())
	}
	return nil
}

// turn asks for the length of one slice.
func (a *asked) turn(ctx context.Context, rate int, length time.Duration) error {
	before, _ := a.m.cpu() // where it is not known, it is not used
	begin := time.Now()
	a.results = append(a.results, open(ctx, rate, length, func(i int) bool {
		return a.client.verify(ctx, i%Replicas, a.tokens[i%len(a.tokens)]).Outcome == history.OK
	})...)
	a.took += time.Since(begin)
	after, err := a.m.cpu()
	if err != nil && a.measured {
		return err
	}
	a.used += after - before
	return nil
}

// cpu returns the processor time of all processes until now.
func (m *measurement) cpu() (sum time.Duration, err error) {
	for _, pid := range m.in.processes() {
		used, err := process.CPU(pid)
		if err != nil {
			return 0, err
		}
		sum += used
	}
	return sum, nil
}

// each returns the processor time of one of n requests, beyond what the processes use when idle, a second.
func each(idle, used, took time.Duration, n int) time.Duration {
	if n == 0 {
		return 0
	}
	return max(0, (used-time.Duration(idle.Seconds()*float64(took)))/time.Duration(n))
}

// result is one request of the open model.
type result struct {
	latency time.Duration
	ok      bool
}

// open calls send rate times a second for the given time, each at its own instant and on a goroutine of its own.
func open(ctx context.Context, rate int, length time.Duration, send func(i int) bool) []result {
	n := int(length.Seconds() * float64(rate))
	results := make([]result, n)
	var all sync.WaitGroup
	begin := time.Now()
	sent := 0
	for i := range n {
		due := begin.Add(time.Duration(float64(i) / float64(rate) * float64(time.Second)))
		pause(ctx, time.Until(due))
		if ctx.Err() != nil {
			break
		}
		sent++
		all.Go(func() {
			ok := send(i)
			results[i] = result{time.Since(due), ok}
		})
	}
	all.Wait()
	return results[:sent]
}

func summarize(results []result) *Latency {
	l := &Latency{Checks: len(results)}
	var times []time.Duration
	for _, r := range results {
		if !r.ok {
			l.Failed++
			continue
		}
		times = append(times, r.latency)
	}
	l.P50, l.P99 = quantile(times, 0.5), quantile(times, 0.99)
	return l
}
