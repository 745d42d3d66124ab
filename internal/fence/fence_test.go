package fence

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func at(d time.Duration) Reading { return Reading{d, d} }

func TestLeaseOfNobodyIsInvalid(t *testing.T) {
	var none *Lease
	for _, now := range []Reading{{}, at(1), at(-1), at(math.MaxInt64), at(math.MinInt64), {1, -1}, {-1, 1}} {
		if none.Valid(now) || none.Remaining(now) != 0 {
			t.Errorf("nil is valid at %v", now)
		}
		if l := (Lease{}); l.Valid(now) || l.Remaining(now) != 0 {
			t.Errorf("the zero lease is valid at %v", now)
		}
	}
}

func TestLeaseEdges(t *testing.T) {
	l := &Lease{sent: Reading{100, -5000}, length: 10}
	for _, c := range []struct {
		mono, wall time.Duration // since sent
		left       time.Duration
	}{
		{0, 0, 10}, {9, 9, 1}, {3, 9, 1}, {9, 3, 1}, {0, 9, 1},
		{10, 9, 0}, {9, 10, 0}, {10, 10, 0}, {-1, 0, 0}, {0, -1, 0}, {math.MaxInt64 - 100, 0, 0}, {0, math.MaxInt64, 0},
	} {
		now := Reading{100 + c.mono, -5000 + c.wall}
		if got := l.Remaining(now); got != c.left || l.Valid(now) != (c.left > 0) {
			t.Errorf("at +%v +%v: %v remain, want %v", c.mono, c.wall, got, c.left)
		}
	}
}

// What has ended holds up nothing, until it is heard of again.
func TestEnded(t *testing.T) {
	inc := Incarnation{1}
	m := New(Config{Self: Incarnation{9}, Length: 100}, at(0), []Holder{{Inc: inc, Length: 100}})
	if m.Barrier(5, at(1), 1) {
		t.Error("a barrier waits for nobody")
	}
	m.Ended(inc)
	m.Ended(Incarnation{7})
	if got := m.Completed(nil, at(2)); len(got) != 1 || !m.Barrier(6, at(2), 2) {
		t.Errorf("it still waits: %v", got)
	}
	m.Beat(7, Ping{Inc: inc, Counter: 3, Length: 100}, at(3))
	if m.Barrier(8, at(4), 3) {
		t.Error("a life that beats again counts for nothing")
	}
}

func TestZeroConfigGrantsNothing(t *testing.T) {
	for _, length := range []time.Duration{0, -1, math.MinInt64} {
		m := New(Config{Length: length}, at(0), nil)
		m.Sent(1, at(5))
		m.Beat(1, Ping{Counter: 1}, at(5))
		if l := m.Lease(); l.Valid(at(5)) {
			t.Errorf("length %v grants a lease", length)
		}
	}
}

func TestLengthIsBounded(t *testing.T) {
	m := New(Config{Length: math.MaxInt64}, at(0), []Holder{{Inc: Incarnation{1}, Length: math.MaxInt64}})
	m.Sent(1, at(0))
	m.Beat(1, Ping{Counter: 1}, at(0))
	if l := m.Lease(); l.Remaining(at(0)) != MaxLength {
		t.Errorf("a lease of %v", l.Remaining(at(0)))
	}
	if m.Barrier(2, at(horizon(MaxLength)-1), 1) || !m.Barrier(2, at(horizon(MaxLength)), 2) {
		t.Error("the longest horizon is wrong")
	}
}

// A life's pings may announce other lengths when its setting is reloaded.
func TestShorterLeaseKeepsHorizon(t *testing.T) {
	for _, waiting := range []bool{false, true} {
		m := New(Config{Length: 10}, at(0), nil)
		m.Beat(1, Ping{Inc: Incarnation{1}, Length: 1000}, at(0))
		if waiting {
			m.Barrier(2, at(0), 1)
		}
		m.Beat(3, Ping{Inc: Incarnation{1}, Length: 10}, at(0))
		if m.Barrier(4, at(1099), 2) || !m.Barrier(4, at(1100), 3) {
			t.Errorf("waiting %v: the horizon moved", waiting)
		}
	}
}

func TestBeatsInFlightAreBounded(t *testing.T) {
	m := New(Config{Length: time.Hour}, at(0), nil)
	for i := range uint64(10 * maxNotes) {
		m.Sent(i+1, at(time.Duration(i)))
	}
	if len(m.notes) != maxNotes || cap(m.notes) > 4*maxNotes {
		t.Errorf("%d notes, room for %d", len(m.notes), cap(m.notes))
	}
	m.Beat(1, Ping{Counter: 10*maxNotes - 1}, at(10*maxNotes))
	if l := m.Lease(); l.sent != at(10*maxNotes-2) || len(m.notes) != 1 {
		t.Errorf("lease from %v, %d notes", l.sent, len(m.notes))
	}
}

// A replay of many beats keeps one entry a life, and lives that ended are dropped once their horizon has passed.
func TestMemoryIsBounded(t *testing.T) {
	m := New(Config{Length: time.Second}, at(0), nil)
	seq := uint64(0)
	for range 1000 {
		for i := range 100 {
			seq++
			m.Beat(seq, Ping{Inc: Incarnation{1, byte(i)}}, at(0))
		}
	}
	for _, h := range m.holders {
		if len(h.grants) != 1 || cap(h.grants) > 4 {
			t.Fatalf("%d grants, room for %d", len(h.grants), cap(h.grants))
		}
	}
	now := time.Duration(0)
	for i := range 1000 { // one life after the other, a beat and an event each second
		now += time.Second
		seq++
		m.Beat(seq, Ping{Inc: Incarnation{2, byte(i), byte(i >> 8)}}, at(now))
		seq++
		m.Barrier(seq, at(now), seq)
		m.Completed(nil, at(now))
	}
	if len(m.holders) > 4 || len(m.byInc) != len(m.holders) || m.pending.len() > 2 || cap(m.pending.items) > 8 {
		t.Errorf("%d holders, %d names, %d waiting, room for %d",
			len(m.holders), len(m.byInc), m.pending.len(), cap(m.pending.items))
	}
}

func TestQueueIsSortedAndStable(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var q queue
	var want []waiter
	for i := range uint64(5000) {
		if rng.IntN(3) > 0 {
			w := waiter{rng.Uint64N(20), i}
			q.push(w)
			want = append(want, w)
			slices.SortStableFunc(want, func(a, b waiter) int { return int(a.seq) - int(b.seq) })
		} else if len(want) > 0 {
			if seq, _ := q.first(); seq != want[0].seq || q.last() != want[len(want)-1].seq {
				t.Fatalf("queue from %d to %d, want %v", seq, q.last(), want)
			}
			if tag := q.pop(); tag != want[0].tag {
				t.Fatalf("tag %d, want %d", tag, want[0].tag)
			}
			want = want[1:]
		}
		if q.len() != len(want) {
			t.Fatalf("%d items, want %d", q.len(), len(want))
		}
	}
}

func TestMutationNames(t *testing.T) {
	for bit := Mutation(1); bit < mutationEnd; bit <<= 1 {
		if got, err := ParseMutation(bit.String()); got != bit || err != nil {
			t.Errorf("%q is %v, %v", bit.String(), got, err)
		}
	}
	all := mutationEnd - 1
	if got, err := ParseMutation(all.String()); got != all || err != nil {
		t.Errorf("%q is %v, %v", all.String(), got, err)
	}
	if got, err := ParseMutation(""); got != 0 || err != nil {
		t.Errorf("nothing is %v, %v", got, err)
	}
	for _, bad := range []string{"no-such", ",", "no-barrier,", " no-barrier", "mutation-0x400000"} {
		if got, err := ParseMutation(bad); err == nil || got != 0 {
			t.Errorf("%q is %v", bad, got)
		}
	}
}
