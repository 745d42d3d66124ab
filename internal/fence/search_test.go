package fence

import (
	"flag"
	"hash/maphash"
	"testing"
)

var depth = flag.Int("fence.depth", 0, "1: search larger worlds as well; takes minutes and some GB")

// node is a visited world: how it was reached.
type node struct {
	parent int32
	act    act
}

// result is what a search found.
type result struct {
	states int
	trace  []act // shortest way to a violation; nil if there is none
}

// explore visits every world that the rules allow, nearest first.
func explore(r *rules) result {
	seeds := [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}
	seen := make(map[[2]uint64]struct{})
	var buf []byte
	fresh := func(w *world) bool {
		buf = w.key(r, buf[:0])
		k := [2]uint64{maphash.Bytes(seeds[0], buf), maphash.Bytes(seeds[1], buf)}
		if _, ok := seen[k]; ok {
			return false
		}
		seen[k] = struct{}{}
		return true
	}
	type open struct {
		w  world
		id int32
	}
	nodes := []node{{parent: -1}}
	start := newWorld(r)
	fresh(&start)
	level := []open{{start, 0}}
	found := int32(-1)
	for len(level) > 0 && found < 0 {
		var next []open
		for i := range level {
			level[i].w.successors(r, func(a act, w *world) {
				violation := a.kind == doVerify && w.lives[a.arg].verify == 3
				if violation {
					violation = level[i].w.accepted(r, int(a.arg))
					if !violation {
						return // refused: nothing follows from it
					}
				}
				if !violation && !fresh(w) {
					return
				}
				nodes = append(nodes, node{level[i].id, a})
				id := int32(len(nodes) - 1)
				if violation && found < 0 {
					found = id
				}
				next = append(next, open{*w, id})
			})
			if found >= 0 {
				break
			}
		}
		level = next
	}
	res := result{states: len(seen)}
	for id := found; id > 0; id = nodes[id].parent {
		res.trace = append([]act{nodes[id].act}, res.trace...)
	}
	return res
}

// accepted reports whether the last step of a verification accepts.
func (w world) accepted(r *rules, i int) bool { return w.step(r, i) }

// worlds returns the worlds to search. None of them is large; together they hold every kind of event.
func worlds(depth int) map[string]rules {
	all := []tick{longSlow, longFast, shortSlow, shortFast}
	slow := []tick{longSlow, shortSlow}
	w := map[string]rules{
		"one life":   {ticks: all, maxTicks: 3, beats: 2, maxLog: 3},
		"beats":      {ticks: slow, maxTicks: 2, beats: 3, maxLog: 4},
		"overlap":    {ticks: slow, maxTicks: 2, beats: 2, maxLog: 3, overlap: true},
		"crash":      {ticks: slow, maxTicks: 2, beats: 2, maxLog: 4, crash: true, prompt: true},
		"leave":      {ticks: slow, maxTicks: 3, beats: 2, maxLog: 4, leave: true, prompt: true},
		"sleep":      {ticks: append(slow[:2:2], sleepLong, revSleeps), maxTicks: 3, beats: 2, maxLog: 3},
		"wall steps": {ticks: slow, maxTicks: 3, beats: 2, maxLog: 3, steps: 1},
		"restarts":   {ticks: slow, maxTicks: 3, beats: 2, maxLog: 3, restarts: 2},
		"lengths":    {ticks: slow, maxTicks: 4, beats: 2, maxLog: 3, length: 2 * lease, restarts: 1},
	}
	if depth > 0 {
		w["wall steps, deep"] = rules{ticks: slow, maxTicks: 3, beats: 2, maxLog: 3, steps: 2}
		w["one life, deep"] = rules{ticks: all, maxTicks: 4, beats: 3, maxLog: 4}
		w["lives, deep"] = rules{ticks: slow, maxTicks: 3, beats: 2, maxLog: 4, overlap: true, crash: true, leave: true, prompt: true}
		w["restarts, deep"] = rules{ticks: slow, maxTicks: 2, beats: 2, maxLog: 3, restarts: 1, overlap: true, crash: true}
	}
	for name, r := range w {
		if r.length == 0 {
			r.length = lease
		}
		w[name] = r
	}
	return w
}

// With the real rules there is none. Together these worlds have 1.7 million states, 10 million with -fence.depth 1.
func TestSearchFindsNoViolation(t *testing.T) {
	for name, r := range worlds(*depth) {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && name != "one life" {
				t.Skip("short")
			}
			res := explore(&r)
			t.Logf("%d states", res.states)
			if res.trace != nil {
				t.Errorf("a revoked token is accepted after its logout returned:\n%s", describe(&r, res.trace))
			}
		})
	}
}

// outside are the rules that are no part of the searched worlds, which have one session and one logout, with what shows that they
// are needed.
const outside = RepeatWithoutBarrier | // node: TestRepeatedLogoutNeedsItsBarrier
	NoValidation | // node: TestValidationIsNeeded
	NoDigest | // node: TestDigestFencesWhoSkipped
	NoDedupe | // node: TestDedupeIsNeeded
	NoReuseDetection | // node: TestReuseDetectionIsNeeded
	NoSync | // cluster-test: mutant-sync-off
	NoLevels | // cluster-test: mutant-levels
	NoMajority | // node: TestTrimNeedsMajority
	UnboundLeaf | // node: TestUnboundLeaves
	Unsigned // node: TestForgedBeat, TestForgedEnd, TestForgedEvent

// Every rule is needed: without it, some world holds a violation.
func TestSearchFindsMutants(t *testing.T) {
	if testing.Short() {
		t.Skip("short")
	}
	in := map[Mutation]string{
		NoLeaseCheck:              "one life",
		CacheBeforeLease:          "one life",
		DateFromDelivery:          "one life",
		SetAtPublish:              "one life",
		WaitFromPublish:           "one life",
		CachedClock:               "one life",
		SkipMessage:               "one life",
		ReportsWithoutIncarnation: "overlap",
		NoBarrier:                 "one life",
		CompactRevocations:        "one life",
	}
	for bit := Mutation(1); bit < mutationEnd; bit <<= 1 {
		if bit&outside != 0 {
			continue
		}
		t.Run(bit.String(), func(t *testing.T) {
			r, ok := worlds(0)[in[bit]]
			if !ok {
				t.Fatal("no world")
			}
			r.broken = bit
			expectViolation(t, &r)
		})
	}
}

// Every assumption and every duty of the driver is needed as well.
func TestSearchFindsBrokenAssumptions(t *testing.T) {
	if testing.Short() {
		t.Skip("short")
	}
	for _, c := range []struct {
		name, world string
		alter       func(*rules)
	}{
		{"clock rates differ by more than a tenth", "one life", func(r *rules) { r.ticks = append(r.ticks, driftShort) }},
		{"a suspension that no clock shows", "one life", func(r *rules) { r.ticks = append(r.ticks, frozen) }},
		{"a suspension hidden by a step back of the wall clock", "wall steps", func(r *rules) { r.ticks = append(r.ticks, sleepLong) }},
		{"a lease that looks at the monotonic clock only", "sleep", func(r *rules) { r.leaseByMono = true }},
		{"a wait that ends by the wall clock", "wall steps", func(r *rules) { r.waitByWall = true }},
		{"a replica that left and still serves", "leave", func(r *rules) { r.leaveServing = true }},
		{"a snapshot that forgets who held a lease", "restarts", func(r *rules) { r.forget = true }},
		{"a report before readers see", "one life", func(r *rules) { r.reportEarly = true }},
		{"longer leases than pings say", "lengths", func(r *rules) { r.hideLength = true }},
		{"a reading from before the message arrived", "one life", func(r *rules) { r.readEarly = true }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := worlds(0)[c.world]
			c.alter(&r)
			expectViolation(t, &r)
		})
	}
}

// expectViolation fails the test if the world holds no violation.
func expectViolation(t *testing.T, r *rules) {
	t.Helper()
	res := explore(r)
	if res.trace == nil {
		t.Fatalf("no violation in %d states", res.states)
	}
	t.Logf("%d states, shortest way:\n%s", res.states, describe(r, res.trace))
}
