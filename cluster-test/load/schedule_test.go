package load

import (
	"math"
	"slices"
	"testing"
	"time"
)

// instants returns the instants of a schedule before end.
func instants(s *Schedule, end time.Duration) (all []time.Duration) {
	for {
		at := s.Next()
		if at >= end {
			return all
		}
		all = append(all, at)
	}
}

func TestScheduleUniform(t *testing.T) {
	all := instants(NewSchedule(200, Uniform, 1, 1), 10*time.Second)
	if len(all) != 2000 {
		t.Errorf("%d instants in 10 s, want 2000", len(all))
	}
	for i := 1; i < len(all); i++ {
		if d := all[i] - all[i-1]; d < 5*time.Millisecond-time.Microsecond || d > 5*time.Millisecond+time.Microsecond {
			t.Fatalf("distance %v, want 5ms", d)
		}
	}
}

// Of a Poisson process the number of instants has its mean as its variance, and the distances are exponential: a share of
// 1/e is longer than the mean.
func TestSchedulePoisson(t *testing.T) {
	all := instants(NewSchedule(1000, Poisson, 7, 3), 100*time.Second)
	if n := float64(len(all)); math.Abs(n-100_000) > 4*math.Sqrt(100_000) {
		t.Errorf("%v instants, want about 100,000", n)
	}
	perSecond := make([]float64, 100)
	long := 0
	for i, at := range all {
		perSecond[at/time.Second]++
		if i > 0 && at-all[i-1] > time.Millisecond {
			long++
		}
	}
	variance := 0.0
	for _, n := range perSecond {
		variance += (n - 1000) * (n - 1000) / 100
	}
	if variance < 600 || variance > 1500 { // four standard deviations
		t.Errorf("variance of the number a second %.0f, want about 1000", variance)
	}
	if share := float64(long) / float64(len(all)); math.Abs(share-1/math.E) > 0.01 {
		t.Errorf("a share of %.3f is longer than the mean, want 0.368", share)
	}
	if !slices.IsSorted(all) {
		t.Error("instants go back")
	}
}

func TestScheduleIsSeeded(t *testing.T) {
	first := instants(NewSchedule(50, Poisson, 1, 1), time.Second*10)
	for _, c := range []struct {
		seed, stream uint64
		same         bool
	}{{1, 1, true}, {2, 1, false}, {1, 2, false}} {
		if got := instants(NewSchedule(50, Poisson, c.seed, c.stream), time.Second*10); slices.Equal(got, first) != c.same {
			t.Errorf("seed %d, stream %d: same is %v", c.seed, c.stream, !c.same)
		}
	}
}
