package load

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/knell-auth/knell/cluster-test/history"
)

// kinds are the kinds of operations, in the order in which they are reported.
var kinds = []history.Kind{history.Login, history.Verify, history.Refresh, history.Logout}

// tally counts one kind of operation.
type tally struct {
	Operation
	latency *hdrhistogram.Histogram
}

// measure is everything measured so far but what belongs to one replica. It is safe for concurrent use.
type measure struct {
	from time.Duration // end of the warm-up; what was due before counts for revocation only

	mu       sync.Mutex // guards all below
	tallies  map[history.Kind]*tally
	parts    [3]*hdrhistogram.Histogram         // commit, wait, rest
	last     map[string]*hdrhistogram.Histogram // waits, by the replica that was waited for last
	lateness *hdrhistogram.Histogram
	rev      Revocation
	seconds  []Second

	falseAlarms, doubtful, traced int64
}

func newMeasure() *measure {
	m := &measure{tallies: map[history.Kind]*tally{}, last: map[string]*hdrhistogram.Histogram{}, lateness: newHistogram()}
	for _, k := range kinds {
		m.tallies[k] = &tally{Operation: Operation{Kind: k.String()}, latency: newHistogram()}
	}
	for i := range m.parts {
		m.parts[i] = newHistogram()
	}
	return m
}

// count changes the tally of what was due then.
func (m *measure) count(kind history.Kind, due time.Duration, change func(*Operation)) {
	if due < m.from {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	change(&m.tallies[kind].Operation)
}

// late notes how much later than due a request was sent.
func (m *measure) late(due, sent time.Duration) {
	if due < m.from {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	record(m.lateness, sent-due)
}

// done notes the end of an operation.
func (m *measure) done(kind history.Kind, due time.Duration, a answer) {
	if due < m.from {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.tallies[kind]
	took := a.end - due
	switch a.outcome {
	case history.OK:
		t.OK++
		record(t.latency, took)
		if kind == history.Logout {
			m.splitLocked(took, a.header.Get("Server-Timing"))
		}
	case history.Refused:
		t.Refused++
		if kind == history.Verify { // as good an answer
			record(t.latency, took)
		}
	case history.Unavailable:
		t.Unavailable++
	case history.Unknown:
		t.Unknown++
	default:
		t.Unexpected++
	}
	m.secondLocked(kind, due, took, a.outcome)
}

func (m *measure) secondLocked(kind history.Kind, due, took time.Duration, o history.Outcome) {
	i := int((due - m.from) / time.Second)
	for len(m.seconds) <= i {
		m.seconds = append(m.seconds, Second{})
	}
	s := &m.seconds[i]
	switch {
	case o != history.OK && o != history.Refused:
	case kind == history.Logout:
		s.Logouts++
		s.LogoutMaxMS = max(s.LogoutMaxMS, float64(took.Microseconds())/1000)
	case kind == history.Verify:
		s.Verifies++
		s.VerifyMaxMS = max(s.VerifyMaxMS, float64(took.Microseconds())/1000)
	}
}

// splitLocked notes the parts of a logout's latency.
func (m *measure) splitLocked(took time.Duration, header string) {
	commit, wait, last, ok := parseTiming(header)
	if !ok {
		return
	}
	record(m.parts[0], commit)
	record(m.parts[1], wait)
	record(m.parts[2], max(took-commit-wait, 0))
	if last == "" {
		return
	}
	w := m.last[last]
	if w == nil {
		w = newHistogram()
		m.last[last] = w
	}
	record(w, wait)
}

// parseTiming reads the parts that Knell names in Server-Timing.
func parseTiming(header string) (commit, wait time.Duration, last string, ok bool) {
	complete := 0
	for metric := range strings.SplitSeq(header, ",") {
		fields := strings.Split(metric, ";")
		var dur time.Duration
		known := false
		desc := ""
		for _, f := range fields[1:] {
			name, value, _ := strings.Cut(strings.TrimSpace(f), "=")
			switch name {
			case "dur":
				ms, err := strconv.ParseFloat(value, 64)
				known = err == nil && ms >= 0 && ms < 1e9
				dur = time.Duration(ms * float64(time.Millisecond))
			case "desc":
				desc = strings.Trim(value, `"`)
			}
		}
		if !known {
			continue
		}
		switch strings.TrimSpace(fields[0]) {
		case "commit":
			commit = dur
			complete |= 1
		case "barrier":
			wait, last = dur, desc
			complete |= 2
		}
	}
	return commit, wait, last, complete == 3
}

// checked notes a check that was sent to a replica after the logout of s had returned, and reports a leak.
func (m *measure) checked(s *session, o history.Outcome) (leak bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch o {
	case history.OK:
		leak = true
		m.rev.Leaks++
		if s.leaked.CompareAndSwap(false, true) {
			m.rev.Leaking++
		}
	case history.Refused:
	default:
		m.rev.Unanswered++
		return false
	}
	m.rev.Checks++
	if s.checked.CompareAndSwap(false, true) {
		m.rev.Logouts++
	}
	return leak
}

// fill writes what was measured into r.
func (m *measure) fill(r *Result) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range kinds {
		t := m.tallies[k]
		if t.Due == 0 {
			continue
		}
		t.Latency = describe(t.latency)
		r.Operations = append(r.Operations, t.Operation)
	}
	r.Parts = Parts{Commit: describe(m.parts[0]), Wait: describe(m.parts[1]), Rest: describe(m.parts[2]), Last: []Last{}}
	for _, name := range slices.Sorted(maps.Keys(m.last)) {
		d := describe(m.last[name])
		r.Parts.Last = append(r.Parts.Last, Last{Name: name, Count: d.Count, P50MS: d.P50MS, MaxMS: d.MaxMS})
	}
	slices.SortStableFunc(r.Parts.Last, func(a, b Last) int { return cmp.Compare(b.Count, a.Count) })
	m.rev.Bound, m.rev.Confidence = UpperBound(m.rev.Leaking, m.rev.Logouts, confidence), confidence
	r.Revocation, r.Seconds, r.Lateness = m.rev, m.seconds, describe(m.lateness)
	r.FalseAlarms, r.Doubtful, r.Traced = m.falseAlarms, m.doubtful, m.traced
}
