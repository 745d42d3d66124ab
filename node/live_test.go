package node

import (
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestLanes: so many deliver at a time and no more, the others in turn; and those who stay in their lanes hold nobody up.
func TestLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := make(lanes, 2)
		began := time.Now()
		for range 2 {
			l.lane().enter() // of clients that take nothing
		}
		done := make(chan time.Duration)
		var inside atomic.Int32
		for range 10 {
			go func() {
				x := l.lane()
				for range 3 {
					x.enter()
					if inside.Add(1) > int32(cap(l)) {
						t.Error("too many deliver at a time")
					}
					runtime.Gosched()
					inside.Add(-1)
					x.leave()
				}
				done <- time.Since(began)
			}()
		}
		for range 10 {
			if took := <-done; took != laneTime {
				t.Errorf("it waited for %v, want %v", took, laneTime)
			}
		}
		time.Sleep(time.Second)
		if len(l) != 0 {
			t.Errorf("%d lanes are taken for ever", len(l))
		}
	})
}
