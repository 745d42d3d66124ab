package scenario

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/knell-auth/knell/cluster-test/cluster"
	"github.com/knell-auth/knell/cluster-test/fault"
)

// TestDraw: whatever the seed, blows hit different replicas, only one of them sets rules of links, and each of them ends.
// Equal seeds draw equal blows.
func TestDraw(t *testing.T) {
	draws := func(seed uint64) []blow {
		x := &experiment{
			lease: 4 * time.Second, rng: rand.New(rand.NewPCG(seed, 0)),
			Injector: &fault.Injector{Cluster: &cluster.Cluster{Replicas: make([]*cluster.Replica, 3)}},
		}
		return x.draw()
	}
	twice := 0
	for seed := range uint64(500) {
		blows := draws(seed)
		if fmt.Sprint(describe(blows)) != fmt.Sprint(describe(draws(seed))) {
			t.Fatalf("seed %d draws differently", seed)
		}
		networks := 0
		for _, b := range blows {
			if b.network {
				networks++
			}
			if b.length <= 0 || b.length > 10*time.Second || b.target < 0 || b.target > 2 {
				t.Errorf("seed %d: blow at %d for %v", seed, b.target, b.length)
			}
		}
		if networks > 1 || len(blows) > 2 || len(blows) == 2 && blows[0].target == blows[1].target {
			t.Errorf("seed %d: %v", seed, describe(blows))
		}
		if len(blows) == 2 {
			twice++
		}
	}
	if twice < 100 || twice > 250 {
		t.Errorf("%d of 500 rounds have two blows, want about a third", twice)
	}
}

func describe(blows []blow) (all [][3]int64) {
	for _, b := range blows {
		all = append(all, [3]int64{int64(b.target), int64(b.after), int64(b.length)})
	}
	return all
}
