package compare

import (
	"reflect"
	"testing"
	"time"

	"github.com/knell-auth/knell/cluster-test/history"
)

// check is one check of a token at a replica, with its times in milliseconds.
func check(replica int8, start, end time.Duration, outcome history.Outcome) history.Op {
	return history.Op{
		Kind: history.Verify, Replica: replica, Start: start * time.Millisecond, End: end * time.Millisecond, Outcome: outcome,
	}
}

const (
	ok   = history.OK
	no   = history.Refused
	off  = history.Unavailable
	lost = history.Unknown
)

func TestExpose(t *testing.T) {
	const returned = 100 * time.Millisecond
	tests := []struct {
		name   string
		checks []history.Op
		want   exposure
	}{
		{"nothing asked", nil, exposure{}},
		{"refused before the return", []history.Op{check(0, 90, 91, ok), check(0, 95, 96, no)}, exposure{}},
		{"sent before the return, accepted after it", []history.Op{check(0, 99, 120, ok), check(0, 121, 122, no)}, exposure{}},
		{"sent at the return", []history.Op{check(0, 100, 101, ok), check(0, 102, 103, no)}, exposure{}},
		{"one leak", []history.Op{check(0, 101, 102, ok), check(0, 103, 105, no)}, exposure{leaks: 1, last: 5 * time.Millisecond}},
		{"a 503 is no accept", []history.Op{check(0, 101, 102, ok), check(0, 103, 105, off)}, exposure{leaks: 1, last: 5 * time.Millisecond}},
		{"no answer is no refusal", []history.Op{check(0, 101, 102, ok), check(0, 103, 105, lost)}, exposure{leaks: 1, never: true}},
		{"the slowest replica counts", []history.Op{
			check(0, 101, 102, ok), check(0, 103, 104, no), check(1, 101, 102, ok), check(1, 109, 110, ok), check(1, 111, 112, no), check(2, 101, 102, no),
		}, exposure{leaks: 3, last: 12 * time.Millisecond}},
		{"accepted again after a refusal", []history.Op{
			check(0, 101, 102, no), check(0, 110, 111, ok), check(0, 112, 114, no),
		}, exposure{leaks: 1, last: 14 * time.Millisecond}},
		{"one replica never", []history.Op{check(0, 101, 102, ok), check(0, 103, 104, no), check(1, 150, 151, ok)}, exposure{leaks: 2, last: 4 * time.Millisecond, never: true}},
	}
	for _, tt := range tests {
		if got := expose(tt.checks, returned); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

func TestJudge(t *testing.T) {
	logout := func(start, end time.Duration, outcome history.Outcome) history.Op {
		op := check(0, start, end, outcome)
		op.Kind = history.Logout
		return op
	}
	got := judge(
		[]history.Op{logout(0, 10, ok), logout(0, 40, ok), logout(0, 5, off), logout(0, 10, ok)},
		[][]history.Op{
			{check(2, 11, 12, ok), check(2, 20, 110, ok), check(2, 111, 112, ok), check(2, 113, 115, no)}, // leaks until 15 after the end
			{check(2, 41, 42, off), check(2, 90, 101, no), check(2, 102, 103, no)},
			nil,
			{check(2, 11, 12, ok), check(2, 120, 121, ok)},
		},
		100*time.Millisecond,
	)
	want := &Faulted{
		Sessions: 3, Unfinished: 1, LogoutMax: 40 * time.Millisecond, Asked: 5, Leaks: 5, LeakedSessions: 2,
		AfterHeal: 15 * time.Millisecond, Never: 1,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestServe(t *testing.T) {
	got := serve([]history.Op{
		check(2, 5, 8, ok), // before
		check(2, 11, 12, ok), check(2, 13, 14, no), check(2, 20, 25, off), check(2, 30, 31, off), check(2, 35, 40, lost), check(2, 99, 130, ok),
		check(2, 105, 106, off), check(2, 107, 109, ok), check(2, 110, 111, ok), // after
	}, 10*time.Millisecond, 100*time.Millisecond)
	want := Service{
		Accepted: 1, Refused: 1, Unavailable: 2, Unanswered: 2, UnavailableFrom: 15 * time.Millisecond, Back: 9 * time.Millisecond,
	}
	if got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	got.add(Service{Accepted: 1, UnavailableFrom: 5 * time.Millisecond})
	if got.Accepted != 2 || got.UnavailableFrom != 5*time.Millisecond {
		t.Errorf("sum %+v", got)
	}
}

func TestQuantile(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[len(hundred)-1-i] = time.Duration(i + 1)
	}
	for _, tt := range []struct {
		times []time.Duration
		q     float64
		want  time.Duration
	}{
		{nil, 0.5, 0}, {hundred[:1], 0.01, 100}, {hundred, 0.5, 50}, {hundred, 0.99, 99}, {hundred, 1, 100}, {hundred, 0, 1},
	} {
		if got := quantile(tt.times, tt.q); got != tt.want {
			t.Errorf("quantile %v of %d: %d, want %d", tt.q, len(tt.times), got, tt.want)
		}
	}
}

func TestEach(t *testing.T) {
	ms := time.Millisecond
	if got := each(10*ms, 120*ms, 2*time.Second, 1000); got != 100*time.Microsecond {
		t.Errorf("%v, want 100µs", got)
	}
	if got := each(10*ms, 10*ms, 2*time.Second, 1000); got != 0 {
		t.Errorf("less than when idle: %v", got)
	}
	if got := each(0, ms, 0, 0); got != 0 {
		t.Errorf("no requests: %v", got)
	}
}

func TestSummarize(t *testing.T) {
	got := summarize([]result{{3, true}, {1, true}, {9, false}, {2, true}})
	if want := (&Latency{Checks: 4, Failed: 1, P50: 2, P99: 3}); *got != *want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
