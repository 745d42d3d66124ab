//go:build knell_break

package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/fence"
)

// Faults that no process can be given from outside: clocks that run at another rate or are set, and a log that is slow in
// one direction. They are read from a file while the node runs, so that a test program can change them at any time.

// FaultDir is where a node looks for a file with its name that says what its faults are; "" (the default): nowhere. It is to
// be set before the first node starts. The file holds words "key=value": rate of both clocks (1), and wall (offset of the wall
// clock), send (delay before an append) and receive (delay before a delivery) as durations (0s).
var FaultDir string

// lookEvery is how often a file is looked at, by whoever reads the clock.
const lookEvery = 5 * time.Millisecond

// faults are those of one node. Copies share them.
type faults struct{ *disturbance }

type disturbance struct {
	file string // "": none

	mu      sync.Mutex // guards all below
	looked  time.Time
	changed time.Time // modification time of the file that now holds
	now     settings
	// At the system's reading at, the clocks of this node showed base, without the offset of the wall clock: a new rate
	// holds from then on and makes no step.
	at, base fence.Reading
}

// settings are what a file says.
type settings struct {
	rate                float64
	wall, send, receive time.Duration
}

func faultsOf(name string) faults {
	d := &disturbance{now: settings{rate: 1}}
	if FaultDir != "" {
		d.file = filepath.Join(FaultDir, name)
	}
	return faults{d}
}

// read returns both clocks as the faults make them. It is called anew for every decision: a cached reading is stale after a
// pause.
func (c *clock) read() fence.Reading { return c.faults.skew(c.real()) }

// skew makes of a reading of the system's clocks what this node is shown.
func (d *disturbance) skew(r fence.Reading) fence.Reading {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.look(r)
	shown := d.run(r)
	shown.Wall += d.now.wall
	return shown
}

// run returns the clocks without the offset. d.mu is held.
func (d *disturbance) run(r fence.Reading) fence.Reading {
	return fence.Reading{
		Mono: d.base.Mono + time.Duration(float64(r.Mono-d.at.Mono)*d.now.rate),
		Wall: d.base.Wall + time.Duration(float64(r.Wall-d.at.Wall)*d.now.rate),
	}
}

// look takes over what the file says when it has changed. d.mu is held. A file that makes no sense is a mistake in a test:
// nothing that it proves would be worth anything.
func (d *disturbance) look(r fence.Reading) {
	if d.file == "" || time.Since(d.looked) < lookEvery {
		return
	}
	d.looked = time.Now()
	info, err := os.Stat(d.file)
	if os.IsNotExist(err) || err == nil && info.ModTime().Equal(d.changed) {
		return
	}
	next := settings{}
	if err == nil {
		next, err = readSettings(d.file)
	}
	if err != nil {
		panic(fmt.Sprintf("node: faults of this build: %v", err))
	}
	d.base, d.at = d.run(r), r
	d.now, d.changed = next, info.ModTime()
}

// readSettings reads a file of words "key=value".
func readSettings(file string) (settings, error) {
	s := settings{rate: 1}
	data, err := os.ReadFile(file)
	if err != nil {
		return s, err
	}
	durations := map[string]*time.Duration{"wall": &s.wall, "send": &s.send, "receive": &s.receive}
	for _, word := range strings.Fields(string(data)) {
		key, value, _ := strings.Cut(word, "=")
		switch to := durations[key]; {
		case key == "rate":
			s.rate, err = strconv.ParseFloat(value, 64)
		case to != nil:
			*to, err = time.ParseDuration(value)
		default:
			err = fmt.Errorf("no fault is named %q", key)
		}
		if err != nil {
			return s, fmt.Errorf("%s: %q: %w", file, word, err)
		}
	}
	if s.rate <= 0 || s.send < 0 || s.receive < 0 {
		return s, fmt.Errorf("%s: rate must be above 0, delays not below", file)
	}
	return s, nil
}

// delays returns how long appends and deliveries take more than usual, now.
func (d *disturbance) delays() (send, receive time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now.send, d.now.receive
}

// disturb returns l with the delays of d.
func (d *disturbance) disturb(l Log) Log {
	slow := slowLog{l, d}
	if readers, ok := l.(Readers); ok {
		return struct {
			slowLog
			Readers
		}{slow, readers}
	}
	return slow
}

// slowLog is a log with delays in front of it.
type slowLog struct {
	Log
	d *disturbance
}

// Append waits before it hands the event over. Beats, the goodbye and all else of a replica's own keeping are not delayed:
// this is about commands that take long to get into the log while everything else goes on.
func (s slowLog) Append(ctx context.Context, e *events.Event) (uint64, error) {
	if delay, _ := s.d.delays(); narrows(e.Data) && delay > 0 {
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return 0, fmt.Errorf("node: append: %w", ctx.Err())
		}
	}
	return s.Log.Append(ctx, e)
}

// Follow holds every batch back for the delay after it has arrived.
func (s slowLog) Follow(ctx context.Context, after uint64, deliver func([]events.Message) error) error {
	type arrival struct {
		at    time.Time
		batch []events.Message
	}
	arrived := make(chan arrival, 1<<14)
	failed := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for a := range arrived {
			_, delay := s.d.delays()
			if wait := time.Until(a.at.Add(delay)); wait > 0 {
				select {
				case <-time.After(wait):
				case <-ctx.Done():
					return
				}
			}
			if err := deliver(a.batch); err != nil {
				failed <- err
				cancel()
				return
			}
		}
	}()
	err := s.Log.Follow(ctx, after, func(batch []events.Message) error {
		own := make([]events.Message, len(batch)) // a batch is deliver's until it returns
		for i, m := range batch {
			own[i] = m
			own[i].Data = append([]byte(nil), m.Data...)
		}
		select {
		case arrived <- arrival{time.Now(), own}:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	close(arrived)
	cancel()
	<-done
	select {
	case err = <-failed:
	default:
	}
	return err
}
