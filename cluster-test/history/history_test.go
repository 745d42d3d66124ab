package history

import (
	"bytes"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestFileRoundTrip(t *testing.T) {
	want := &History{
		Faults: []Fault{{Name: "pause", Replica: 2, Start: 5, End: 9}, {Name: "kill", Replica: 0, Start: 7}},
		Ops: []Op{
			{Kind: Login, Outcome: OK, Session: 3, Start: 1, End: 2, Successor: 1<<64 - 1, Expires: time.Minute, Status: 200, SID: "aebagbaaaaaaaaaaaaaaaaaaae"},
			{Kind: Verify, Outcome: Unavailable, Replica: Balanced, Session: 3, Gen: 2, Start: 3, End: 4, Status: 503},
			{Kind: Refresh, Outcome: Unknown, Replica: 1, Session: 3, Start: 4, End: 5},
			{Kind: Logout, Outcome: Unexpected, Replica: 2, Session: 3, Start: 6, End: 7, Status: 500},
			{Kind: Verify, Outcome: Refused, Replica: 2, Session: 3, Start: 8, End: 9, Status: 401},
		},
	}
	var b bytes.Buffer
	if err := want.Write(&b); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "\n"); n != 7 {
		t.Errorf("%d lines, want one an entry: 7", n)
	}
	got, err := Read(&b)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read\n%+v\nwant\n%+v", got, want)
	}
}

func TestReadRefusesNonsense(t *testing.T) {
	for _, in := range []string{"{", `{"op":"dance","outcome":"ok"}`, `{"op":"verify","outcome":"perhaps"}`, `{}`, `{"op":"","outcome":"ok"}`} {
		if _, err := Read(strings.NewReader(in)); err == nil {
			t.Errorf("Read(%q) succeeded", in)
		}
	}
}

func TestRecorderMergesShardsInOrder(t *testing.T) {
	r := NewRecorder()
	var wg sync.WaitGroup
	for w := range 4 {
		s := r.Shard()
		r.Add(Op{Kind: Verify, Start: time.Duration(400 + w)})
		wg.Go(func() {
			for i := range 100 {
				s.Add(Op{Kind: Verify, Start: time.Duration(i*4 + w), Session: int32(w)})
			}
		})
	}
	wg.Wait()
	end := r.Fault("kill", 1)
	end()
	h := r.History()
	if len(h.Ops) != 404 {
		t.Fatalf("%d operations, want 404", len(h.Ops))
	}
	for i, op := range h.Ops {
		if op.Start != time.Duration(i) {
			t.Fatalf("operation %d starts at %d", i, op.Start)
		}
	}
	if len(h.Faults) != 1 || h.Faults[0].End < h.Faults[0].Start || h.Faults[0].Replica != 1 {
		t.Errorf("faults: %+v", h.Faults)
	}
}

func TestDisturbed(t *testing.T) {
	h := &History{Faults: []Fault{{Replica: 1, Start: 10, End: 20}, {Replica: 2, Start: 50}}}
	tests := []struct {
		replica  int8
		from, to time.Duration
		want     bool
	}{
		{1, 1, 9, false}, {1, 1, 10, true}, {1, 12, 13, true}, {1, 20, 30, true}, {1, 21, 30, false},
		{0, 10, 20, false}, {2, 40, 49, false}, {2, 1000, 1001, true},
	}
	for _, tt := range tests {
		if got := h.Disturbed(tt.replica, tt.from, tt.to); got != tt.want {
			t.Errorf("replica %d, %d to %d: %v, want %v", tt.replica, tt.from, tt.to, got, tt.want)
		}
	}
}

func BenchmarkShardAdd(b *testing.B) {
	r := NewRecorder()
	s := r.Shard()
	for b.Loop() {
		s.Add(Op{Kind: Verify, Outcome: OK, Start: r.Now(), End: r.Now()})
	}
}
