package fence

import (
	"math/rand/v2"
	"testing"
)

// randomSchedule returns the schedule of a seed.
func randomSchedule(seed uint64, acts int) []byte {
	rng := rand.New(rand.NewPCG(seed, 1))
	s := make([]byte, 3*acts)
	for i := range s {
		s[i] = byte(rng.Uint32())
	}
	return s
}

func FuzzSchedule(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(randomSchedule(seed, 200))
	}
	f.Fuzz(func(t *testing.T, schedule []byte) {
		if err := runSchedule(0, schedule); err != nil {
			t.Fatal(err)
		}
	})
}

func TestRandomSchedules(t *testing.T) {
	for seed := range uint64(10000) {
		if err := runSchedule(0, randomSchedule(seed, 400)); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// The schedules can tell: they find the mutants that live in the machine.
func TestRandomSchedulesFindMutants(t *testing.T) {
	for _, broken := range []Mutation{NoLeaseCheck, DateFromDelivery, ReportsWithoutIncarnation, NoBarrier} {
		t.Run(broken.String(), func(t *testing.T) {
			for seed := range uint64(5000) {
				if err := runSchedule(broken, randomSchedule(seed, 400)); err != nil {
					t.Logf("seed %d: %v", seed, err)
					return
				}
			}
			t.Error("not found")
		})
	}
}
