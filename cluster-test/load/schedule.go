package load

import (
	"context"
	"math/rand/v2"
	"time"
)

// Arrivals is how the instants of a schedule lie.
type Arrivals int

const (
	// Poisson: independent users. Bursts happen, as they do in life.
	Poisson Arrivals = iota
	// Uniform: the same distance between any two.
	Uniform
)

// Schedule is a sequence of instants at which operations are due, whatever became of those before. It is for one goroutine.
type Schedule struct {
	mean     float64 // distance in nanoseconds
	arrivals Arrivals
	rng      *rand.Rand
	next     float64
}

// NewSchedule returns a schedule of rate instants a second. Equal seed and stream give equal schedules; other streams are
// independent. rate must be above 0.
func NewSchedule(rate float64, arrivals Arrivals, seed, stream uint64) *Schedule {
	s := &Schedule{mean: float64(time.Second) / rate, arrivals: arrivals, rng: rand.New(rand.NewPCG(seed, stream))}
	if arrivals == Uniform {
		s.next = s.rng.Float64() * s.mean // streams take turns instead of marching in step
	} else {
		s.next = s.gap()
	}
	return s
}

// Next returns the next instant, from the begin of the schedule.
func (s *Schedule) Next() time.Duration {
	at := s.next
	s.next += s.gap()
	return time.Duration(at)
}

func (s *Schedule) gap() float64 {
	if s.arrivals == Uniform {
		return s.mean
	}
	return s.rng.ExpFloat64() * s.mean
}

// dispatch calls send for each instant of s from origin on, until end or until ctx ends. send gets the instant that the
// operation was due, and must not block for long: dispatch is late for the next ones then, and says so to nobody.
func (e *engine) dispatch(ctx context.Context, s *Schedule, origin, end time.Duration, send func(due time.Duration)) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	for {
		due := origin + s.Next()
		if due >= end {
			return
		}
		if wait := due - e.now(); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				return
			}
		} else if ctx.Err() != nil {
			return
		}
		send(due)
	}
}
