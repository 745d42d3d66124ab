package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/knell-auth/knell/cluster-test/process"
	"github.com/knell-auth/knell/internal/password"
)

// floodResult is how long /verify takes while nobody logs in, and while too many do.
type floodResult struct {
	capacity float64     // hashes a second that all processors can compute
	sent     float64     // logins a second
	answered map[int]int // status → how often
	idle     []sample    // of /verify, one a round
	flooded  []sample
}

func (f *floodResult) print(out io.Writer, y summary) {
	if f == nil {
		return
	}
	fmt.Fprintf(out, "A flood of logins: this machine can hash %.0f passwords a second; %.0f logins a second were sent (answers: %v).\n"+
		"`/verify` at %d requests a second: p50 %s idle, %s flooded; p99 %s idle, %s flooded.\n\n", f.capacity, f.sent, f.answered, probeRate,
		millis(y.of(f.idle, p50)), millis(y.of(f.flooded, p50)), millis(y.of(f.idle, p99)), millis(y.of(f.flooded, p99)))
}

const (
	probeRate   = 1000 // requests to /verify a second
	probeConns  = 8
	floodRounds = 5
)

// measureFlood measures /verify without and with a flood of logins, in turn. The replica has all processors, as has the load.
func measureFlood(ctx context.Context, s settings, dir string, say func(string, ...any)) (*floodResult, error) {
	f := &fleet{ctx: ctx, dir: dir}
	defer f.close()
	knell, known, err := f.startReplica(service{Tokens: 1, Flood: true}, everyCPU)
	if err != nil {
		return nil, err
	}
	out := &floodResult{answered: map[int]int{}}
	if out.capacity, err = hashesPerSecond(ctx); err != nil {
		return nil, err
	}
	due := time.Duration(float64(time.Second) / (out.capacity * s.floodTimes))
	probe := load{knell.addr, bearers(known.Token), nil}
	for round := range floodRounds {
		say("flood, round %d of %d", round+1, floodRounds)
		idle, err := pace(ctx, probe, s.floodTime)
		if err != nil {
			return nil, err
		}
		fl := startFlood(ctx, knell.addr, due)
		flooded, err := pace(ctx, probe, s.floodTime)
		sent := fl.stop(out.answered)
		if err != nil {
			return nil, err
		}
		out.sent += sent / floodRounds
		out.idle, out.flooded = append(out.idle, idle), append(out.flooded, flooded)
	}
	return out, nil
}

// hashesPerSecond returns what this machine can hash with all processors and nothing else to do. It goes by processor time, which other
// work on the machine hardly changes.
func hashesPerSecond(ctx context.Context) (float64, error) {
	const times = 50
	h := password.New(password.Config{})
	before, err := process.CPU(os.Getpid())
	for i := 0; i < times && err == nil; i++ {
		_, err = h.Hash(ctx, "correct horse battery staple")
	}
	if err != nil {
		return 0, err
	}
	after, err := process.CPU(os.Getpid())
	return float64(runtime.NumCPU()*times) / (after - before).Seconds(), err
}

// pace sends l at probeRate for the time d, whatever becomes of the answers, and measures each from the moment at which it was due.
func pace(ctx context.Context, l load, d time.Duration) (sample, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex
	var all []time.Duration
	var work sync.WaitGroup
	began := time.Now()
	for i := range probeConns {
		work.Go(func() {
			list, err := paceOne(ctx, l, began.Add(time.Duration(i)*time.Second/probeRate), d)
			if err != nil {
				cancel(err)
			}
			mu.Lock()
			all = append(all, list...)
			mu.Unlock()
		})
	}
	work.Wait()
	return sample{p50: quantile(all, 0.50), p99: quantile(all, 0.99)}, context.Cause(ctx)
}

// paceOne is one connection's part of pace.
func paceOne(ctx context.Context, l load, due time.Time, d time.Duration) (list []time.Duration, err error) {
	conn, err := net.Dial("tcp", l.addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	answer := make([]byte, maxAnswer)
	for end := due.Add(d); due.Before(end) && ctx.Err() == nil; due = due.Add(probeConns * time.Second / probeRate) {
		time.Sleep(time.Until(due))
		if _, err := conn.Write(l.requests[0]); err != nil {
			return nil, err
		}
		n, err := conn.Read(answer) // it is short, and comes at once
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(string(answer[:n]), "HTTP/1.1 200 ") || !strings.HasSuffix(string(answer[:n]), "\r\n\r\n") {
			return nil, fmt.Errorf("the answer is %.300q", answer[:n])
		}
		list = append(list, time.Since(due))
	}
	return list, nil
}

// flood is logins of names that nobody has, each from an address of its own, so that nothing but the hash stops them.
type flood struct {
	cancel context.CancelFunc
	work   sync.WaitGroup
	began  time.Time

	mu       sync.Mutex
	answered map[int]int // status → how often
}

// startFlood sends a login at each interval.
func startFlood(ctx context.Context, addr string, every time.Duration) *flood {
	ctx, cancel := context.WithCancel(ctx)
	f := &flood{cancel: cancel, began: time.Now(), answered: map[int]int{}}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}
	f.work.Go(func() {
		defer client.CloseIdleConnections()
		var logins sync.WaitGroup
		defer logins.Wait()
		for due := f.began; ctx.Err() == nil; due = due.Add(every) {
			time.Sleep(time.Until(due))
			logins.Go(func() { f.login(ctx, client, addr) })
		}
	})
	return f
}

func (f *flood) login(ctx context.Context, client *http.Client, addr string) {
	form := url.Values{"grant_type": {"password"}, "username": {rand.Text()}, "password": {rand.Text()}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		return
	}
	var from [4]byte
	rand.Read(from[:])
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("X-Forwarded-For", net.IP{20 + from[0]%100, from[1], from[2], from[3]}.String())
	status := 0 // no answer
	resp, err := client.Do(req)
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		err = errors.Join(err, resp.Body.Close())
		status = resp.StatusCode
	}
	if err != nil && ctx.Err() != nil {
		return // the flood is over
	}
	f.mu.Lock()
	f.answered[status]++
	f.mu.Unlock()
}

// stop ends the flood, adds its answers to sum, and returns how many there were a second.
func (f *flood) stop(sum map[int]int) float64 {
	took := time.Since(f.began)
	f.cancel()
	f.work.Wait()
	n := 0
	for status, times := range f.answered {
		n += times
		sum[status] += times
	}
	return float64(n) / took.Seconds()
}
